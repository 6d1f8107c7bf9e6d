/** What a program printed: its colours, its lines written over, thousands of them in pieces. */
import { memo, useEffect, useMemo, useRef, useState } from "react";
import { type Line, Screen, type Span, spans } from "@/lib/ansi";
import { cn } from "@/lib/cn";
import type { Printed } from "@/state/view";
import { words } from "@/words/en";

/** So many of the last lines are drawn at first. */
const SHOWN = 500;
/** Lines of one piece of the page, which is drawn anew where one of them changes. */
const PIECE = 50;

/** The lines of what was printed so far; what was read is not read again. */
function useLines(printed: readonly Printed[]): Screen {
  const kept = useRef({ screen: new Screen(), part: 0, length: 0 });
  return useMemo(() => {
    let at = kept.current;
    const past = printed[at.part];
    if (at.part > 0 && (!past || past.text.length < at.length)) {
      at = { screen: new Screen(), part: 0, length: 0 };
    }
    for (let part = at.part; part < printed.length; part += 1) {
      const each = printed[part];
      if (!each) break;
      const from = part === at.part ? at.length : 0;
      at.screen.add(each.stream, each.text.slice(from));
      at = { screen: at.screen, part, length: each.text.length };
    }
    kept.current = at;
    return at.screen;
  }, [printed]);
}

function look(span: Span): string {
  return cn(
    span.fg && /^\d+$/.test(span.fg) && `ansi-${span.fg}`,
    span.bold && "font-semibold",
    span.dim && "opacity-70",
    span.italic && "italic",
    span.underline && "underline",
  );
}

function pieces(lines: readonly Line[]): Line[][] {
  const found: Line[][] = [];
  for (const line of lines) {
    const last = found.at(-1);
    if (last && line.id % PIECE !== 0) last.push(line);
    else found.push([line]);
  }
  return found;
}

const Piece = memo(
  function Piece({ lines }: { lines: readonly Line[] }) {
    return (
      <div className="[contain-intrinsic-block-size:auto_1000px] [content-visibility:auto]">
        {lines.map((line) => (
          <div key={line.id} className={cn(line.stream === "stderr" && "text-[#f3b0a8]")}>
            {line.text === ""
              ? "\u00a0"
              : spans(line.text).map((span, at) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: spans of one line, drawn together
                  <span key={at} className={look(span)}>
                    {span.text}
                  </span>
                ))}
          </div>
        ))}
      </div>
    );
  },
  (one, other) =>
    one.lines.length === other.lines.length &&
    one.lines.every((line, at) => line === other.lines[at]),
);

export function Output({ printed, live }: { printed: readonly Printed[]; live: boolean }) {
  const screen = useLines(printed);
  const box = useRef<HTMLPreElement>(null);
  const [all, setAll] = useState(false);
  // What ends with a line break has an empty line after it, which is nothing to see.
  const end = screen.lines.at(-1)?.text === "" ? screen.lines.length - 1 : screen.lines.length;
  const lines = screen.lines.slice(all ? 0 : Math.max(0, end - SHOWN), end);
  const hidden = end - lines.length;
  // biome-ignore lint/correctness/useExhaustiveDependencies: it follows what is printed
  useEffect(() => {
    if (live && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [printed, live]);
  return (
    <pre
      ref={box}
      tabIndex={0}
      role="group"
      aria-label={words.step.output}
      className="focus-inset max-h-96 overflow-auto whitespace-pre bg-term p-3.5 font-mono text-[13px] text-term-ink leading-5"
    >
      {hidden > 0 ? (
        <button
          type="button"
          onClick={() => setAll(true)}
          className="mb-1 text-term-faint underline underline-offset-2"
        >
          {words.step.cut(hidden + screen.dropped)}
        </button>
      ) : null}
      {pieces(lines).map((each) => (
        <Piece key={Math.floor((each[0]?.id ?? 0) / PIECE)} lines={each} />
      ))}
    </pre>
  );
}
