/** The table of a data frame's HTML, as rows of text. Nothing of the HTML is shown or run. */

export interface Rows {
  columns: readonly string[];
  rows: readonly (readonly string[])[];
  /** What follows the table, such as its size. */
  note: string;
}

/** So many rows are read at most. */
const MOST = 2000;

function cells(row: HTMLTableRowElement): string[] {
  return [...row.cells].flatMap((cell) => {
    const text = cell.textContent?.trim() ?? "";
    return [text, ...Array<string>(Math.min(50, Math.max(0, cell.colSpan - 1))).fill("")];
  });
}

/** Null where the HTML is more than one plain table. */
export function tableOf(html: string): Rows | null {
  if (!/<table/i.test(html)) return null;
  const parsed = new DOMParser().parseFromString(html, "text/html");
  for (const each of parsed.querySelectorAll("style, script, template")) each.remove();
  const tables = parsed.querySelectorAll("table");
  const table = tables[0];
  if (!table || tables.length > 1 || table.querySelector("img, svg, canvas")) return null;
  const all = [...table.rows];
  const heads = table.tHead ? [...table.tHead.rows] : all.slice(0, 1);
  const rest = all.filter((row) => !heads.includes(row)).slice(0, MOST);
  const rows = rest.map(cells);
  const width = Math.max(
    0,
    ...rows.map((row) => row.length),
    ...heads.map((row) => row.cells.length),
  );
  const named = heads.map(cells);
  const columns = Array.from({ length: width }, (_, at) =>
    named
      .map((row) => row[at] ?? "")
      .filter(Boolean)
      .join(" · "),
  );
  table.remove();
  return { columns, rows, note: parsed.body.textContent?.trim().slice(0, 200) ?? "" };
}

/** A number that a cell shows, or null. */
export function numberOf(text: string): number | null {
  const plain = text.replace(/[,\u202f\u00a0 ](?=\d{3}\b)/g, "").replace(/^[$€£]|%$/g, "");
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain)) return null;
  return Number(plain);
}
