/** Where a Markdown text has formulas: `$$…$$`, `\(…\)`, `\[…\]`, and `$…$` that is no price. */

const FENCE = /^ {0,3}(```|~~~)/;
const DISPLAY = /\$\$[\s\S]+?\$\$|\\\([\s\S]+?\\\)|\\\[[\s\S]+?\\\]/;
const INLINE = /\$(?=\S)(?:[^$\n]*[\\^_{}=+*][^$\n]*|[A-Za-z])(?<=\S)\$(?!\d)/;
/** A letter of nobody's alphabet, around the number of what is put back at the end. */
const MARK = "\ue000";
const KEPT = new RegExp(`${MARK}(\\d+)${MARK}`, "g");

export function mathless(text: string): boolean {
  return FENCE.test(text) || !(DISPLAY.test(text) || INLINE.test(text));
}

/** A formula in lines of its own. */
function display(formula: string): string {
  return `\n$$\n${formula.trim()}\n$$\n`;
}

/** The same with dollars around every formula, as remark-math reads it; other dollars escaped. */
export function dollars(text: string): string {
  const kept: string[] = [];
  const keep = (formula: string) => `${MARK}${kept.push(formula) - 1}${MARK}`;
  // What is kept may hold what was kept before it, never after: this ends.
  const back = (piece: string): string =>
    piece.replace(KEPT, (_, at: string) => back(kept[Number(at)] ?? ""));
  const marked = text
    .replaceAll(MARK, "")
    .replace(/^ {0,3}(```|~~~)[\s\S]*?^ {0,3}\1/gm, keep)
    .replace(/`[^`\n]*`/g, keep)
    .replace(/^[ \t]*\$\$([\s\S]+?)\$\$[ \t]*$/gm, (_, inner: string) => keep(display(inner)))
    .replace(/\$\$([\s\S]+?)\$\$/g, (whole) => keep(whole))
    .replace(/\\\[([\s\S]+?)\\\]/g, (_, inner: string) => keep(display(inner)))
    .replace(/\\\(([\s\S]+?)\\\)/g, (_, inner: string) => keep(`$${inner.trim()}$`))
    .replace(new RegExp(INLINE, "g"), (whole) => keep(whole))
    .replace(/(?<!\\)\$/g, "\\$");
  return back(marked);
}
