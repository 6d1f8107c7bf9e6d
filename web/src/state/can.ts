/**
 * What may be asked of a run, as the server's own table has it, with the reason where it may not:
 * a button is shown and says why it does nothing, rather than not be there.
 */
import type { RunStatus, RunView } from "@/state/view";
import { words } from "@/words/en";

export interface May {
  ok: boolean;
  reason: string | undefined;
}

const yes: May = { ok: true, reason: undefined };
const no = (reason: string): May => ({ ok: false, reason });

type Of = Pick<RunView, "status"> | { status: RunStatus };

export const runCan = {
  stop: (run: Of): May => (run.status === "running" ? yes : no(words.can.over)),
  steer: (run: Of): May => (run.status === "running" ? yes : no(words.can.over)),
  decide: (run: Of): May => (run.status === "running" ? yes : no(words.can.over)),
  resume: (run: Of): May => {
    if (run.status === "capped" || run.status === "interrupted") return yes;
    return no(run.status === "running" ? words.can.running : words.can.notCapped);
  },
  rerun: (run: Of): May => (run.status === "running" ? no(words.can.running) : yes),
};
