/**
 * Markdown cut into blocks that can be drawn apart, so that only the last one, which still grows,
 * is drawn again while an answer streams. Definitions of links and notes reach across blocks, so a
 * text with any is one block.
 */
import { marked } from "marked";

const REACHES = /^ {0,3}\[[^\]\n]+\]:/m;
/** Texts longer than this are cut as they grow; their settled beginning is not read again. */
const CHUNK = 8000;

export function blocksOf(text: string): string[] {
  if (REACHES.test(text)) return [text];
  const found: string[] = [];
  for (const token of marked.lexer(text, { gfm: true })) {
    const last = found.length - 1;
    if (token.type === "space" && last >= 0) found[last] += token.raw;
    else found.push(token.raw);
  }
  return found;
}

/** The rule below a table's head. */
const RULE = /^[\s|:-]*$/;

/** A block that grows, without the head of a table whose rule is not whole yet: that is no table. */
export function withoutHead(block: string): string {
  const lines = block.split("\n");
  const from = lines.findIndex((line) => line.startsWith("|"));
  const [head, rule, ...rest] = lines.slice(Math.max(0, from));
  if (from < 0 || head === undefined || rest.length > 0) return block;
  const cells = (line: string) => line.split("|").length;
  const begun = rule === undefined || (RULE.test(rule) && cells(rule) < cells(head));
  return begun ? lines.slice(0, from).join("\n") : block;
}

/** Remembers the settled blocks of one text that grows; what is not longer begins anew. */
export class Growing {
  private text = "";
  private settled: string[] = [];
  private length = 0;

  blocks(text: string): string[] {
    if (!text.startsWith(this.text)) {
      this.settled = [];
      this.length = 0;
    }
    this.text = text;
    if (REACHES.test(text)) return [text];
    const rest = blocksOf(text.slice(this.length));
    const all = [...this.settled, ...rest];
    if (text.length - this.length > CHUNK && rest.length > 4) {
      const done = rest.slice(0, -3);
      this.settled = [...this.settled, ...done];
      this.length += done.reduce((sum, each) => sum + each.length, 0);
    }
    return all;
  }
}
