/** What a run said and did: everything of its ledger that a person wants to see. */
import { RefreshCw } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import type { MessageLine } from "@/api/__generated__/api";
import { Prose } from "@/components/prose/Prose";
import { Trouble } from "@/components/shell/Trouble";
import { About } from "@/components/thread/About";
import { Branches } from "@/components/thread/Branches";
import { Doing } from "@/components/thread/Doing";
import { Ending } from "@/components/thread/Ending";
import { Items } from "@/components/thread/Items";
import { Made } from "@/components/thread/Made";
import { runCan } from "@/state/can";
import { useRun } from "@/state/store";
import type { RunView } from "@/state/view";
import { CopyButton } from "@/ui/CopyButton";
import { IconButton } from "@/ui/IconButton";
import { words } from "@/words/en";

export interface AnswerProps {
  message: MessageLine;
  /** Whether its run is followed even where it is out of view. */
  followed: boolean;
  /** Whether it is the last one. */
  newest: boolean;
  onAgain: (messageId: string) => void;
  onShow: (id: string) => void;
}

/** True once something comes near the window; the ledgers of far answers are not fetched. */
function useNear(always: boolean) {
  const box = useRef<HTMLDivElement>(null);
  const [near, setNear] = useState(always);
  useEffect(() => {
    if (near || !box.current) return;
    const watcher = new IntersectionObserver(
      (entries) => entries.some((each) => each.isIntersecting) && setNear(true),
      { rootMargin: "800px 0px" },
    );
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, [near]);
  return { box, near: near || always };
}

export function Answer({ message, followed, newest, onAgain, onShow }: AnswerProps) {
  const { box, near } = useNear(followed);
  const entry = useRun(near ? message.run_id : null);
  const run = entry && entry.view.last > 0 ? entry.view : null;
  const over = run ? run.status !== "running" : message.text !== "";
  return (
    <article ref={box} aria-label={words.chat.forgeSaid} className="mt-4">
      <h2 className="sr-only">{words.chat.forgeSaid}</h2>
      {run ? (
        <>
          <Items run={run} newest={newest} />
          <Doing run={run} />
          <Made run={run} />
          <Ending run={run} />
        </>
      ) : (
        <Prose text={message.text} />
      )}
      {entry?.problem && !run ? <Trouble error={entry.problem} /> : null}
      {over ? <Foot message={message} run={run} onAgain={onAgain} onShow={onShow} /> : null}
    </article>
  );
}

interface FootProps extends Omit<AnswerProps, "followed" | "newest"> {
  run: RunView | null;
}

function Foot({ message, run, onAgain, onShow }: FootProps) {
  const parent = message.parent_id;
  return (
    <div className="mt-1 flex min-h-7 flex-wrap items-center gap-x-1 gap-y-0.5">
      <CopyButton text={run?.answer ?? message.text} />
      {parent ? (
        <IconButton
          small
          label={words.chat.again}
          icon={<RefreshCw />}
          reason={run ? runCan.rerun(run).reason : undefined}
          onClick={() => onAgain(parent)}
        />
      ) : null}
      <Branches id={message.id} siblings={message.siblings} onShow={onShow} />
      {run ? <About run={run} /> : null}
    </div>
  );
}
