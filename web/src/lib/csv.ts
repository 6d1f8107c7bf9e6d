/** Comma-, semicolon- or tab-separated text into rows. Pure; stops after `limit` rows. */

const SEPARATORS = [",", ";", "\t"] as const;

/** Which separator the first line uses most. */
export function separatorOf(text: string): string {
  const first = text.slice(0, text.search(/[\r\n]|$/));
  let best: string = ",";
  for (const one of SEPARATORS) {
    if (first.split(one).length > first.split(best).length) best = one;
  }
  return best;
}

interface Reading {
  rows: string[][];
  row: string[];
  cell: string;
  quoted: boolean;
}

function endCell(reading: Reading): void {
  reading.row.push(reading.cell);
  reading.cell = "";
}

function endRow(reading: Reading): void {
  endCell(reading);
  if (reading.row.length > 1 || reading.row[0] !== "") reading.rows.push(reading.row);
  reading.row = [];
}

/** Takes one character inside quotes; returns how many it used. */
function inside(reading: Reading, text: string, at: number): number {
  const letter = text[at] ?? "";
  if (letter !== '"') {
    reading.cell += letter;
    return 1;
  }
  if (text[at + 1] === '"') {
    reading.cell += '"';
    return 2;
  }
  reading.quoted = false;
  return 1;
}

/** Takes one character outside quotes. */
function outside(reading: Reading, letter: string, separator: string): void {
  if (letter === '"' && reading.cell === "") reading.quoted = true;
  else if (letter === separator) endCell(reading);
  else if (letter === "\n") endRow(reading);
  else if (letter !== "\r") reading.cell += letter;
}

export function parseCsv(text: string, limit = 5000, separator = separatorOf(text)): string[][] {
  const reading: Reading = { rows: [], row: [], cell: "", quoted: false };
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  while (at < text.length && reading.rows.length < limit) {
    if (reading.quoted) {
      at += inside(reading, text, at);
      continue;
    }
    outside(reading, text[at] ?? "", separator);
    at += 1;
  }
  const rest = reading.cell !== "" || reading.row.length > 0;
  if (reading.rows.length < limit && rest) endRow(reading);
  return reading.rows;
}
