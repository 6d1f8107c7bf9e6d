/**
 * What a program prints, as lines a browser can show: ANSI colours become classes, a carriage
 * return writes its line anew, and only the last `cap` lines are kept. A `Screen` takes text in
 * pieces and does work for the new piece alone, however much came before. What a program prints is
 * hostile: nothing here makes markup, and escapes that are not colours are dropped.
 */
import Anser from "anser";

export interface Span {
  text: string;
  /** An index of the 16 colours (0-15), a `r, g, b` of others, or nothing. */
  fg?: string | undefined;
  bg?: string | undefined;
  bold?: boolean;
  dim?: boolean;
  italic?: boolean;
  underline?: boolean;
}

export interface Line {
  id: number;
  stream: string;
  text: string;
}

/** How many lines are kept; what came before is counted, not shown. */
export const CAP = 5000;
/** How long one line may get; the rest of it is cut. */
export const LONGEST = 4000;

const OTHER_ESCAPES =
  /\x1b(?:\[[0-9;?<=>]*[@-ln-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[()][0-9A-B]|[=>78cDEHMNOZ])/g;
const COLOURS = /\x1b\[[0-9;]*m/g;

export class Screen {
  lines: Line[] = [];
  dropped = 0;
  private next = 0;
  private open = false;
  private readonly cap: number;

  constructor(cap: number = CAP) {
    this.cap = cap;
  }

  /** Take what was printed next. */
  add(stream: string, text: string): void {
    const clean = text.replace(OTHER_ESCAPES, "");
    const parts = clean.split("\n");
    for (let index = 0; index < parts.length; index += 1) {
      this.write(stream, parts[index] ?? "");
      if (index < parts.length - 1) this.open = false;
    }
    if (this.lines.length > this.cap + 500) {
      const over = this.lines.length - this.cap;
      this.dropped += over;
      this.lines = this.lines.slice(over);
    }
  }

  private write(stream: string, piece: string): void {
    if (!this.open) {
      this.lines.push({ id: this.next, stream, text: "" });
      this.next += 1;
      this.open = true;
    }
    const at = this.lines.length - 1;
    const line = this.lines[at];
    if (line === undefined || piece === "") return;
    const text = fold(line.text, piece).slice(0, LONGEST);
    this.lines[at] = { ...line, text, stream: line.text === "" ? stream : line.stream };
  }
}

/** A line and what is printed on it next; carriage returns go back to its beginning. */
export function fold(line: string, piece: string): string {
  if (!piece.includes("\r")) {
    // A return at the very end waits: it counts once something follows it.
    return line.endsWith("\r") && piece !== "" ? over(line.slice(0, -1), piece) : line + piece;
  }
  const trailing = piece.endsWith("\r");
  const parts = (line + piece).split("\r");
  if (trailing) parts.pop();
  let shown = "";
  for (const part of parts) shown = part === "" ? shown : over(shown, part);
  return trailing ? `${shown}\r` : shown;
}

/** New text over old: as a terminal does where both are plain; coloured lines are replaced. */
function over(old: string, text: string): string {
  if (old.includes("\x1b") || text.includes("\x1b")) return text;
  return text.length >= old.length ? text : text + old.slice(text.length);
}

export function plain(text: string): string {
  return text.replace(COLOURS, "").replace(/\r$/, "");
}

const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

function colour(name: string | undefined | null): string | undefined {
  if (!name) return undefined;
  const bright = name.startsWith("ansi-bright-");
  const index = NAMES.indexOf(name.slice(bright ? 12 : 5));
  return index < 0 ? undefined : String(bright ? index + 8 : index);
}

/** A line's text in pieces of one look each. */
export function spans(text: string): Span[] {
  if (!text.includes("\x1b")) return [{ text: text.replace(/\r$/, "") }];
  return Anser.ansiToJson(text, { use_classes: true, remove_empty: true, json: true }).map(
    (one) => {
      const has = (what: string) => one.decorations?.some((each) => each === what) ?? false;
      return {
        text: one.content.replace(/\r$/, ""),
        fg: colour(one.fg) ?? one.fg_truecolor ?? undefined,
        bg: colour(one.bg) ?? one.bg_truecolor ?? undefined,
        bold: has("bold"),
        dim: has("dim"),
        italic: has("italic"),
        underline: has("underline"),
      };
    },
  );
}
