"""The offline mode, played through as the agent's loop plays it."""

import json

import pytest

from forge.messages import Text, ToolResult, UserMessage
from forge.models import demonstrations
from forge.models.base import ToolSpec
from forge.models.offline import OfflineModel
from forge.testing.model_conformance import RUN_PYTHON, request, response_of

RUN_SHELL = ToolSpec("run_shell", "Run a command.", {"type": "object", "properties": {}})


def said(*texts):
    return UserMessage(parts=tuple(Text(text=text) for text in texts))


async def play(*messages, failing=()):
    """The tool calls made until a final text, and that text; call number n of `failing` fails."""
    model, calls = OfflineModel(), []
    transcript = list(messages)
    while True:
        asked = request(*transcript)
        asked = type(asked)(asked.system, asked.messages, (RUN_PYTHON, RUN_SHELL), 10, 1.0)
        answer = await response_of(model, asked)
        transcript.append(answer.message)
        if not answer.message.tool_calls:
            return calls, answer.message.text, transcript
        (call,) = answer.message.tool_calls
        calls.append((call.name, json.loads(call.arguments), call.id))
        failed = len(calls) in failing
        result = ToolResult(call_id=call.id, name=call.name, content="out", is_error=failed)
        transcript.append(UserMessage(parts=(result,)))


async def test_blocks_run_one_by_one_in_order_and_the_end_is_plain():
    """Each block is a step of its own, so a later one sees what an earlier one did."""
    calls, text, _ = await play(said("```python\na = 1\n```\nand\n```bash\nls\n```\n"))
    assert [(name, arguments) for name, arguments, _ in calls] == [
        ("run_python", {"code": "a = 1\n"}),
        ("run_shell", {"command": "ls\n"}),
    ]
    assert "offline mode" in text
    assert "no model is configured" in text
    assert "2 of 2 code blocks; none failed" in text
    assert "ANTHROPIC_API_KEY" in text


async def test_the_first_failed_block_is_the_last():
    """What follows a failure probably needed it."""
    calls, text, _ = await play(said("```\na\n```\n```\nb\n```\n```\nc\n```"), failing={2})
    assert len(calls) == 2
    assert "2 of 3 code blocks; block 2 failed, and the rest was not run" in text


async def test_a_message_without_blocks_is_answered_with_what_this_is():
    """Nobody is left to think that a model answered."""
    calls, text, _ = await play(said("What is the capital of France?"))
    assert calls == []
    assert "offline mode" in text
    assert "demo plot" in text


@pytest.mark.parametrize("number", range(1, len(demonstrations.DEMONSTRATIONS) + 1))
async def test_each_demonstration_runs_by_word_and_by_number(number):
    """`demo plot` and `demo 2` run the same program, and it is Python."""
    demonstration = demonstrations.DEMONSTRATIONS[number - 1]
    compile(demonstration.code, demonstration.word, "exec")
    for asked in (f"demo {demonstration.word}", f" Demo {number}\n"):
        calls, text, _ = await play(said(asked))
        assert [arguments for _, arguments, _ in calls] == [{"code": demonstration.code}]
        assert "1 of 1 code block; none failed" in text


async def test_a_second_message_starts_anew_with_ids_of_its_own():
    """What ran for an earlier message is not counted for a later one."""
    first, _, transcript = await play(said("```\na\n```"), failing={1})
    second, text, _ = await play(*transcript, said("```\nb\n```"))
    assert [arguments for _, arguments, _ in second] == [{"code": "b\n"}]
    assert {call_id for _, _, call_id in first}.isdisjoint(call_id for _, _, call_id in second)
    assert "none failed" in text


async def test_blocks_that_cannot_be_run_are_named():
    """A JSON block is neither run nor passed over in silence."""
    _, text, _ = await play(said("```json\n{}\n```"))
    assert "left alone (json)" in text


async def test_a_missing_tool_is_said_and_not_called():
    """A run without a shell does not get a call that nothing answers."""
    answer = await response_of(OfflineModel(), request(said("```bash\nls\n```")))
    assert answer.message.tool_calls == ()
    assert "run_shell is not offered" in answer.message.text


def test_it_costs_nothing_and_says_its_name():
    """The ledger shows that no model was called."""
    assert (OfflineModel().name, OfflineModel().priced) == ("offline:none", False)
