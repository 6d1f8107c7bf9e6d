/** The head of a conversation: its title, its machine, and what it has cost. */
import { FolderOpen, Monitor } from "lucide-react";
import { useEffect, useState } from "react";
import { createPortal } from "react-dom";
import { Link } from "wouter";
import type { Talk } from "@/api/__generated__/api";
import { More } from "@/components/chat/More";
import { machineName } from "@/components/thread/About";
import { usd } from "@/lib/format";
import type { RunView } from "@/state/view";
import { costOf } from "@/state/view";
import { Meter } from "@/ui/Meter";
import { words } from "@/words/en";

export interface HeaderProps {
  talk: Talk | undefined;
  run: RunView | null;
  filesOpen: boolean;
  onFiles: () => void;
}

export function Header(props: HeaderProps) {
  const { talk } = props;
  const [bar, setBar] = useState<HTMLElement | null>(null);
  useEffect(() => setBar(document.getElementById("topbar")), []);
  const title = talk?.title || words.chat.untitled;
  return (
    <>
      <header className="hidden h-14 shrink-0 items-center gap-3 border-line border-b px-4 md:flex">
        <h1 className="min-w-0 truncate font-semibold text-[15px]">{talk ? title : ""}</h1>
        <span className="flex-1" />
        <Actions {...props} />
      </header>
      {bar
        ? createPortal(
            <>
              <h1 className="min-w-0 flex-1 truncate px-1 font-medium text-sm">
                {talk ? title : ""}
              </h1>
              <Actions {...props} />
            </>,
            bar,
          )
        : null}
    </>
  );
}

function Actions({ talk, run, filesOpen, onFiles }: HeaderProps) {
  if (!talk) return null;
  const machine = run ? machineName(run) : null;
  return (
    <>
      {run ? <Spent run={run} /> : null}
      <button
        type="button"
        aria-pressed={filesOpen}
        aria-label={words.artifacts.open}
        onClick={onFiles}
        className="flex h-8 shrink-0 items-center gap-1.5 rounded-lg px-2 text-muted text-sm hover:bg-hover hover:text-ink aria-pressed:bg-hover aria-pressed:text-ink [&>svg]:size-4"
      >
        <FolderOpen aria-hidden />
        <span className="hidden lg:inline">{words.artifacts.open}</span>
      </button>
      <Link
        href={`/c/${talk.id}/machine`}
        aria-label={machine ?? words.chat.machine}
        className="flex h-8 shrink-0 items-center gap-1.5 rounded-lg px-2 text-muted text-sm hover:bg-hover hover:text-ink [&>svg]:size-4"
      >
        <Monitor aria-hidden />
        <span className="hidden lg:inline">{machine ?? words.chat.machine}</span>
      </Link>
      <More talk={talk} />
    </>
  );
}

/** What the run has cost of what it may. */
function Spent({ run }: { run: RunView }) {
  const cost = costOf(run);
  const cap = Number(run.caps?.usd ?? 0);
  if (cost === null || (Number(cost) === 0 && cap === 0)) return null;
  if (cap === 0) return <span className="text-faint text-xs tabular-nums">{usd(cost)}</span>;
  return (
    <span className="hidden items-center gap-2 text-xs tabular-nums sm:flex">
      <span>{usd(cost)}</span>
      <Meter
        bare
        className="w-20"
        label={words.chat.costSoFar}
        value={Number(cost)}
        max={cap}
        text={words.chat.capUsed(usd(cost), usd(cap))}
      />
      <span className="text-faint">{usd(cap)}</span>
    </span>
  );
}
