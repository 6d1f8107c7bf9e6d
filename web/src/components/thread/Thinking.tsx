/** What a model thought: one line, which opens. While it thinks its last words are seen. */
import { Brain, ChevronRight } from "lucide-react";
import { memo, useId, useState } from "react";
import { Prose } from "@/components/prose/Prose";
import { cn } from "@/lib/cn";
import { ms } from "@/lib/format";
import { words } from "@/words/en";

export interface ThinkingProps {
  text: string;
  done: boolean;
  took: number | null;
}

/** Shorter thoughts are not counted in ms: nobody reads that. */
const MOMENT_MS = 950;

function label(done: boolean, took: number | null): string {
  if (!done) return words.chat.thinking;
  if (took === null || took < MOMENT_MS) return words.chat.thoughtMoment;
  return words.chat.thought(ms(took));
}

export const Thinking = memo(function Thinking({ text, done, took }: ThinkingProps) {
  const [open, setOpen] = useState(false);
  const body = useId();
  return (
    <div className="my-3">
      <button
        type="button"
        aria-expanded={open}
        aria-controls={body}
        onClick={() => setOpen(!open)}
        className="-ml-1.5 flex items-center gap-2 rounded-lg px-1.5 py-1 text-muted text-sm hover:text-ink [&>svg]:size-4"
      >
        <Brain aria-hidden className={cn(!done && "animate-pulse")} />
        {label(done, took)}
        <ChevronRight
          aria-hidden
          className={cn("transition-transform duration-150", open && "rotate-90")}
        />
      </button>
      <div
        id={body}
        hidden={!open}
        className="mt-1.5 ml-1.5 border-line border-l-2 pl-4 text-muted text-sm"
      >
        {open ? <Prose text={text} growing={!done} /> : null}
      </div>
    </div>
  );
});
