/** How a run ended, where that is not simply an answer: a limit, a failure, a stop. */
import { CircleSlash, Gauge, Unplug } from "lucide-react";
import type { ReactNode } from "react";
import { Cap } from "@/components/thread/Cap";
import type { RunView } from "@/state/view";
import { words } from "@/words/en";

export function Ending({ run }: { run: RunView }) {
  switch (run.status) {
    case "capped":
      return (
        <Note tone="warn" icon={<Gauge />} title={words.chat.capTitle}>
          <Cap run={run} />
        </Note>
      );
    case "failed":
      return (
        <Note tone="bad" icon={<Unplug />} title={words.chat.failed}>
          <p className="break-words">{run.error?.message}</p>
          {run.error?.hint ? <p className="mt-1 break-words text-muted">{run.error.hint}</p> : null}
        </Note>
      );
    case "interrupted":
      return (
        <Note tone="warn" icon={<Unplug />} title={words.chat.interrupted}>
          <Cap run={run} />
        </Note>
      );
    case "cancelled":
      return (
        <p className="my-3 flex items-center gap-2 text-muted text-sm [&>svg]:size-4">
          <CircleSlash aria-hidden />
          {words.chat.cancelled}
        </p>
      );
    default:
      return null;
  }
}

interface NoteProps {
  tone: "warn" | "bad";
  icon: ReactNode;
  title: string;
  children: ReactNode;
}

function Note({ tone, icon, title, children }: NoteProps) {
  const look =
    tone === "warn"
      ? "border-warn-line bg-warn-soft [&_svg]:text-warn"
      : "border-bad-line bg-bad-soft [&_svg]:text-bad";
  return (
    <div role="group" aria-label={title} className={`my-4 rounded-xl border p-4 text-sm ${look}`}>
      <p className="mb-1.5 flex items-center gap-2 font-semibold [&>svg]:size-[18px]">
        {icon}
        {title}
      </p>
      {children}
    </div>
  );
}
