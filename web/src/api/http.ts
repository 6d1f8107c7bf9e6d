/**
 * One way to ask the server. Errors are `Problem`s: what happened, whose it is, what to do next.
 * Whoever is not logged in any more is told of by `onLoggedOut`. A POST that creates carries an
 * Idempotency-Key, so that sending it again after a lost answer does nothing twice.
 */
import { words } from "@/words/en";

export interface Facts {
  code: string;
  detail: string;
  status: number;
  hint?: string | undefined;
  fault?: string | undefined;
  retry?: boolean | undefined;
  retry_after_s?: number | undefined;
  request_id?: string | undefined;
  errors?: readonly unknown[] | undefined;
}

export class Problem extends Error {
  override readonly name = "Problem";
  readonly facts: Facts;

  constructor(facts: Facts) {
    super(facts.detail);
    this.facts = facts;
  }

  get code(): string {
    return this.facts.code;
  }

  get hint(): string | undefined {
    return this.facts.hint;
  }

  get status(): number {
    return this.facts.status;
  }
}

/** How long an answer may take, in ms, where a route says nothing else: a database and a disk. */
export const PATIENCE_MS = 30_000;

export interface Asked {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is. */
  raw?: BodyInit;
  query?: Readonly<Record<string, string | number | boolean | null | undefined>>;
  signal?: AbortSignal;
  headers?: Readonly<Record<string, string>>;
  patience?: number;
}

type Listener = () => void;
const loggedOut = new Set<Listener>();

/** Be told when the server says that nobody is logged in. */
export function onLoggedOut(listener: Listener): () => void {
  loggedOut.add(listener);
  return () => loggedOut.delete(listener);
}

export function freshKey(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function address(path: string, query: Asked["query"] = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

/** What an answer that is no success says. */
export async function problemOf(response: Response): Promise<Problem> {
  const facts: Facts = {
    code: "unexpected",
    detail: `${words.problems.unexpected} (${response.status})`,
    status: response.status,
  };
  try {
    const said: unknown = await response.json();
    if (typeof said === "object" && said !== null && "code" in said) {
      return new Problem({ ...facts, ...(said as Partial<Facts>) });
    }
  } catch {
    return new Problem(facts);
  }
  return new Problem(facts);
}

function unreachable(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem({
    code: "unreachable",
    detail: words.problems.offline,
    hint: words.problems.offlineHint,
    status: 0,
    retry: true,
  });
}

function within(signal: AbortSignal | undefined, patience: number): AbortSignal {
  const deadline = AbortSignal.timeout(patience);
  return signal ? AbortSignal.any([signal, deadline]) : deadline;
}

/**
 * Ask; the answer whole, its body unread.
 *
 * @throws Problem where it is no success, or nobody answers; the signal's own reason where aborted.
 */
export async function ask(path: string, asked: Asked = {}): Promise<Response> {
  const method = asked.method ?? "GET";
  const headers: Record<string, string> = { Accept: "application/json", ...asked.headers };
  if (asked.body !== undefined) headers["Content-Type"] = "application/json";
  if (method === "POST") headers["Idempotency-Key"] ??= freshKey();
  const body = asked.raw ?? (asked.body === undefined ? null : JSON.stringify(asked.body));
  let response: Response;
  try {
    response = await fetch(address(path, asked.query), {
      method,
      headers,
      body,
      signal: within(asked.signal, asked.patience ?? PATIENCE_MS),
      credentials: "same-origin",
    });
  } catch (error) {
    if (asked.signal?.aborted) throw error;
    throw unreachable(error);
  }
  if (response.ok) return response;
  if (response.status === 401) for (const listener of loggedOut) listener();
  throw await problemOf(response);
}

/** Ask for JSON; undefined where the answer has no body. */
export async function json<T>(path: string, asked: Asked = {}): Promise<T> {
  const response = await ask(path, asked);
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}
