/** Where a Markdown text has formulas: `$$…$$`, `\(…\)`, `\[…\]`, and `$…$` that is no price. */

const FENCE = /^ {0,3}(```|~~~)/;
const DISPLAY = /\$\$[\s\S]+?\$\$|\\\([\s\S]+?\\\)|\\\[[\s\S]+?\\\]/;
const INLINE = /\$(?=\S)(?:[^$\n]*[\\^_{}=+*][^$\n]*|[A-Za-z])(?<=\S)\$(?!\d)/;

export function mathless(text: string): boolean {
  return FENCE.test(text) || !(DISPLAY.test(text) || INLINE.test(text));
}

/** The same with dollars around every formula, as remark-math reads it; other dollars escaped. */
export function dollars(text: string): string {
  const kept: string[] = [];
  const keep = (formula: string) => `\u0000${kept.push(formula) - 1}\u0000`;
  return text
    .replace(/`[^`\n]*`/g, keep)
    .replace(/\$\$([\s\S]+?)\$\$/g, (whole) => keep(whole))
    .replace(/\\\[([\s\S]+?)\\\]/g, (_, inner: string) => keep(`\n$$\n${inner.trim()}\n$$\n`))
    .replace(/\\\(([\s\S]+?)\\\)/g, (_, inner: string) => keep(`$${inner.trim()}$`))
    .replace(new RegExp(INLINE, "g"), (whole) => keep(whole))
    .replace(/(?<!\\)\$/g, "\\$")
    .replace(/\u0000(\d+)\u0000/g, (_, at: string) => kept[Number(at)] ?? "");
}
