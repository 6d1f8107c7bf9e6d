/**
 * The JSON object of a tool call's arguments while a model still writes it: the members that are
 * there so far, a string that is not closed yet up to where it is. Hostile text gives fewer
 * members, never an error. Only the top level is read in part; deeper values count once whole.
 */

const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  b: "\b",
  f: "\f",
  '"': '"',
  "\\": "\\",
  "/": "/",
};

interface Read {
  value: string;
  end: number;
  closed: boolean;
}

/** Reads a string whose opening quote is at `start`. */
function readString(text: string, start: number): Read {
  let value = "";
  let at = start + 1;
  while (at < text.length) {
    const next = text.slice(at).search(/["\\]/);
    if (next < 0) return { value: value + text.slice(at), end: text.length, closed: false };
    value += text.slice(at, at + next);
    at += next;
    if (text[at] === '"') return { value, end: at + 1, closed: true };
    const letter = text[at + 1];
    if (letter === undefined) break;
    if (letter === "u") {
      const code = text.slice(at + 2, at + 6);
      if (code.length < 4) break;
      value += String.fromCharCode(Number.parseInt(code, 16) || 0xfffd);
      at += 6;
    } else {
      value += ESCAPES[letter] ?? letter;
      at += 2;
    }
  }
  return { value, end: text.length, closed: false };
}

/** Where a value that is no string ends, or -1 while it is not whole. */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    const letter = text[at];
    if (letter === '"') at = readString(text, at).end - 1;
    else if (letter === "{" || letter === "[") depth += 1;
    else if (letter === "}" || letter === "]") {
      if (depth === 0) return at;
      depth -= 1;
    } else if (letter === "," && depth === 0) return at;
  }
  return -1;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function partialObject(text: string): Record<string, unknown> {
  const whole = parsed(text);
  if (isObject(whole)) return whole;
  const found: Record<string, unknown> = {};
  let at = text.indexOf("{") + 1;
  while (at > 0 && at < text.length) {
    const quote = text.indexOf('"', at);
    if (quote < 0) break;
    const key = readString(text, quote);
    const colon = key.closed ? text.indexOf(":", key.end) : -1;
    if (colon < 0) break;
    const start = colon + 1 + Math.max(0, text.slice(colon + 1).search(/\S/));
    if (text[start] === '"') {
      const value = readString(text, start);
      found[key.value] = value.value;
      at = value.end;
      continue;
    }
    const end = endOfValue(text, start);
    if (end < 0) break;
    found[key.value] = parsed(text.slice(start, end).trim());
    at = end;
  }
  return found;
}
