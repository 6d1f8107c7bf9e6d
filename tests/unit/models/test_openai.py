"""Chat completions' own wire: what is sent, beside what every model must do (tests/conformance)."""

import json

import pytest

from forge.messages import AssistantMessage, Text, ToolCall, ToolResult, UserMessage
from forge.models.openai import OpenAIModel
from forge.testing.model_conformance import events_of, request, response_of
from forge.testing.providers.script import Raw, Reply, Say, Think
from forge.testing.providers.server import scripted_provider

HELLO = UserMessage(parts=(Text(text="Hello"),))
MORE = UserMessage(parts=(Text(text="More"),))


@pytest.fixture
async def opened():
    async with scripted_provider([]) as provider:
        model = OpenAIModel("gpt-test", provider.key, provider.openai_url)
        try:
            yield model, provider
        finally:
            await model.close()


def chunks(*deltas, finish="stop"):
    """A stream as a compatible server might write it by hand."""
    lines = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    lines.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    body = "".join(f"data: {json.dumps(line)}\n\n" for line in lines)
    return Raw(body.encode() + b"data: [DONE]\n\n")


async def test_the_length_of_the_answer_is_bounded_in_words_every_server_knows(opened):
    """A compatible server gets `max_tokens`, and is asked for usage; schemas go as given."""
    model, provider = opened
    provider.script = [Reply([Say("Hi.")])]
    asked = request(HELLO)
    await response_of(model, asked)
    body = provider.requests[0].body
    assert body["max_tokens"] == asked.max_tokens
    assert "max_completion_tokens" not in body
    assert body["stream_options"] == {"include_usage": True}
    assert body["tools"][0]["function"]["parameters"] == asked.tools[0].parameters
    assert "strict" not in body["tools"][0]["function"]


async def test_a_server_that_reports_no_usage_is_counted_high(opened):
    """Caps hold for servers that say nothing: a token is counted for every three bytes."""
    model, provider = opened
    provider.script = [Reply([Say("word " * 300)], usage=None)]
    usage = (await response_of(model, request(UserMessage(parts=(Text(text="x" * 3000),))))).usage
    assert usage.input_tokens >= 1000
    assert usage.output_tokens >= 500


async def test_reasoning_goes_back_under_the_field_it_came_in(opened):
    """Servers that interleave reasoning with tools want it back by the same name."""
    model, provider = opened
    provider.script = [Reply([Think("Hm."), Say("Yes.")]), Reply([Say("Two.")])]
    answer = await response_of(model, request(HELLO))
    await response_of(model, request(HELLO, answer.message, MORE))
    sent = provider.requests[1].messages[2]
    assert sent["reasoning_content"] == "Hm."
    assert sent["content"] == "Yes."


async def test_reasoning_in_tags_is_reasoning_and_does_not_go_back(opened):
    """`<think>` in the words is shown as reasoning; templates drop it from earlier turns."""
    model, provider = opened
    provider.script = [
        chunks(
            {"content": "<think>"}, {"content": "Hm."}, {"content": "</think>"}, {"content": "Yes."}
        ),
        Reply([Say("Two.")]),
    ]
    answer = await response_of(model, request(HELLO))
    assert answer.message.text.strip() == "Yes."
    assert answer.message.parts[0].kind == "thinking"
    await response_of(model, request(HELLO, answer.message, MORE))
    assert "Hm." not in json.dumps(provider.requests[1].body)


async def test_calls_that_share_an_id_are_told_apart(opened):
    """Some servers give every call the same id, or none; each result must find its own call."""
    model, provider = opened
    call = {"type": "function", "function": {"name": "run_python", "arguments": "{}"}}
    provider.script = [
        chunks(
            {"tool_calls": [{"index": 0, "id": "call", **call}]},
            {"tool_calls": [{"index": 1, "id": "call", **call}]},
            finish="stop",
        ),
        Reply([Say("Done.")]),
    ]
    *deltas, answer = await events_of(model, request(HELLO))
    ids = [call.id for call in answer.message.tool_calls]
    assert len(set(ids)) == 2
    assert {delta.call_id for delta in deltas} == set(ids)
    # It said "stop" and called tools all the same.
    assert answer.stop_reason == "tool_use"
    results = tuple(ToolResult(call_id=each, name="run_python", content="ok") for each in ids)
    await response_of(model, request(HELLO, answer.message, UserMessage(parts=results)))
    assert provider.refusals == []


async def test_a_refusal_is_shown_in_its_own_words(opened):
    """OpenAI sends a refusal beside the content; a person still gets to read it."""
    model, provider = opened
    provider.script = [chunks({"refusal": "I will "}, {"refusal": "not."})]
    answer = await response_of(model, request(HELLO))
    assert answer.stop_reason == "refusal"
    assert answer.message.text == "I will not."


async def test_a_failed_result_says_so_in_words(opened):
    """Chat completions have no error mark."""
    model, provider = opened
    provider.script = [Reply([Say("I see.")])]
    called = AssistantMessage(parts=(ToolCall(id="a", name="run_python", arguments="{}"),))
    failed = ToolResult(call_id="a", name="run_python", content="no such file", is_error=True)
    await response_of(model, request(HELLO, called, UserMessage(parts=(failed,))))
    assert provider.requests[0].tool_results[0].text == "Error:\nno such file"


@pytest.mark.parametrize(
    "body",
    [
        b"garbage",
        b"data: {not json\n\n",
        b'data: {"choices":[{"index":0,"delta":{"content":5}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}]}\n\n',
        b'data: {"choices":5}\n\n',
        b"data: 5\n\n",
        b"data: \xff\xfe\n\n",
    ],
)
async def test_a_stream_of_nonsense_is_a_broken_stream(opened, body):
    """Whatever a provider sends, the caller sees Forge's own error."""
    model, provider = opened
    provider.script = [Raw(body)]
    with pytest.raises(Exception, match="ended before it was complete") as caught:
        await events_of(model, request(HELLO))
    assert type(caught.value).__name__ == "ModelStreamBroken"


async def test_a_server_without_keys_is_called_without_one():
    """A local server needs no key, and the SDK is content."""
    async with scripted_provider([Reply([Say("Hi.")])], key="none") as provider:
        model = OpenAIModel("local", "", provider.openai_url)
        try:
            assert (await response_of(model, request(HELLO))).message.text == "Hi."
        finally:
            await model.close()
