/** What a run looks like to a person: the value that `state/run` folds a ledger into. */
import type {
  ApprovalRequested,
  Caps,
  Fault,
  FileFact,
  Record as LedgerRecord,
  RunRouted,
  SandboxCreated,
  Totals,
} from "@/api/__generated__/events";

export type { LedgerRecord };

export type RunStatus = "running" | "done" | "failed" | "cancelled" | "capped" | "interrupted";
export type Outcome =
  | "ok"
  | "error"
  | "timeout"
  | "crashed"
  | "cancelled"
  | "interrupted"
  | "denied";

/** Text of one stream, as it was printed. */
export interface Printed {
  kind: "printed";
  stream: "stdout" | "stderr";
  text: string;
}

/** A rich result: MIME types to text. */
export interface Displayed {
  kind: "displayed";
  id: string;
  data: Readonly<Record<string, string>>;
}

export type Output = Printed | Displayed;

export type CallState = "writing" | "waiting" | "running" | "over";

/** A tool call. Its state follows from what is known of it: see `callState`. */
export interface Call {
  kind: "call";
  key: string;
  step: number;
  callId: string;
  name: string;
  /** The JSON text of its arguments, as far as it is written. */
  input: string;
  /** Whether its arguments are complete. */
  written: boolean;
  asked: ApprovalRequested | null;
  decision: { approved: boolean; by: string | null; why: string } | null;
  startedAt: string | null;
  output: readonly Output[];
  outcome: Outcome | null;
  content: string;
  durationMs: number | null;
}

/** One thing of the thread, in the order in which it happened. */
export type Item =
  | { kind: "text"; key: string; step: number; text: string; done: boolean }
  | { kind: "thinking"; key: string; step: number; text: string; done: boolean; ms: number | null }
  | Call
  | { kind: "steered"; key: string; step: number; text: string; by: string | null }
  | { kind: "notice"; key: string; text: string }
  | { kind: "retrying"; key: string; step: number; error: Fault; inS: number | null }
  | { kind: "resumed"; key: string; why: "interrupted" | "asked"; attempt: number };

/** A model call: what it used and cost. */
export interface ModelCall {
  step: number;
  attempt: number;
  model: string;
  usd: string | null;
  input: number;
  output: number;
  ms: number | null;
  over: boolean;
}

export interface Artifact {
  name: string;
  size: number;
  sha256: string;
  step: number;
  at: string;
}

/** A stretch of time in which one thing went on. `until` is null while it does. */
export interface Stretch {
  key: string;
  kind: "model" | "tool" | "machine" | "waiting";
  label: string;
  step: number;
  from: string;
  until: string | null;
}

/** What it is doing now. */
export type Doing =
  | "starting"
  | "asking"
  | "thinking"
  | "answering"
  | "writing"
  | "running"
  | "waiting";

export interface RunView {
  id: string;
  /** The number of the last record that is in here. */
  last: number;
  /** Whether a record came that does not follow it: what is between must be fetched. */
  gap: boolean;
  status: RunStatus;
  doing: Doing;
  startedAt: string;
  updatedAt: string;
  prompt: string;
  model: string;
  template: string;
  conversationId: string | null;
  messageId: string | null;
  files: readonly FileFact[];
  caps: Caps | null;
  routed: RunRouted | null;
  machine: SandboxCreated | null;
  items: readonly Item[];
  calls: readonly ModelCall[];
  stretches: readonly Stretch[];
  artifacts: readonly Artifact[];
  error: Fault | null;
  answer: string;
  totals: Totals | null;
}

export function emptyRun(id: string): RunView {
  return {
    id,
    last: 0,
    gap: false,
    status: "running",
    doing: "starting",
    startedAt: "",
    updatedAt: "",
    prompt: "",
    model: "",
    template: "",
    conversationId: null,
    messageId: null,
    files: [],
    caps: null,
    routed: null,
    machine: null,
    items: [],
    calls: [],
    stretches: [],
    artifacts: [],
    error: null,
    answer: "",
    totals: null,
  };
}

export function callState(call: Call): CallState {
  if (call.outcome !== null) return "over";
  if (call.startedAt !== null) return "running";
  return call.asked !== null && call.decision === null ? "waiting" : "writing";
}

/** The calls that wait for a person. */
export function waiting(run: RunView): Call[] {
  if (run.status !== "running") return [];
  return run.items.filter(
    (item): item is Call => item.kind === "call" && callState(item) === "waiting",
  );
}

/** What the run has cost so far in dollars; null where a price is unknown. */
export function costOf(run: RunView): string | null {
  if (run.totals) return run.totals.usd;
  let sum = 0;
  for (const call of run.calls) {
    if (call.usd === null && call.over) return null;
    sum += Number(call.usd ?? 0);
  }
  return String(sum);
}

/** Input and output tokens so far. */
export function tokensOf(run: RunView): number {
  if (run.totals) return run.totals.usage.input_tokens + run.totals.usage.output_tokens;
  return run.calls.reduce((sum, call) => sum + call.input + call.output, 0);
}
