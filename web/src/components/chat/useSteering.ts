/**
 * What a person says while a run goes on. It waits until the run's ledger says that it was heard;
 * what a run never heard, because it was over first, is given back.
 */
import { useEffect, useRef, useState } from "react";
import { steerRun } from "@/api/queries/runs";
import { say as complain } from "@/components/chat/say";
import type { RunView } from "@/state/view";
import { toast } from "@/ui/Toast";
import { words } from "@/words/en";

export interface Steering {
  /** Said and not heard yet. */
  waiting: readonly string[];
  say: (runId: string, text: string) => Promise<boolean>;
}

/** What of it the run has not heard; the same words twice wait twice. */
export function unheard(said: readonly string[], run: RunView | null): string[] {
  const heard = run?.items.flatMap((each) => (each.kind === "steered" ? [each.text] : [])) ?? [];
  return said.filter((text) => {
    const at = heard.indexOf(text);
    if (at >= 0) heard.splice(at, 1);
    return at < 0;
  });
}

export function useSteering(run: RunView | null, giveBack: (text: string) => void): Steering {
  const [said, setSaid] = useState<readonly string[]>([]);
  const waiting = unheard(said, run);
  const back = useRef(giveBack);
  back.current = giveBack;
  const over = run !== null && run.status !== "running";
  const lost = over ? waiting.join("\n") : "";
  useEffect(() => {
    if (!over) return;
    setSaid([]);
    if (!lost) return;
    back.current(lost);
    toast({ title: words.chat.unheard });
  }, [over, lost]);
  const say = async (runId: string, text: string) => {
    setSaid((all) => [...all, text]);
    try {
      await steerRun(runId, text);
      return true;
    } catch (error) {
      setSaid((all) => all.filter((each) => each !== text));
      complain(error);
      return false;
    }
  };
  return { waiting: over ? [] : waiting, say };
}
