/** Says aloud what happens in a run, and tells when it is over. */
import { useEffect, useRef } from "react";
import { announce } from "@/components/shell/announce";
import { whatOf } from "@/components/step/what";
import type { Call, RunView } from "@/state/view";
import { callState, emptyRun } from "@/state/view";
import { words } from "@/words/en";

function aloud(call: Call, before: Call | undefined): string | null {
  const now = callState(call);
  const was = before ? callState(before) : null;
  if (now === was) return null;
  const { title } = whatOf(call.name, call.input);
  if (now === "waiting") return words.chat.approvalAnnounced(title);
  if (now === "running") return `${title}: ${words.chat.running}`;
  if (now === "over" && call.outcome) return `${title}: ${words.step.outcomes[call.outcome]}`;
  return null;
}

const ENDS: Readonly<Record<Exclude<RunView["status"], "running">, string>> = {
  cancelled: words.chat.cancelled,
  capped: words.chat.capTitle,
  done: words.chat.answered,
  failed: words.chat.failed,
  interrupted: words.chat.interrupted,
};

/** What is to be said of a run now that was not to be said before. */
export function heard(before: RunView, now: RunView): string[] {
  const said: string[] = [];
  const known = new Map(before.items.map((item) => [item.key, item]));
  for (const item of now.items) {
    if (item.kind !== "call" || known.get(item.key) === item) continue;
    const was = known.get(item.key);
    const words = aloud(item, was?.kind === "call" ? was : undefined);
    if (words) said.push(words);
  }
  if (before.status === "running" && now.status !== "running") said.push(ENDS[now.status]);
  return said;
}

/** A run that began so little ago, in ms, is news from its beginning. */
const NEWS_MS = 15_000;

/** What one is taken to know of a run that is seen for the first time: all but what waits. */
function firstSeen(run: RunView): RunView {
  if (Date.now() - Date.parse(run.startedAt) < NEWS_MS) return emptyRun(run.id);
  const waits = (item: RunView["items"][number]) =>
    item.kind === "call" && callState(item) === "waiting";
  return { ...run, items: run.items.filter((item) => !waits(item)) };
}

export function useHeard(run: RunView | null, onOver: () => void): void {
  const before = useRef<RunView | null>(null);
  const over = useRef(onOver);
  over.current = onOver;
  useEffect(() => {
    const was = before.current;
    before.current = run;
    if (!run) return;
    const known = was?.id === run.id ? was : firstSeen(run);
    const said = heard(known, run);
    if (said.length > 0) announce(said.join(". "));
    if (known.status === "running" && run.status !== "running") over.current();
  }, [run]);
}
