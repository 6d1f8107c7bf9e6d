/**
 * Following a run. `RunStream` opens the browser's EventSource at a place in the run's ledger and
 * hands records over in batches. The browser comes back by itself with the last id it saw; where it
 * gives up, this comes back after a while. A hidden tab closes its stream (a host has six
 * connections for all tabs) and goes on where it was when it is seen again. Nothing is lost or
 * doubled: the server numbers the records, and whoever folds them ignores what it has.
 *
 * `begin` asks for a run (a chat, an answer once more) and reads no more of the answer than the
 * event `accepted`, which says where everything is.
 */
import type { Record as LedgerRecord } from "@/api/__generated__/events";
import { ask, freshKey, Problem, problemOf } from "@/api/http";

/** How long records wait for company before they are folded and drawn; longer, in ms, where what is
 * drawn is long, which takes longer to draw. */
const BATCH_MS = 40;
const BATCH_LONG_MS = 100;
/** So many records in one batch's time are a past that is told again; it is drawn once it is told,
 * or after the most that one waits for it, in ms. */
const PAST = 150;
const PAST_MOST_MS = 500;
/** How long after EventSource gave up it is tried again; then longer, up to the most. */
const AGAIN_MS = 1000;
const AGAIN_MOST_MS = 15_000;

export type Connection = "live" | "lost" | "over";

export interface StreamOwner {
  /** The number of the last record it has. */
  last: () => number;
  take: (records: LedgerRecord[]) => void;
  /** Whether what it shows is long. */
  long: () => boolean;
  connection: (now: Connection) => void;
  problem: (problem: Problem) => void;
}

export class RunStream {
  private source: EventSource | null = null;
  private waiting: LedgerRecord[] = [];
  private batch: ReturnType<typeof setTimeout> | null = null;
  private again: ReturnType<typeof setTimeout> | null = null;
  private delay = AGAIN_MS;
  private over = false;
  private ended = false;

  constructor(
    private readonly runId: string,
    private readonly owner: StreamOwner,
  ) {
    document.addEventListener("visibilitychange", this.seen);
    window.addEventListener("online", this.seen);
    if (!document.hidden) this.open();
  }

  close(): void {
    this.over = true;
    document.removeEventListener("visibilitychange", this.seen);
    window.removeEventListener("online", this.seen);
    this.shut();
    this.flush();
  }

  private readonly seen = (): void => {
    if (this.over) return;
    if (document.hidden) {
      this.shut();
      this.flush();
    } else if (this.source === null && !this.ended) {
      this.open();
    }
  };

  private open(): void {
    this.shut();
    const after = this.waiting.at(-1)?.seq ?? this.owner.last();
    const source = new EventSource(
      `/api/runs/${encodeURIComponent(this.runId)}/events?after=${after}`,
    );
    this.source = source;
    source.onopen = () => {
      this.delay = AGAIN_MS;
      this.owner.connection("live");
    };
    source.onmessage = (event: MessageEvent<string>) => this.take(event.data);
    source.addEventListener("problem", (event) =>
      this.refused((event as MessageEvent<string>).data),
    );
    source.onerror = () => {
      if (this.over) return;
      if (this.ended) {
        this.shut();
        this.flush();
        this.owner.connection("over");
        return;
      }
      this.owner.connection("lost");
      if (source.readyState === EventSource.CLOSED) this.later();
    };
  }

  private take(data: string): void {
    const record = JSON.parse(data) as LedgerRecord;
    this.waiting.push(record);
    // The server ends the stream after the last record; one that goes on has more after this.
    this.ended = record.event.type === "run.finished";
    if (this.batch === null) this.wait(Date.now(), 0);
  }

  /** Draw after a batch's time, unless a past is still being told. */
  private wait(since: number, had: number): void {
    const waits = this.owner.long() ? BATCH_LONG_MS : BATCH_MS;
    this.batch = setTimeout(() => {
      const past = this.waiting.length - had >= PAST && Date.now() - since < PAST_MOST_MS;
      if (past) this.wait(since, this.waiting.length);
      else this.flush();
    }, waits);
  }

  private flush(): void {
    if (this.batch !== null) clearTimeout(this.batch);
    this.batch = null;
    const records = this.waiting;
    this.waiting = [];
    if (records.length > 0) this.owner.take(records);
  }

  private refused(data: string): void {
    this.owner.problem(new Problem({ status: 0, ...JSON.parse(data) }));
    this.shut();
    this.later();
  }

  private later(): void {
    this.shut();
    this.again = setTimeout(() => {
      if (!document.hidden) this.open();
    }, this.delay);
    this.delay = Math.min(this.delay * 2, AGAIN_MOST_MS);
  }

  private shut(): void {
    if (this.again !== null) clearTimeout(this.again);
    this.again = null;
    this.source?.close();
    this.source = null;
  }
}

export interface Accepted {
  run_id: string;
  conversation_id: string;
  message_id: string;
  answer_id: string;
}

/** How long a run's beginning may take: a busy database, and files that are looked at. */
const BEGIN_MS = 60_000;
/** How often a beginning whose answer was lost is sent again, with the same key. */
const TRIES = 4;

/**
 * Begin a run; where the answer is lost on its way the same request is sent again, which begins
 * nothing twice.
 *
 * @throws Problem where it is refused.
 */
export async function begin(path: string, body: unknown): Promise<Accepted> {
  const key = freshKey();
  for (let tried = 1; ; tried += 1) {
    try {
      return await once(path, body, key);
    } catch (error) {
      const lost =
        error instanceof Problem && (error.status === 0 || error.code === "request_under_way");
      if (!lost || tried >= TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, tried * 700));
    }
  }
}

async function once(path: string, body: unknown, key: string): Promise<Accepted> {
  const reading = new AbortController();
  try {
    const response = await ask(path, {
      method: "POST",
      body,
      patience: BEGIN_MS,
      signal: reading.signal,
      headers: { Accept: "text/event-stream", "Idempotency-Key": key },
    });
    return await accepted(response);
  } finally {
    reading.abort();
  }
}

async function accepted(response: Response): Promise<Accepted> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) throw await problemOf(response);
  let text = "";
  for (;;) {
    const piece = await read(reader);
    if (piece === null) break;
    text += piece;
    const end = text.indexOf("\n\n");
    if (end >= 0) {
      const data = /^data: (.*)$/m.exec(text.slice(0, end));
      if (data?.[1]) return JSON.parse(data[1]) as Accepted;
    }
  }
  throw lost();
}

async function read(reader: ReadableStreamDefaultReader<string>): Promise<string | null> {
  try {
    const { value, done } = await reader.read();
    return done ? null : value;
  } catch {
    throw lost();
  }
}

function lost(): Problem {
  return new Problem({
    code: "unreachable",
    detail: "The answer was cut off.",
    status: 0,
    retry: true,
  });
}
