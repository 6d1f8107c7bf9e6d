"""Anthropic's own wire: what is sent, beside what every model must do (tests/conformance)."""

import socket

import pytest

from forge.errors import ModelRequestRefused, ModelUnreachable, SettingsInvalid
from forge.messages import AssistantMessage, Text, Thinking, ToolCall, ToolResult, UserMessage
from forge.models.anthropic import AnthropicModel
from forge.testing.model_conformance import events_of, request, response_of
from forge.testing.providers.script import Fail, Raw, Redacted, Reply, Say, Think, UseTool
from forge.testing.providers.server import scripted_provider
from forge.usage import Usage

HELLO = UserMessage(parts=(Text(text="Hello"),))
MORE = UserMessage(parts=(Text(text="More"),))


@pytest.fixture
async def opened():
    async with scripted_provider([]) as provider:
        model = AnthropicModel("claude-sonnet-4-6", provider.key, provider.anthropic_url)
        try:
            yield model, provider
        finally:
            await model.close()


def marks(body):
    """Where cache breakpoints are, in the request's own order."""
    found = [f"tool {tool['name']}" for tool in body["tools"] if "cache_control" in tool]
    found += ["system" for block in body["system"] if "cache_control" in block]
    for index, message in enumerate(body["messages"]):
        found += [f"message {index}" for block in message["content"] if "cache_control" in block]
    return found


async def test_the_prompt_cache_has_three_breakpoints_and_the_last_one_moves(opened):
    """Tools, system prompt and the newest message are marked for caching in every request."""
    model, provider = opened
    provider.script = [Reply([Say("One.")]), Reply([Say("Two.")])]
    answer = await response_of(model, request(HELLO))
    await response_of(model, request(HELLO, answer.message, MORE))
    assert marks(provider.requests[0].body) == ["tool run_python", "system", "message 0"]
    assert marks(provider.requests[1].body) == ["tool run_python", "system", "message 2"]


async def test_the_system_prompt_and_tools_are_sent_as_given(opened):
    """No library adds a paragraph or rewrites a schema; the prefix is the same in every request."""
    model, provider = opened
    provider.script = [Reply([Say("One.")])]
    asked = request(HELLO)
    await response_of(model, asked)
    body = provider.requests[0].body
    assert [block["text"] for block in body["system"]] == [asked.system]
    assert body["tools"][0]["input_schema"] == asked.tools[0].parameters
    assert body["max_tokens"] == asked.max_tokens


async def test_thinking_goes_back_with_its_seal_and_a_foreign_one_does_not(opened):
    """Sealed and redacted reasoning return unchanged; what has no such seal stays here."""
    model, provider = opened
    provider.script = [
        Reply([Think("Secretly.", "seal-1"), Redacted("opaque"), Say("Yes.")]),
        Reply([Say("Two.")]),
    ]
    answer = await response_of(model, request(HELLO))
    foreign = (
        Thinking(text="open", provider="openai:reasoning_content"),
        Thinking(text="unsealed", provider="anthropic"),
    )
    message = AssistantMessage(parts=(*answer.message.parts, *foreign))
    await response_of(model, request(HELLO, message, MORE))
    assert provider.requests[1].messages[1]["content"] == [
        {"type": "thinking", "thinking": "Secretly.", "signature": "seal-1"},
        {"type": "redacted_thinking", "data": "opaque"},
        {"type": "text", "text": "Yes."},
    ]


async def test_a_changed_seal_is_refused_so_the_test_above_means_something(opened):
    """The scripted provider refuses reasoning whose seal is not its own."""
    model, _ = opened
    forged = AssistantMessage(
        parts=(Thinking(text="x", signature="forged", provider="anthropic"), Text(text="Yes."))
    )
    with pytest.raises(ModelRequestRefused, match="Invalid `signature`"):
        await response_of(model, request(HELLO, forged, MORE))


async def test_results_go_before_words_in_one_message(opened):
    """Anthropic refuses words before the results of the calls they follow."""
    model, provider = opened
    provider.script = [Reply([Say("Two.")])]
    called = AssistantMessage(parts=(ToolCall(id="a", name="run_python", arguments="{}"),))
    answered = ToolResult(call_id="a", name="run_python", content="ok")
    both = UserMessage(parts=(Text(text="And also"), answered))
    await response_of(model, request(HELLO, called, both))
    kinds = [block["type"] for block in provider.requests[0].messages[2]["content"]]
    assert kinds == ["tool_result", "text"]


async def test_cached_tokens_are_within_input_tokens(opened):
    """Anthropic counts them beside input_tokens; Forge counts them in."""
    model, provider = opened
    usage = Usage(input_tokens=1000, output_tokens=5, cache_read_tokens=700, cache_write_tokens=200)
    provider.script = [Reply([Say("Hi.")], usage=usage)]
    assert (await response_of(model, request(HELLO))).usage == usage


async def test_a_tool_without_arguments_gets_an_empty_object(opened):
    """A model that writes no arguments means none."""
    model, provider = opened
    provider.script = [Reply([UseTool("run_python", "")])]
    answer = await response_of(model, request(HELLO))
    assert [call.arguments for call in answer.message.tool_calls] == ["{}"]


async def test_a_second_call_for_a_stale_seal_is_never_made(opened):
    """A thinking block refused for its place is an error, not a hidden second attempt."""
    _, provider = opened
    provider.script = [
        Fail(400, "The block is bound to a different conversation prefix"),
        Reply([Say("The second attempt.")]),
    ]
    model = AnthropicModel("claude-opus-5-5", provider.key, provider.anthropic_url)
    try:
        with pytest.raises(ModelRequestRefused, match="bound to a different"):
            await response_of(model, request(HELLO))
    finally:
        await model.close()
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"garbage",
        b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n',
        b"event: message_start\ndata: {not json\n\n",
        b"event: message_start\ndata: 5\n\n",
        b"event: content_block_delta\ndata: \xff\xfe\n\n",
        b"\x00" * 5000,
    ],
)
async def test_a_stream_of_nonsense_is_a_broken_stream(opened, body):
    """Whatever a provider sends, the caller sees Forge's own error."""
    model, provider = opened
    provider.script = [Raw(body)]
    with pytest.raises(Exception, match="ended before it was complete") as caught:
        await events_of(model, request(HELLO))
    assert type(caught.value).__name__ == "ModelStreamBroken"


async def test_a_closed_port_is_unreachable():
    """Nobody listening is told from a provider that fails, in the network's own words."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    model = AnthropicModel("claude-test", "key", f"http://127.0.0.1:{port}")
    try:
        with pytest.raises(
            ModelUnreachable, match=r"No connection to anthropic could be made: .*(refused|failed)"
        ):
            await events_of(model, request(HELLO))
    finally:
        await model.close()


@pytest.mark.parametrize(
    "url", ["", "example.com", "ftp://example.com", "http://", "http://[", "x"]
)
def test_a_base_url_that_cannot_be_called_is_refused_at_once(url):
    """A mistyped URL is the person's to mend, before any call."""
    with pytest.raises(SettingsInvalid, match="base URL"):
        AnthropicModel("claude-test", "key", url)
