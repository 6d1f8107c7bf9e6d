/**
 * THE reducer: a run's ledger, folded into what a person sees. Pure. Records that it has are
 * ignored (`seq <= last`), so any of them may come any number of times: replay changes nothing. A
 * record that does not follow the last one is not taken, and `gap` says that what is between must
 * be fetched. Kinds it does not know change nothing. Whatever a value holds is replaced, never
 * changed; within one batch each thing is copied once, however many records touch it.
 */
import type {
  ApprovalDecided,
  ApprovalRequested,
  ModelFailed,
  ModelRequested,
  ModelResponded,
  RunFinished,
  RunResumed,
  RunStarted,
  ToolDisplayed,
  ToolFinished,
  ToolOutput,
  ToolStarted,
} from "@/api/__generated__/events";
import type { Call, Item, LedgerRecord, ModelCall, Output, RunView, Stretch } from "@/state/view";

/** The step of the question to the small model which way to go; no part of what was said. */
const ROUTING = 0;

type Growing = Extract<Item, { kind: "text" | "thinking" }>;

/** A view being folded: lists are copied when it begins, and each thing once. */
class Draft {
  readonly view: RunView;
  readonly items: Item[];
  private readonly own = new Set<object>();

  constructor(view: RunView) {
    this.items = [...view.items];
    this.view = { ...view, items: this.items };
  }

  push(item: Item): void {
    this.own.add(item);
    this.items.push(item);
  }

  /** The item at a place, to be changed. */
  at<T extends Item>(index: number): T {
    const item = this.items[index] as T;
    if (this.own.has(item)) return item;
    const copy: T = item.kind === "call" ? { ...item, output: [...item.output] } : { ...item };
    this.own.add(copy);
    this.items[index] = copy;
    return copy;
  }

  /** The last call of a name in a step that fits; a model may use one id twice. */
  call(step: number, callId: string): Call | null {
    for (let index = this.items.length - 1; index >= 0; index -= 1) {
      const item = this.items[index];
      if (item?.kind === "call" && item.step === step && item.callId === callId)
        return this.at(index);
    }
    return null;
  }

  calls(change: (last: ModelCall) => ModelCall): void {
    const calls = [...this.view.calls];
    const last = calls.pop();
    if (last) this.view.calls = [...calls, change(last)];
  }

  begin(stretch: Stretch): void {
    this.view.stretches = [...this.view.stretches, stretch];
  }

  /** End the open stretches whose key fits. */
  end(at: string, fits: (stretch: Stretch) => boolean): void {
    if (!this.view.stretches.some((each) => each.until === null && fits(each))) return;
    this.view.stretches = this.view.stretches.map((each) =>
      each.until === null && fits(each) ? { ...each, until: at } : each,
    );
  }
}

/** The view with these records in it. */
export function fold(view: RunView, records: readonly LedgerRecord[]): RunView {
  const draft = new Draft(view);
  let { last } = view;
  let gap = false;
  for (const record of records) {
    if (record.seq <= last) continue;
    if (record.seq !== last + 1) {
      gap = true;
      break;
    }
    last = record.seq;
    draft.view.updatedAt = record.at;
    apply(draft, record);
  }
  if (last === view.last && gap === view.gap) return view;
  draft.view.last = last;
  draft.view.gap = gap;
  return draft.view;
}

type Kind = LedgerRecord["event"]["type"];
type Of<K extends Kind> = Extract<LedgerRecord["event"], { type: K }>;
type Takers = { [K in Kind]?: (draft: Draft, event: Of<K>, record: LedgerRecord) => void };

const takers: Takers = {
  "run.started": started,
  "run.resumed": resumed,
  "run.routed": (draft, event) => {
    draft.view.routed = event;
  },
  "sandbox.created": (draft, event, record) => {
    draft.view.machine = event;
    const from = new Date(Date.parse(record.at) - event.duration_ms).toISOString();
    const key = `machine:${record.seq}`;
    draft.begin({ key, kind: "machine", label: event.provider, step: 0, from, until: record.at });
  },
  "message.steered": (draft, event, record) => {
    const { step, text, by } = event;
    draft.push({ kind: "steered", key: `steered:${record.seq}`, step, text, by });
  },
  "approval.requested": approvalRequested,
  "approval.decided": approvalDecided,
  "model.requested": modelRequested,
  "model.text": (draft, event, record) => grow(draft, "text", event, record),
  "model.thinking": (draft, event, record) => grow(draft, "thinking", event, record),
  "model.tool_input": (draft, event) => {
    if (event.step === ROUTING) return;
    const call = openCall(draft, event.step, event.call_id, event.name);
    if (!call.written) call.input += event.text;
    draft.view.doing = "writing";
  },
  "model.responded": modelResponded,
  "model.failed": modelFailed,
  "tool.started": toolStarted,
  "tool.output": toolOutput,
  "tool.displayed": toolDisplayed,
  "tool.finished": toolFinished,
  "artifact.saved": (draft, event, record) => {
    const { name, size, sha256, step } = event;
    draft.view.artifacts = [...draft.view.artifacts, { name, size, sha256, step, at: record.at }];
  },
  notice: (draft, event, record) => {
    draft.push({ kind: "notice", key: `notice:${record.seq}`, text: event.text });
  },
  "run.finished": finished,
};

function apply(draft: Draft, record: LedgerRecord): void {
  const take = takers[record.event.type] as
    | ((draft: Draft, event: LedgerRecord["event"], record: LedgerRecord) => void)
    | undefined;
  take?.(draft, record.event, record);
}

function started(draft: Draft, event: RunStarted, record: LedgerRecord): void {
  const { view } = draft;
  view.startedAt = record.at;
  view.prompt = event.prompt;
  view.model = event.model;
  view.template = event.template;
  view.files = event.files;
  view.caps = event.caps;
  view.conversationId = event.conversation_id;
  view.messageId = event.message_id;
}

function resumed(draft: Draft, event: RunResumed, record: LedgerRecord): void {
  const { view } = draft;
  draft.end(record.at, () => true);
  view.status = "running";
  view.doing = "starting";
  view.error = null;
  view.totals = null;
  view.machine = null;
  view.caps = event.caps ?? view.caps;
  settle(draft, record.at);
  const { why, attempt } = event;
  draft.push({ kind: "resumed", key: `resumed:${record.seq}`, why, attempt });
}

function modelRequested(draft: Draft, event: ModelRequested, record: LedgerRecord): void {
  if (event.step !== ROUTING) draft.view.doing = "asking";
  // What an attempt that failed said is not the answer.
  drop(draft, event.step);
  draft.view.calls = [
    ...draft.view.calls,
    {
      step: event.step,
      attempt: event.attempt,
      model: event.model,
      usd: null,
      input: 0,
      output: 0,
      ms: null,
      over: false,
    },
  ];
  draft.begin({
    key: `model:${record.seq}`,
    kind: "model",
    label: event.model,
    step: event.step,
    from: record.at,
    until: null,
  });
}

/** Take away what the model wrote in a step whose call is made anew. */
function drop(draft: Draft, step: number): void {
  const gone = (item: Item) =>
    "step" in item &&
    item.step === step &&
    ((item.kind === "call" && item.startedAt === null && item.outcome === null) ||
      item.kind === "text" ||
      item.kind === "thinking");
  for (let index = draft.items.length - 1; index >= 0; index -= 1) {
    const item = draft.items[index];
    if (item && gone(item)) draft.items.splice(index, 1);
  }
}

function grow(
  draft: Draft,
  kind: "text" | "thinking",
  event: { step: number; text: string },
  record: LedgerRecord,
): void {
  if (event.step === ROUTING) return;
  draft.view.doing = kind === "text" ? "answering" : "thinking";
  const index = draft.items.length - 1;
  const last = draft.items[index];
  if (last?.kind === kind && last.step === event.step && !last.done) {
    draft.at<Growing>(index).text += event.text;
    if (kind === "text") draft.view.answer = draft.at<Growing>(index).text;
    return;
  }
  settle(draft, record.at, event.step);
  const key = `${kind}:${record.seq}`;
  const common = { key, step: event.step, text: event.text, done: false };
  if (kind === "text") draft.push({ kind, ...common });
  else draft.push({ kind, ...common, ms: -Date.parse(record.at) });
}

/** What grew is whole now. A thought's time counts from its first word. */
function settle(draft: Draft, at: string, step?: number): void {
  for (let index = draft.items.length - 1; index >= 0; index -= 1) {
    const item = draft.items[index];
    if (item === undefined || (step !== undefined && "step" in item && item.step < step)) return;
    if ((item.kind === "text" || item.kind === "thinking") && !item.done) {
      const whole = draft.at<Growing>(index);
      whole.done = true;
      if (whole.kind === "thinking" && whole.ms !== null) whole.ms += Date.parse(at);
    }
  }
}

function openCall(draft: Draft, step: number, callId: string, name: string): Call {
  const known = draft.call(step, callId);
  if (known && known.outcome === null) return known;
  const repeated = draft.items.filter((item) => item.kind === "call" && item.step === step).length;
  const call: Call = {
    kind: "call",
    key: `call:${step}:${callId}:${repeated}`,
    step,
    callId,
    name,
    input: "",
    written: false,
    asked: null,
    decision: null,
    startedAt: null,
    output: [],
    outcome: null,
    content: "",
    durationMs: null,
  };
  draft.push(call);
  return call;
}

function modelResponded(draft: Draft, event: ModelResponded, record: LedgerRecord): void {
  draft.end(record.at, (each) => each.kind === "model");
  draft.calls((last) => ({
    ...last,
    usd: event.usd,
    input: event.usage.input_tokens,
    output: event.usage.output_tokens,
    ms: event.duration_ms,
    over: true,
  }));
  if (event.step === ROUTING) return;
  settle(draft, record.at);
  const written = (kind: "text" | "thinking") =>
    draft.items.some((item) => item.kind === kind && item.step === event.step);
  const had = { text: written("text"), thinking: written("thinking") };
  for (const [index, part] of event.message.parts.entries()) {
    if (part.kind === "tool_call") {
      const call = openCall(draft, event.step, part.id, part.name);
      call.input = part.arguments;
      call.written = true;
    } else if (part.text && !had[part.kind]) {
      const common = {
        key: `${part.kind}:${record.seq}:${index}`,
        step: event.step,
        text: part.text,
      };
      if (part.kind === "text") draft.push({ kind: "text", ...common, done: true });
      else draft.push({ kind: "thinking", ...common, done: true, ms: null });
    }
    if (part.kind === "text" && part.text) draft.view.answer = part.text;
  }
}

function modelFailed(draft: Draft, event: ModelFailed, record: LedgerRecord): void {
  draft.end(record.at, (each) => each.kind === "model");
  draft.calls((last) => ({ ...last, over: true, usd: last.usd ?? "0" }));
  if (event.step === ROUTING) return;
  settle(draft, record.at);
  const { step, error, retry_in_s: inS } = event;
  draft.push({ kind: "retrying", key: `retrying:${record.seq}`, step, error, inS });
}

function approvalRequested(draft: Draft, event: ApprovalRequested, record: LedgerRecord): void {
  const call = openCall(draft, event.step, event.call_id, event.name);
  call.asked = event;
  call.input = event.arguments;
  call.written = true;
  draft.view.doing = "waiting";
  const key = `waiting:${event.step}:${event.call_id}`;
  const { step, name: label } = event;
  draft.begin({ key, kind: "waiting", label, step, from: record.at, until: null });
}

function approvalDecided(draft: Draft, event: ApprovalDecided, record: LedgerRecord): void {
  draft.end(record.at, (each) => each.key === `waiting:${event.step}:${event.call_id}`);
  const call = draft.call(event.step, event.call_id);
  if (!call) return;
  call.decision = { approved: event.approved, by: event.by, why: event.why };
  draft.view.doing = "running";
}

function toolStarted(draft: Draft, event: ToolStarted, record: LedgerRecord): void {
  const call = openCall(draft, event.step, event.call_id, event.name);
  call.input = event.arguments;
  call.written = true;
  call.startedAt = record.at;
  draft.view.doing = "running";
  draft.begin({
    key: `tool:${event.step}:${event.call_id}`,
    kind: "tool",
    label: event.name,
    step: event.step,
    from: record.at,
    until: null,
  });
}

function toolOutput(draft: Draft, event: ToolOutput): void {
  const call = draft.call(event.step, event.call_id);
  if (!call) return;
  const output = call.output as Output[];
  const last = output.at(-1);
  if (last?.kind === "printed" && last.stream === event.stream) {
    output[output.length - 1] = { ...last, text: last.text + event.text };
  } else {
    output.push({ kind: "printed", stream: event.stream, text: event.text });
  }
}

function toolDisplayed(draft: Draft, event: ToolDisplayed): void {
  const call = draft.call(event.step, event.call_id);
  if (!call) return;
  const output = call.output as Output[];
  const shown: Output = { kind: "displayed", id: event.display_id, data: event.data };
  const place =
    event.update && event.display_id
      ? output.findLastIndex((each) => each.kind === "displayed" && each.id === event.display_id)
      : -1;
  if (place >= 0) output[place] = shown;
  else output.push(shown);
}

function toolFinished(draft: Draft, event: ToolFinished, record: LedgerRecord): void {
  draft.end(record.at, (each) => each.key === `tool:${event.step}:${event.call_id}`);
  const call = openCall(draft, event.step, event.call_id, event.name);
  call.outcome = event.outcome;
  call.content = event.content;
  call.durationMs = event.duration_ms;
}

function finished(draft: Draft, event: RunFinished, record: LedgerRecord): void {
  draft.end(record.at, () => true);
  settle(draft, record.at);
  const { view } = draft;
  view.status = event.status;
  view.error = event.error;
  view.answer = event.answer || view.answer;
  view.totals = event.totals;
}
