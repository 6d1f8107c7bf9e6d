import { describe, expect, it } from "vitest";
import { withAgain, withAsked } from "@/components/chat/talk";
import { unheard } from "@/components/chat/useSteering";
import { whatOf } from "@/components/step/what";
import { emptyRun } from "@/state/view";

const NOW = "2026-01-01T00:00:00Z";
const at = (n: number) => ({
  run_id: `run_${n}`,
  conversation_id: "conv_1",
  message_id: `ask_${n}`,
  answer_id: `answer_${n}`,
});

describe("a conversation before the server has told it", () => {
  it("has what was asked at its end, or beside what it replaces", () => {
    const one = withAsked(undefined, { text: "first", parentId: undefined }, at(1), NOW);
    const two = withAsked(one, { text: "second", parentId: undefined }, at(2), NOW);
    expect(two.messages.map((each) => each.id)).toEqual(["ask_1", "answer_1", "ask_2", "answer_2"]);
    const edited = withAsked(two, { text: "2nd", parentId: "answer_1" }, at(3), NOW);
    expect(edited.messages.map((each) => each.id)).toEqual([
      "ask_1",
      "answer_1",
      "ask_3",
      "answer_3",
    ]);
    expect(edited.messages[2]?.siblings).toEqual(["ask_2", "ask_3"]);
    const first = withAsked(two, { text: "1st", parentId: null }, at(4), NOW);
    expect(first.messages.map((each) => each.id)).toEqual(["ask_4", "answer_4"]);
  });

  it("has an answer once more beside the one there was", () => {
    const one = withAsked(undefined, { text: "first", parentId: undefined }, at(1), NOW);
    const again = withAgain(one, "ask_1", { ...at(2), message_id: "ask_1" }, NOW);
    expect(again.messages.map((each) => each.id)).toEqual(["ask_1", "answer_2"]);
    expect(again.messages[1]?.siblings).toEqual(["answer_1", "answer_2"]);
  });
});

describe("what is said while it works", () => {
  it("waits until it is heard, the same words as often as they were said", () => {
    const heard = { kind: "steered", key: "k", step: 1, text: "go", by: null } as const;
    const run = { ...emptyRun("run_1"), items: [heard] };
    expect(unheard(["go", "go", "stop"], run)).toEqual(["go", "stop"]);
  });
});

describe("what a call does", () => {
  it("is said by its first comment, its command or its file, also half written", () => {
    expect(whatOf("run_python", '{"code":"# Add them up.\\nprint(1)"}').title).toBe("Add them up");
    expect(whatOf("run_python", '{"code":"#!/bin/x\\n1"}').title).toBe("Run Python");
    expect(whatOf("run_shell", '{"command":"ls -la\\nrm x"}').title).toBe("ls -la");
    expect(whatOf("write_file", '{"path":"a.py","content":"pri').code).toBe("pri");
    expect(whatOf("made_up", '{"x":1}').title).toBe("made_up");
  });
});
