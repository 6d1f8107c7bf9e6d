/** An error: its last line, and all of it where that is wanted. */
import { ChevronRight } from "lucide-react";

export function Failure({ content }: { content: string }) {
  const text = content.trimEnd();
  const last = text.slice(text.lastIndexOf("\n") + 1);
  return (
    <details className="group border-line border-t text-sm">
      <summary className="focus-inset flex cursor-pointer list-none items-start gap-2 px-3.5 py-2.5 text-bad hover:bg-hover">
        <ChevronRight
          aria-hidden
          className="mt-0.5 size-4 shrink-0 transition-transform group-open:rotate-90"
        />
        <span className="min-w-0 break-words font-mono text-[13px]">{last}</span>
      </summary>
      <pre
        tabIndex={0}
        className="focus-inset max-h-96 overflow-auto px-3.5 pb-3 font-mono text-[13px] leading-5"
      >
        {text}
      </pre>
    </details>
  );
}
