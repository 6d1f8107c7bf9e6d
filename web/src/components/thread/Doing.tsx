/** What a run does now, where nothing else in view says so. */
import { Elapsed } from "@/components/step/Elapsed";
import type { RunView } from "@/state/view";
import { Spinner } from "@/ui/Spinner";
import { words } from "@/words/en";

const NAMES: Readonly<Record<RunView["doing"], string>> = {
  answering: words.chat.answering,
  asking: words.chat.asking,
  running: words.chat.asking,
  starting: words.chat.starting,
  thinking: words.chat.thinking,
  waiting: words.chat.waiting,
  writing: words.chat.writing,
};

/** Whether the last thing in view shows by itself that it goes on. */
function seen(run: RunView): boolean {
  const last = run.items.at(-1);
  if (last?.kind === "call") return last.outcome === null;
  return (last?.kind === "text" || last?.kind === "thinking") && !last.done;
}

/** Whether its machine is being made: a slow host takes some twenty seconds for the first. */
function preparing(run: RunView): boolean {
  const works = run.routed !== null && run.routed.path !== "chat";
  return works && run.doing === "starting" && run.machine === null;
}

export function Doing({ run }: { run: RunView }) {
  if (run.status !== "running" || seen(run)) return null;
  return (
    <p className="my-3 flex items-center gap-2.5 text-muted text-sm">
      <Spinner className="size-3.5" />
      {preparing(run) ? words.chat.preparing : NAMES[run.doing]}
      {run.updatedAt ? (
        <span className="text-faint text-xs">
          <Elapsed since={run.updatedAt} key={run.updatedAt} />
        </span>
      ) : null}
    </p>
  );
}
