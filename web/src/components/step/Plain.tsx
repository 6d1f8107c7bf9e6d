/** What a call printed and showed, as plain text. */
import { plain } from "@/lib/ansi";
import type { Printed } from "@/state/view";

export function Output({ printed }: { printed: readonly Printed[]; live: boolean }) {
  return (
    <pre
      tabIndex={0}
      className="focus-inset max-h-96 overflow-auto bg-term p-3.5 font-mono text-[13px] text-term-ink leading-5"
    >
      {plain(printed.map((each) => each.text).join(""))}
    </pre>
  );
}

export function Display({ data }: { data: Readonly<Record<string, string>> }) {
  return <pre className="overflow-auto text-sm">{data["text/plain"] ?? Object.keys(data)[0]}</pre>;
}

export function Failure({ outcome, content }: { outcome: string; content: string }) {
  return (
    <pre className="overflow-auto p-3.5 text-bad text-sm">
      {outcome} {content}
    </pre>
  );
}
