/* Made from the server's own schemas by scripts/webtypes.py. Do not edit. */

export interface Everything {
  Ability?: Ability;
  Again?: Again;
  Ask?: Ask;
  Caps?: Caps;
  Changes?: Changes;
  ConversationLine?: ConversationLine;
  ConversationPage?: ConversationPage;
  Cost?: Cost;
  Decision?: Decision;
  DiffLine?: DiffLine;
  Elsewhere?: Elsewhere;
  Enforced?: Enforced;
  EventLine?: EventLine;
  EventPage?: EventPage;
  FileEntry?: FileEntry;
  FileLine?: FileLine;
  FilePage?: FilePage;
  Folder?: Folder;
  ForkAt?: ForkAt;
  FoundIn?: FoundIn;
  FoundLine?: FoundLine;
  KeyLine?: KeyLine;
  Keys?: Keys;
  Listing?: Listing;
  LogIn?: LogIn;
  MachineLine?: MachineLine;
  Made?: Made;
  MadeInvite?: MadeInvite;
  MadeKey?: MadeKey;
  MadeShare?: MadeShare;
  Me?: Me;
  MessageLine?: MessageLine;
  Move?: Move;
  Moved?: Moved;
  MySettings?: MySettings;
  NewCaps?: NewCaps;
  NewConversation?: NewConversation;
  NewInvite?: NewInvite;
  NewKey?: NewKey;
  NewPassword?: NewPassword;
  NewSecret?: NewSecret;
  Part?: Part;
  Pool?: Pool;
  PortLine?: PortLine;
  Ports?: Ports;
  "Preferences-Input"?: PreferencesInput;
  "Preferences-Output"?: PreferencesOutput;
  Problem?: Problem;
  Project?: Project;
  Readiness?: Readiness;
  Removed?: Removed;
  RunLine?: RunLine;
  RunPage?: RunPage;
  SecretNames?: SecretNames;
  SessionLine?: SessionLine;
  Sessions?: Sessions;
  ShareLine?: ShareLine;
  SharePage?: SharePage;
  Shown?: Shown;
  SideLine?: SideLine;
  SignUp?: SignUp;
  SignedAddress?: SignedAddress;
  Steps?: Steps;
  Talk?: Talk;
  Totals?: Totals;
  Tried?: Tried;
  UserLine?: UserLine;
  UserPage?: UserPage;
  UsualModel?: UsualModel;
  Verification?: Verification;
  WantedMachine?: WantedMachine;
  WantedVolume?: WantedVolume;
  Warm?: Warm;
  Ways?: Ways;
  Words?: Words;
  Written?: Written;
  forge__server__routes__sandbox__Usage?: Forge_Server_Routes_Sandbox__Usage;
  forge__usage__Usage?: Forge_Usage__Usage1;
}
/**
 * What machines this server makes. `accelerator` is the best that booted a guest, null where
 * none did, and `why` says so in words; `template` is what machines are made from unless another
 * is asked for; `pool` is null where none is kept warm.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Ability".
 */
export interface Ability {
  accelerator: string | null;
  attempts: Tried[];
  cached: boolean;
  pool: Pool | null;
  provider: string;
  template: string;
  version: string;
  why: string;
}
/**
 * An accelerator that was tried, and why it works or does not.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Tried".
 */
export interface Tried {
  accelerator: string;
  duration_ms: number;
  reason: string;
  works: boolean;
}
/**
 * The warm machines: how many of each kind are kept at most, and those there are.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Pool".
 */
export interface Pool {
  keep: number;
  ready: Warm[];
}
/**
 * How many machines of a template are warm, ready in milliseconds.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Warm".
 */
export interface Warm {
  ready: number;
  template: string;
}
/**
 * What is to be different; what is left out is as it was, but for the model: that is one's
 * usual one.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Again".
 */
export interface Again {
  caps?: Caps | null;
  model?: string;
}
/**
 * The limits of a run; 0 means no limit. Seconds are wall time.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Caps".
 */
export interface Caps {
  iterations?: number;
  tokens?: number;
  usd?: number | string;
  wall_s?: number;
}
/**
 * What is asked, where, and under which limits; what is left out is as the settings say.
 *
 * Without `conversation_id` it begins a conversation. `parent_id` is the answer that it follows;
 * left out, the head of the branch in view; null with an id, the beginning: an edited first
 * message. `files` are uploads. `route` is the way it is answered.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Ask".
 */
export interface Ask {
  /**
   * @maxItems 50
   */
  approve?: string[];
  caps?: Caps | null;
  conversation_id?: string | null;
  /**
   * @maxItems 100
   */
  files?: string[];
  machine?: WantedMachine;
  message: string;
  model?: string;
  parent_id?: string | null;
  route?: ("auto" | "chat" | "agent" | "pipeline") | null;
}
/**
 * The machine to do it in. `template` is a template's name or a snapshot's; the sizes (MiB but
 * for counts) and `volumes` are an admin's to choose: they are the host's, not one person's.
 * With `own` the machine ends with the run, else the conversation keeps it.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "WantedMachine".
 */
export interface WantedMachine {
  cpus?: number | null;
  disk_mib?: number | null;
  memory_mib?: number | null;
  own?: boolean;
  processes?: number | null;
  template?: string;
  /**
   * @maxItems 4
   */
  volumes?: WantedVolume[];
}
/**
 * A volume for the machine, and where it has it.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "WantedVolume".
 */
export interface WantedVolume {
  name: string;
  path: string;
  read_only?: boolean;
}
/**
 * What to change: the title, the branch in view, or both.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Changes".
 */
export interface Changes {
  head_id?: string | null;
  title?: string | null;
}
/**
 * A conversation in a list. Times are UTC.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "ConversationLine".
 */
export interface ConversationLine {
  created_at: string;
  forked_from: string | null;
  head_id: string | null;
  id: string;
  title: string;
  updated_at: string;
}
/**
 * Conversations, the last used first, in a search the best; `next` is the cursor of the page
 * after this one.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "ConversationPage".
 */
export interface ConversationPage {
  items: FoundLine[];
  next: string | null;
}
/**
 * A conversation in a list; `found` says where, in a search.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "FoundLine".
 */
export interface FoundLine {
  created_at: string;
  forked_from: string | null;
  found: FoundIn | null;
  head_id: string | null;
  id: string;
  title: string;
  updated_at: string;
}
/**
 * Where it was said: in a message, or in the title, where `message_id` is null. `marks` are the
 * places (start, end) of words in `text`.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "FoundIn".
 */
export interface FoundIn {
  marks: [unknown, unknown, ...unknown[]][];
  message_id: string | null;
  text: string;
}
/**
 * What a run came to, so far or in all.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Cost".
 */
export interface Cost {
  status: string;
  totals: Totals;
}
/**
 * What a run came to. `usd` is None where a price was unknown and no USD cap applied.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Totals".
 */
export interface Totals {
  iterations: number;
  model_s: number;
  sandbox_s: number;
  tool_calls: number;
  usage: Forge_Usage__Usage;
  usd: string | null;
  wall_s: number;
}
/**
 * Tokens of one or more model calls.
 *
 * `input_tokens` includes what was read from and written to the prompt cache, as OpenTelemetry's
 * `gen_ai.usage.input_tokens` does.
 */
export interface Forge_Usage__Usage {
  cache_read_tokens: number;
  cache_write_tokens: number;
  input_tokens: number;
  output_tokens: number;
}
/**
 * What a person decides about a call that waits.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Decision".
 */
export interface Decision {
  call_id: string;
  why?: string;
}
/**
 * How a run differs from another: unified diffs of the code that ran, what it
 * came to, and the answer.
 * `clipped`: one was too long to be compared whole.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "DiffLine".
 */
export interface DiffLine {
  answer: string;
  clipped: boolean;
  code: string;
  one: SideLine;
  other: SideLine;
  result: string;
}
/**
 * One of two runs; `artifacts` are the names of the files that it made.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "SideLine".
 */
export interface SideLine {
  artifacts: string[];
  id: string;
  model: string;
  status: string;
  totals: Totals;
}
/**
 * Another provider: its name, and where a browser goes to log in there.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Elsewhere".
 */
export interface Elsewhere {
  name: string;
  url: string;
}
/**
 * What holds, whatever is preferred: which provider makes the machines and where, and what
 * their programs reach: no network but the ports that people open into them.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Enforced".
 */
export interface Enforced {
  egress: "none";
  place: "local" | "remote";
  provider: string;
}
/**
 * Something that happened to an account. Times are UTC.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "EventLine".
 */
export interface EventLine {
  actor_id: string | null;
  address: string;
  created_at: string;
  facts: {
    [k: string]: string;
  };
  id: string;
  kind: string;
  user_id: string | null;
}
/**
 * Events, the newest first; `next` is the cursor of the page after this one.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "EventPage".
 */
export interface EventPage {
  items: EventLine[];
  next: string | null;
}
/**
 * A file in a machine. `modified` is seconds since 1970.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "FileEntry".
 */
export interface FileEntry {
  kind: string;
  mode: number;
  modified: number;
  path: string;
  size: number;
  target: string | null;
}
/**
 * A file; `sha256` is the digest of its bytes, in hex. Times are UTC, sizes bytes.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "FileLine".
 */
export interface FileLine {
  conversation_id: string | null;
  created_at: string;
  id: string;
  kind: "upload" | "artifact";
  media_type: string;
  name: string;
  run_id: string | null;
  sha256: string;
  size: number;
  version: number;
}
/**
 * Files, the newest first; `next` is the cursor of the page after this one.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "FilePage".
 */
export interface FilePage {
  items: FileLine[];
  next: string | null;
}
/**
 * A folder that is wanted.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Folder".
 */
export interface Folder {
  path: string;
}
/**
 * Up to which message; the head, where it is left out. `machine`: with a copy of its machine as
 * it is now, running programs and all.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "ForkAt".
 */
export interface ForkAt {
  head_id?: string | null;
  machine?: boolean;
}
/**
 * A key; `hint` is how it begins. Times are UTC.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "KeyLine".
 */
export interface KeyLine {
  created_at: string;
  expires_at: string | null;
  hint: string;
  id: string;
  name: string;
  revoked: boolean;
  scopes: ("read" | "write" | "run" | "admin")[];
  used_at: string | null;
}
/**
 * One's own keys.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Keys".
 */
export interface Keys {
  items: KeyLine[];
}
/**
 * A folder of a machine.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Listing".
 */
export interface Listing {
  items: FileEntry[];
  path: string;
}
/**
 * Who says so, and the proof.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "LogIn".
 */
export interface LogIn {
  email: string;
  password: string;
}
/**
 * A conversation's machine; `state` is `none` where it has none now.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "MachineLine".
 */
export interface MachineLine {
  conversation_id: string;
  id: string | null;
  state: string;
  template: string | null;
}
/**
 * A folder that is there now; `made` is false where it was.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Made".
 */
export interface Made {
  made: boolean;
  path: string;
}
/**
 * A one-time link, shown this once.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "MadeInvite".
 */
export interface MadeInvite {
  url: string;
}
/**
 * A fresh key. `key` is its text, shown this once.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "MadeKey".
 */
export interface MadeKey {
  created_at: string;
  expires_at: string | null;
  hint: string;
  id: string;
  key: string;
  name: string;
  revoked: boolean;
  scopes: ("read" | "write" | "run" | "admin")[];
  used_at: string | null;
}
/**
 * A fresh link, shown this once.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "MadeShare".
 */
export interface MadeShare {
  created_at: string;
  head_id: string | null;
  id: string;
  revoked: boolean;
  url: string;
}
/**
 * Who asks. `via` says how that is known: in single-user mode nobody logs in.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Me".
 */
export interface Me {
  email: string | null;
  id: string;
  name: string;
  role: "user" | "admin";
  scopes: ("read" | "write" | "run" | "admin")[];
  via: "local" | "session" | "key" | "token";
}
/**
 * What was said. `siblings` are all that were said in its place; times are UTC.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "MessageLine".
 */
export interface MessageLine {
  created_at: string;
  id: string;
  parent_id: string | null;
  role: "user" | "assistant";
  run_id: string | null;
  siblings: string[];
  text: string;
}
/**
 * A file, folder or link, and the name it is to have.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Move".
 */
export interface Move {
  source: string;
  target: string;
}
/**
 * What has another name now.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Moved".
 */
export interface Moved {
  source: string;
  target: string;
}
/**
 * One's own settings, what counts with the server's below them, and what holds anyhow.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "MySettings".
 */
export interface MySettings {
  counts: PreferencesOutput;
  enforced: Enforced;
  model: UsualModel;
  own: PreferencesOutput;
}
/**
 * Everything that can be preferred; None is for whoever is asked next to say.
 *
 * `provider_mode`: `auto` takes whichever machines the server makes; `local` wants them on the
 * server's own computer, `remote` elsewhere, and where the server makes none there, it is refused.
 * `strict` is `local`, and never anything else, whatever will be there to fall back on.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Preferences-Output".
 */
export interface PreferencesOutput {
  approve: string[] | null;
  egress: ("none" | "allowlist") | null;
  egress_allow: string[] | null;
  max_iterations: number | null;
  max_usd: string | null;
  model: string | null;
  plan: string | null;
  provider_mode: ("auto" | "local" | "remote" | "strict") | null;
  small_model: string | null;
  template: string | null;
}
/**
 * The model that answers where nobody names one, as `provider:model`, and who chose it.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "UsualModel".
 */
export interface UsualModel {
  name: string;
  why: string;
}
/**
 * The limits under which a run goes on.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "NewCaps".
 */
export interface NewCaps {
  caps: Caps;
}
/**
 * A title, if it is known already.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "NewConversation".
 */
export interface NewConversation {
  title?: string;
}
/**
 * Whom the invitation makes.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "NewInvite".
 */
export interface NewInvite {
  role?: "user" | "admin";
}
/**
 * What a key is called, may do, and when it ends (never, where that is left out).
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "NewKey".
 */
export interface NewKey {
  expires_at?: string | null;
  name: string;
  /**
   * @maxItems 10
   */
  scopes: ("read" | "write" | "run" | "admin")[];
}
/**
 * The old password, and the one that takes its place.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "NewPassword".
 */
export interface NewPassword {
  new: string;
  old: string;
}
/**
 * A secret to keep.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "NewSecret".
 */
export interface NewSecret {
  value: string;
}
/**
 * A part: `ok`, or the `code` of what is wrong with it and the `reason` in words.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Part".
 */
export interface Part {
  code: string;
  ok: boolean;
  reason: string;
}
/**
 * A port something in the machine listens on.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "PortLine".
 */
export interface PortLine {
  address: string;
  port: number;
}
/**
 * The ports that something listens on.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Ports".
 */
export interface Ports {
  items: PortLine[];
}
/**
 * Everything that can be preferred; None is for whoever is asked next to say.
 *
 * `provider_mode`: `auto` takes whichever machines the server makes; `local` wants them on the
 * server's own computer, `remote` elsewhere, and where the server makes none there, it is refused.
 * `strict` is `local`, and never anything else, whatever will be there to fall back on.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Preferences-Input".
 */
export interface PreferencesInput {
  approve?: string[] | null;
  egress?: ("none" | "allowlist") | null;
  egress_allow?: string[] | null;
  max_iterations?: number | null;
  max_usd?: number | string | null;
  model?: string | null;
  plan?: string | null;
  provider_mode?: ("auto" | "local" | "remote" | "strict") | null;
  small_model?: string | null;
  template?: string | null;
}
/**
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Problem".
 */
export interface Problem {
  code: string;
  detail: string;
  errors?: {}[];
  fault?: string;
  hint?: string;
  request_id?: string;
  retry?: boolean;
  retry_after_s?: number;
  status: number;
  title: string;
  type: string;
}
/**
 * A Supabase project whose tokens are taken as `Authorization: Bearer`.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Project".
 */
export interface Project {
  url: string;
}
/**
 * Whether all of it is ready: `ready` or `not_ready`.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Readiness".
 */
export interface Readiness {
  parts: {
    [k: string]: Part;
  };
  status: string;
}
/**
 * What was to be removed; `removed` is false where there was nothing.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Removed".
 */
export interface Removed {
  path: string;
  removed: boolean;
}
/**
 * A run in a list. Times are UTC.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "RunLine".
 */
export interface RunLine {
  conversation_id: string | null;
  created_at: string;
  finished_at: string | null;
  id: string;
  model: string;
  status: string;
  title: string;
}
/**
 * Runs, the newest first; `next` is the cursor of the page after this one.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "RunPage".
 */
export interface RunPage {
  items: RunLine[];
  next: string | null;
}
/**
 * Which secrets are kept; never what they are.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "SecretNames".
 */
export interface SecretNames {
  items: string[];
}
/**
 * A login. Times are UTC.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "SessionLine".
 */
export interface SessionLine {
  address: string;
  agent: string;
  created_at: string;
  id: string;
  used_at: string;
}
/**
 * One's own logins.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Sessions".
 */
export interface Sessions {
  items: SessionLine[];
}
/**
 * A link to a conversation. Times are UTC.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "ShareLine".
 */
export interface ShareLine {
  created_at: string;
  head_id: string | null;
  id: string;
  revoked: boolean;
}
/**
 * A conversation's links.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "SharePage".
 */
export interface SharePage {
  items: ShareLine[];
}
/**
 * What a link shows.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Shown".
 */
export interface Shown {
  created_at: string;
  messages: MessageLine[];
  title: string;
}
/**
 * What somebody who comes in says. `invite` is the token of an invitation.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "SignUp".
 */
export interface SignUp {
  email: string;
  invite?: string;
  name: string;
  password: string;
}
/**
 * An address that whoever has it can open for a while.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "SignedAddress".
 */
export interface SignedAddress {
  url: string;
}
/**
 * A run's steps, as the fold of its ledger has them.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Steps".
 */
export interface Steps {
  items: {
    [k: string]: unknown;
  }[];
}
/**
 * A conversation with the branch in view.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Talk".
 */
export interface Talk {
  created_at: string;
  forked_from: string | null;
  head_id: string | null;
  id: string;
  messages: MessageLine[];
  title: string;
  updated_at: string;
}
/**
 * Somebody with an account. Times are UTC.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "UserLine".
 */
export interface UserLine {
  created_at: string;
  disabled: boolean;
  email: string | null;
  id: string;
  name: string;
  role: "user" | "admin";
}
/**
 * Accounts, the oldest first; `next` is the cursor of the page after this one.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "UserPage".
 */
export interface UserPage {
  items: UserLine[];
  next: string | null;
}
/**
 * Whether a run's chain is whole. `head` is the hash of its last record, which vouches for all;
 * `broken_at` the number of the first record that is not right, and `why` in words.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Verification".
 */
export interface Verification {
  broken_at: number | null;
  head: string | null;
  intact: boolean;
  records: number | null;
  run_id: string;
  why: string | null;
}
/**
 * How to come in. Where nobody logs in (`single_user`) there are no other ways.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Ways".
 */
export interface Ways {
  oidc: Elsewhere | null;
  password: boolean;
  sign_up: "open" | "invite" | "closed";
  single_user: boolean;
  supabase: Project | null;
}
/**
 * What a run is told while it goes on.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Words".
 */
export interface Words {
  text: string;
}
/**
 * A file that was written.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "Written".
 */
export interface Written {
  path: string;
  size: number;
}
/**
 * What a machine uses, as the host measures it: the machine itself is not asked, nor woken.
 * `cpu_percent` is of one processor since the reading before; memory is 0 while it is paused.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "forge__server__routes__sandbox__Usage".
 */
export interface Forge_Server_Routes_Sandbox__Usage {
  cpu_percent: number;
  cpu_seconds: number;
  disk_limit_bytes: number;
  disk_used_bytes: number;
  memory_limit_bytes: number;
  memory_private_bytes: number;
  memory_pss_bytes: number;
  memory_rss_bytes: number;
  received_bytes: number;
  sent_bytes: number;
  state: string;
  uptime_s: number;
}
/**
 * Tokens of one or more model calls.
 *
 * `input_tokens` includes what was read from and written to the prompt cache, as OpenTelemetry's
 * `gen_ai.usage.input_tokens` does.
 *
 * This interface was referenced by `Everything`'s JSON-Schema
 * via the `definition` "forge__usage__Usage".
 */
export interface Forge_Usage__Usage1 {
  cache_read_tokens: number;
  cache_write_tokens: number;
  input_tokens: number;
  output_tokens: number;
}
