/* Made from the server's own schemas by scripts/webtypes.py. Do not edit. */

/**
 * An event in its place in a run's ledger. Hashes are SHA-256 in hex; the first has no prev.
 */
export interface Record {
  run_id: string;
  seq: number;
  at: string;
  event:
    | RunStarted
    | RunResumed
    | RunRouted
    | MessageSteered
    | ApprovalRequested
    | ApprovalDecided
    | SandboxCreated
    | FileUploaded
    | ModelRequested
    | ModelText
    | ModelThinking
    | ModelToolInput
    | ModelResponded
    | ModelFailed
    | ToolStarted
    | ToolOutput
    | ToolDisplayed
    | ToolFinished
    | ArtifactSaved
    | Notice
    | RunFinished;
  prev: string;
  hash: string;
}
/**
 * A person asked. All that carrying the run out takes is in here: another process can do it.
 *
 * `earlier` are the runs of the conversation before this one, oldest first; `approve` the tools
 * whose calls wait for a person; `route` the way that the person chose, or `auto`; `small_model`
 * who answers in words, where the person prefers one.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "RunStarted".
 */
export interface RunStarted {
  type: "run.started";
  prompt: string;
  model: string;
  template: string;
  caps: Caps;
  files: FileFact[];
  machine: MachineFact;
  approve: string[];
  route: string;
  small_model: string;
  conversation_id: string | null;
  message_id: string | null;
  earlier: string[];
}
/**
 * The limits of a run; 0 means no limit. Seconds are wall time.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "Caps".
 */
export interface Caps {
  iterations: number;
  tokens: number;
  usd: string;
  wall_s: number;
}
/**
 * A file's name, size in bytes and SHA-256 in hex.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "FileFact".
 */
export interface FileFact {
  name: string;
  size: number;
  sha256: string;
}
/**
 * What machine a run was asked to be done in, besides its template: limits by name. `own`: one
 * that ends with the run, though it belongs to a conversation.
 */
export interface MachineFact {
  limits: {
    [k: string]: number;
  };
  volumes: VolumeFact[];
  own: boolean;
}
/**
 * A volume of a machine, and where it has it.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "VolumeFact".
 */
export interface VolumeFact {
  name: string;
  path: string;
  read_only: boolean;
}
/**
 * A run goes on after whoever carried it out was gone, or after a cap with new caps.
 *
 * Attempts count from 2, as the first one is the run's beginning.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "RunResumed".
 */
export interface RunResumed {
  type: "run.resumed";
  attempt: number;
  why: "interrupted" | "asked";
  caps: Caps | null;
  by: string | null;
}
/**
 * Which way of answering was chosen, why, and whether the person forced it.
 *
 * `path` is `chat`, `agent`, `pipeline` or `offline` (see `forge.agent.router`); `model` is who
 * answers.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "RunRouted".
 */
export interface RunRouted {
  type: "run.routed";
  path: string;
  reason: string;
  forced: boolean;
  model: string;
}
/**
 * A person said something while the run went on; the model hears it with this step.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "MessageSteered".
 */
export interface MessageSteered {
  type: "message.steered";
  step: number;
  text: string;
  by: string | null;
  order_id: string;
}
/**
 * A tool call waits for a person, until `expires_at`; then it counts as denied.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "ApprovalRequested".
 */
export interface ApprovalRequested {
  type: "approval.requested";
  step: number;
  call_id: string;
  name: string;
  arguments: string;
  expires_at: string;
}
/**
 * A person decided on a waiting call; `by` is None where the time ran out.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "ApprovalDecided".
 */
export interface ApprovalDecided {
  type: "approval.decided";
  step: number;
  call_id: string;
  approved: boolean;
  by: string | null;
  why: string;
  order_id: string;
}
/**
 * A machine is ready. `duration_ms` is from the wish to the agent's first answer.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "SandboxCreated".
 */
export interface SandboxCreated {
  type: "sandbox.created";
  sandbox_id: string;
  provider: string;
  accelerator: string;
  template: string;
  duration_ms: number;
}
/**
 * A person's file is in the machine, at `path`.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "FileUploaded".
 */
export interface FileUploaded {
  type: "file.uploaded";
  path: string;
  size: number;
  sha256: string;
}
/**
 * A model call is about to be made; its budget was checked. Steps and attempts count from 1.
 *
 * `input_tokens` (estimated high), `max_tokens` and `worst_usd` are the most that it can come to:
 * what it counts as where nobody hears of its end.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "ModelRequested".
 */
export interface ModelRequested {
  type: "model.requested";
  step: number;
  attempt: number;
  model: string;
  max_tokens: number;
  input_tokens: number;
  worst_usd: string | null;
}
/**
 * A piece of a model's words, as they arrive.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "ModelText".
 */
export interface ModelText {
  type: "model.text";
  step: number;
  text: string;
}
/**
 * A piece of a model's reasoning, as it arrives.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "ModelThinking".
 */
export interface ModelThinking {
  type: "model.thinking";
  step: number;
  text: string;
}
/**
 * A piece of a tool call's JSON arguments, as a model writes them.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "ModelToolInput".
 */
export interface ModelToolInput {
  type: "model.tool_input";
  step: number;
  call_id: string;
  name: string;
  text: string;
}
/**
 * A model call is complete: the whole message, what it used, cost and took.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "ModelResponded".
 */
export interface ModelResponded {
  type: "model.responded";
  step: number;
  message: AssistantMessage;
  stop_reason: "end" | "tool_use" | "max_tokens" | "refusal";
  usage: Usage;
  usd: string | null;
  duration_ms: number;
  first_token_ms: number | null;
}
/**
 * What a model said, thought and wished to do, in its own order.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "AssistantMessage".
 */
export interface AssistantMessage {
  role: "assistant";
  parts: (Text | Thinking | ToolCall)[];
}
/**
 * Words.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "Text".
 */
export interface Text {
  kind: "text";
  text: string;
}
/**
 * A model's reasoning. `signature` is the provider's seal, sent back unchanged.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "Thinking".
 */
export interface Thinking {
  kind: "thinking";
  text: string;
  signature: string | null;
  provider: string | null;
}
/**
 * A model's wish to use a tool. `arguments` is the JSON text as the model wrote it.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "ToolCall".
 */
export interface ToolCall {
  kind: "tool_call";
  id: string;
  name: string;
  arguments: string;
}
/**
 * Tokens of one or more model calls.
 *
 * `input_tokens` includes what was read from and written to the prompt cache, as OpenTelemetry's
 * `gen_ai.usage.input_tokens` does.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "Usage".
 */
export interface Usage {
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
}
/**
 * A model call failed. `retry_in_s` is None when no further attempt follows.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "ModelFailed".
 */
export interface ModelFailed {
  type: "model.failed";
  step: number;
  attempt: number;
  error: Fault;
  retry_in_s: number | null;
}
/**
 * An error as the ledger keeps it: the fields of `forge.errors.ForgeError`.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "Fault".
 */
export interface Fault {
  code: string;
  message: string;
  hint: string;
  fault: string;
  retry: boolean;
}
/**
 * A tool call begins. `arguments` is the model's JSON text.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "ToolStarted".
 */
export interface ToolStarted {
  type: "tool.started";
  step: number;
  call_id: string;
  name: string;
  arguments: string;
}
/**
 * What a tool printed, as it was printed.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "ToolOutput".
 */
export interface ToolOutput {
  type: "tool.output";
  step: number;
  call_id: string;
  stream: "stdout" | "stderr";
  text: string;
}
/**
 * A rich result: a Jupyter MIME bundle. Binary types are base64, JSON types are JSON text.
 *
 * `display_id` is the code's own name for it, or empty; with `update` it belongs in the place of
 * the last one that has this name.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "ToolDisplayed".
 */
export interface ToolDisplayed {
  type: "tool.displayed";
  step: number;
  call_id: string;
  data: {
    [k: string]: string;
  };
  display_id: string;
  update: boolean;
}
/**
 * A tool call is over. `content` is what the model is shown, clipped with a mark.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "ToolFinished".
 */
export interface ToolFinished {
  type: "tool.finished";
  step: number;
  call_id: string;
  name: string;
  outcome: "ok" | "error" | "timeout" | "crashed" | "cancelled" | "interrupted" | "denied";
  content: string;
  duration_ms: number;
}
/**
 * A file the run made is kept on the host under its digest.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "ArtifactSaved".
 */
export interface ArtifactSaved {
  type: "artifact.saved";
  step: number;
  name: string;
  size: number;
  sha256: string;
}
/**
 * Something a person should know that is not an error, in words.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "Notice".
 */
export interface Notice {
  type: "notice";
  text: string;
}
/**
 * The last event of every run.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "RunFinished".
 */
export interface RunFinished {
  type: "run.finished";
  status: "done" | "failed" | "cancelled" | "capped" | "interrupted";
  answer: string;
  error: Fault | null;
  totals: Totals;
}
/**
 * What a run came to. `usd` is None where a price was unknown and no USD cap applied.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "Totals".
 */
export interface Totals {
  iterations: number;
  usage: Usage1;
  usd: string | null;
  tool_calls: number;
  wall_s: number;
  model_s: number;
  sandbox_s: number;
}
/**
 * Tokens of one or more model calls.
 *
 * `input_tokens` includes what was read from and written to the prompt cache, as OpenTelemetry's
 * `gen_ai.usage.input_tokens` does.
 */
export interface Usage1 {
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
}
/**
 * What machine a run was asked to be done in, besides its template: limits by name. `own`: one
 * that ends with the run, though it belongs to a conversation.
 *
 * This interface was referenced by `Record`'s JSON-Schema
 * via the `definition` "MachineFact".
 */
export interface MachineFact1 {
  limits: {
    [k: string]: number;
  };
  volumes: VolumeFact[];
  own: boolean;
}
