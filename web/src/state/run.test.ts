import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fold } from "@/state/run";
import type { LedgerRecord } from "@/state/view";
import { callState, costOf, emptyRun, waiting } from "@/state/view";

type Event = Record<string, unknown> & { type: string };

const usage = { input_tokens: 3, output_tokens: 2, cache_read_tokens: 0, cache_write_tokens: 0 };
const totals = {
  iterations: 1,
  usage,
  usd: "0.01",
  tool_calls: 1,
  wall_s: 1,
  model_s: 1,
  sandbox_s: 1,
};

function records(events: readonly Event[]): LedgerRecord[] {
  return events.map(
    (event, index) =>
      ({
        run_id: "run_1",
        seq: index + 1,
        at: new Date(1_700_000_000_000 + index * 10).toISOString(),
        event,
        prev: "",
        hash: "",
      }) as unknown as LedgerRecord,
  );
}

const beginning: Event = {
  type: "run.started",
  prompt: "6 * 7?",
  model: "m",
  template: "base",
  caps: { iterations: 16, tokens: 0, usd: "0", wall_s: 0 },
  files: [],
  machine: { limits: {}, volumes: [], own: false },
  approve: [],
  route: "auto",
  small_model: "",
  conversation_id: null,
  message_id: null,
  earlier: [],
};

const requested = (step: number, attempt = 1): Event => ({
  type: "model.requested",
  step,
  attempt,
  model: "m",
  max_tokens: 1,
  input_tokens: 1,
  worst_usd: "0",
});
const text = (step: number, words: string): Event => ({ type: "model.text", step, text: words });
const responded = (step: number, parts: unknown[]): Event => ({
  type: "model.responded",
  step,
  message: { role: "assistant", parts },
  stop_reason: "end",
  usage,
  usd: "0.002",
  duration_ms: 5,
  first_token_ms: null,
});
const toolStarted = (step: number, id: string): Event => ({
  type: "tool.started",
  step,
  call_id: id,
  name: "run_python",
  arguments: '{"code":"1"}',
});
const printed = (step: number, id: string, words: string, stream = "stdout"): Event => ({
  type: "tool.output",
  step,
  call_id: id,
  stream,
  text: words,
});
const toolFinished = (step: number, id: string): Event => ({
  type: "tool.finished",
  step,
  call_id: id,
  name: "run_python",
  outcome: "ok",
  content: "1",
  duration_ms: 4,
});
const finished: Event = { type: "run.finished", status: "done", answer: "42", error: null, totals };

const step = fc.integer({ min: 0, max: 3 });
const id = fc.constantFrom("a", "b");
const word = fc.string({ maxLength: 6 });
const anything: fc.Arbitrary<Event> = fc.oneof(
  fc.tuple(step, fc.integer({ min: 1, max: 3 })).map(([at, attempt]) => requested(at, attempt)),
  fc.tuple(step, word).map(([at, words]) => text(at, words)),
  fc.tuple(step, word).map(([at, words]) => ({ type: "model.thinking", step: at, text: words })),
  fc.tuple(step, id, word).map(([at, call, words]) => ({
    type: "model.tool_input",
    step: at,
    call_id: call,
    name: "run_python",
    text: words,
  })),
  fc.tuple(step, id, word).map(([at, call, words]) =>
    responded(at, [
      { kind: "text", text: words },
      { kind: "tool_call", id: call, name: "run_python", arguments: "{}" },
    ]),
  ),
  fc.tuple(step, id).map(([at, call]) => toolStarted(at, call)),
  fc.tuple(step, id, word, fc.constantFrom("stdout", "stderr")).map((all) => printed(...all)),
  fc.tuple(step, id, word, fc.boolean()).map(([at, call, name, update]) => ({
    type: "tool.displayed",
    step: at,
    call_id: call,
    data: { "text/plain": name },
    display_id: name,
    update,
  })),
  fc.tuple(step, id).map(([at, call]) => toolFinished(at, call)),
  fc.tuple(step, id).map(([at, call]) => ({
    type: "approval.requested",
    step: at,
    call_id: call,
    name: "run_shell",
    arguments: "{}",
    expires_at: "",
  })),
  fc.tuple(step, id, fc.boolean()).map(([at, call, approved]) => ({
    type: "approval.decided",
    step: at,
    call_id: call,
    approved,
    by: null,
    why: "",
    order_id: "",
  })),
  word.map((words) => ({ type: "notice", text: words })),
  word.map((words) => ({ type: "kind.of.tomorrow", words })),
  fc.constant({ type: "run.resumed", attempt: 2, why: "asked", caps: null, by: null }),
  fc.constant(finished),
);
const ledger = fc
  .array(anything, { maxLength: 60 })
  .map((events) => records([beginning, ...events]));

function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const each of Object.values(value)) frozen(each);
  }
  return value;
}

describe("the fold", () => {
  it("is the same whichever way the records come: cut, doubled, replayed", () => {
    fc.assert(
      fc.property(
        ledger,
        fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 12 }),
        (all, pieces) => {
          const whole = fold(emptyRun("run_1"), all);
          let view = emptyRun("run_1");
          for (const [one, other] of pieces) {
            const from = Math.min(one, other) % (all.length + 1);
            view = fold(
              frozen(view),
              all.slice(Math.min(from, view.last), other % (all.length + 1)),
            );
            view = fold(frozen(view), all.slice(0, view.last));
          }
          view = fold(frozen(view), all.slice(view.last));
          view = fold(frozen(view), all);
          expect(view).toEqual(whole);
        },
      ),
    );
  });

  it("changes nothing of what it was given", () => {
    fc.assert(
      fc.property(ledger, fc.nat(), (all, at) => {
        const cut = at % (all.length + 1);
        const before = frozen(fold(emptyRun("run_1"), frozen(all.slice(0, cut))));
        expect(() => fold(before, frozen(all))).not.toThrow();
      }),
    );
  });

  it("gives back the very same view where every record is known", () => {
    const all = records([beginning, requested(1), text(1, "hi")]);
    const view = fold(emptyRun("run_1"), all);
    expect(fold(view, all)).toBe(view);
  });

  it("takes nothing from behind a gap, says so, and goes on once it is filled", () => {
    const all = records([beginning, requested(1), text(1, "a"), text(1, "b"), finished]);
    const torn = fold(emptyRun("run_1"), [...all.slice(0, 2), ...all.slice(3)]);
    expect(torn.last).toBe(2);
    expect(torn.gap).toBe(true);
    const mended = fold(torn, all.slice(2));
    expect(mended).toEqual(fold(emptyRun("run_1"), all));
    expect(mended.gap).toBe(false);
  });

  it("keeps unknown kinds from doing harm", () => {
    const view = fold(
      emptyRun("run_1"),
      records([beginning, { type: "new.kind", x: 1 }, finished]),
    );
    expect(view.last).toBe(3);
    expect(view.status).toBe("done");
  });
});

describe("what is seen of a run", () => {
  it("does not take a failed attempt's words for the answer", () => {
    const error = {
      code: "model_stream_broken",
      message: "cut",
      hint: "",
      fault: "provider",
      retry: true,
    };
    const view = fold(
      emptyRun("run_1"),
      records([
        beginning,
        requested(1),
        text(1, "half an ans"),
        { type: "model.failed", step: 1, attempt: 1, error, retry_in_s: 1 },
        requested(1, 2),
        text(1, "an answer"),
      ]),
    );
    expect(view.items.filter((item) => item.kind === "text")).toMatchObject([
      { text: "an answer" },
    ]);
  });

  it("shows the call that waits, and no more once it is decided", () => {
    const asked = {
      type: "approval.requested",
      step: 1,
      call_id: "a",
      name: "run_shell",
      arguments: "{}",
      expires_at: "",
    };
    const before = fold(emptyRun("run_1"), records([beginning, asked]));
    expect(waiting(before).map((call) => call.callId)).toEqual(["a"]);
    const decided = {
      type: "approval.decided",
      step: 1,
      call_id: "a",
      approved: true,
      by: null,
      why: "",
      order_id: "",
    };
    const all = records([beginning, asked, decided, toolStarted(1, "a")]);
    const [call] = fold(before, all).items;
    expect(waiting(fold(before, all))).toEqual([]);
    expect(call?.kind === "call" && callState(call)).toBe("running");
  });

  it("keeps what was printed in order, joined by stream", () => {
    const view = fold(
      emptyRun("run_1"),
      records([
        beginning,
        toolStarted(1, "a"),
        printed(1, "a", "1"),
        printed(1, "a", "2"),
        printed(1, "a", "!", "stderr"),
        toolFinished(1, "a"),
      ]),
    );
    const [call] = view.items;
    expect(call).toMatchObject({
      output: [
        { stream: "stdout", text: "12" },
        { stream: "stderr", text: "!" },
      ],
    });
  });

  it("adds up what model calls cost until the run says it itself", () => {
    const going = records([
      beginning,
      requested(1),
      responded(1, []),
      requested(2),
      responded(2, []),
    ]);
    expect(costOf(fold(emptyRun("run_1"), going))).toBe("0.004");
    expect(costOf(fold(emptyRun("run_1"), records([beginning, finished])))).toBe("0.01");
  });
});
