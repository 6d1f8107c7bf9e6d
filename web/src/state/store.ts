/**
 * The runs that are looked at, by id: each folded from its ledger, followed while somebody looks.
 * Whoever shows a run takes hold of it; the last one to let go closes its stream. What was folded
 * stays, so coming back costs the records in between and no more.
 */
import { useEffect } from "react";
import { create } from "zustand";
import type { Problem } from "@/api/http";
import { type Connection, RunStream } from "@/api/stream";
import { fold } from "@/state/run";
import { emptyRun, type LedgerRecord, type RunView } from "@/state/view";

interface Entry {
  view: RunView;
  connection: Connection;
  problem: Problem | null;
}

interface Runs {
  runs: Readonly<Record<string, Entry>>;
}

/** How many runs are kept folded; those that nobody looks at go first. */
const MOST = 60;

/** An answer of more letters is long: it is drawn less often. */
const LONG = 6000;

export const useRuns = create<Runs>()(() => ({ runs: {} }));

const held = new Map<string, { count: number; stream: RunStream | null }>();

function entry(id: string): Entry {
  return useRuns.getState().runs[id] ?? { view: emptyRun(id), connection: "live", problem: null };
}

function put(id: string, change: Partial<Entry>): void {
  const runs = { ...useRuns.getState().runs, [id]: { ...entry(id), ...change } };
  const ids = Object.keys(runs);
  if (ids.length > MOST) {
    const spare = ids.find((each) => !held.has(each) && each !== id);
    if (spare) delete runs[spare];
  }
  useRuns.setState({ runs });
}

function take(id: string, records: LedgerRecord[]): void {
  const view = fold(entry(id).view, records);
  put(id, { view, problem: null });
  if (view.gap) reopen(id);
}

/** Open a run's stream where its view is; a stream that is open is replaced. */
function reopen(id: string): void {
  const holder = held.get(id);
  if (!holder) return;
  holder.stream?.close();
  holder.stream = new RunStream(id, {
    last: () => entry(id).view.last,
    take: (records) => take(id, records),
    long: () => entry(id).view.answer.length > LONG,
    connection: (connection) => {
      if (entry(id).connection !== connection) put(id, { connection });
    },
    problem: (problem) => put(id, { problem }),
  });
}

function hold(id: string): () => void {
  const holder = held.get(id) ?? { count: 0, stream: null };
  holder.count += 1;
  held.set(id, holder);
  if (holder.count === 1 && isOpen(entry(id).view)) reopen(id);
  return () => {
    holder.count -= 1;
    if (holder.count > 0) return;
    holder.stream?.close();
    held.delete(id);
  };
}

function isOpen(view: RunView): boolean {
  return view.last === 0 || view.status === "running";
}

/** Follow a run again that goes on after it was over: it was allowed more. */
export function followOn(id: string): void {
  reopen(id);
}

/** A run as it is now; it is followed while this is shown. */
export function useRun(id: string | null | undefined): Entry | null {
  useEffect(() => (id ? hold(id) : undefined), [id]);
  const found = useRuns((state) => (id ? state.runs[id] : undefined));
  if (!id) return null;
  return found ?? { view: emptyRun(id), connection: "live", problem: null };
}
