"""What every model must do: the contract of `forge.models.base.Model` as checks to run.

For Forge's own models and for a plug-in's. `ANY_MODEL` holds what can be asked of any model with
one request that it answers; `SCRIPTED_MODEL` holds what needs a provider that behaves and
misbehaves on demand, through a `Scripted` that opens the model against a scripted provider.

    @pytest.mark.parametrize("check", SCRIPTED_MODEL, ids=lambda check: check.__name__)
    async def test_it_keeps_the_contract(check):
        await check(my_scripted)
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Protocol

from forge.errors import (
    ModelError,
    ModelOverloaded,
    ModelRateLimited,
    ModelRequestRefused,
    ModelStreamBroken,
    ModelUnauthorized,
    ModelUnreachable,
)
from forge.messages import AssistantMessage, Message, Text, ToolResult, UserMessage
from forge.models.base import (
    Model,
    ModelEvent,
    ModelRequest,
    ModelResponse,
    TextDelta,
    ThinkingDelta,
    ToolInputDelta,
    ToolSpec,
)
from forge.testing.providers.script import (
    Fail,
    Hang,
    Overload,
    Part,
    Reply,
    Say,
    Script,
    Step,
    Think,
    Truncate,
    UseTool,
)
from forge.testing.providers.server import ProviderServer

RUN_PYTHON = ToolSpec(
    name="run_python",
    description="Run Python code.",
    parameters={
        "type": "object",
        "properties": {"code": {"type": "string"}},
        "required": ["code"],
    },
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A model and the scripted provider that it calls."""

    model: Model
    provider: ProviderServer


class Scripted(Protocol):
    """Opens the model under test against a scripted provider, and closes both."""

    def __call__(self, script: Script) -> AbstractAsyncContextManager[Opened]:
        """A fresh model and provider for one check."""


def request(*messages: Message, deadline_s: float = 20.0) -> ModelRequest:
    """A call with one tool; with no messages, a person says hello."""
    return ModelRequest(
        system="You are a test.",
        messages=messages or (UserMessage(parts=(Text(text="Hello"),)),),
        tools=(RUN_PYTHON,),
        max_tokens=1000,
        deadline_s=deadline_s,
    )


async def events_of(model: Model, asked: ModelRequest) -> list[ModelEvent]:
    """Everything a call yields."""
    async with aclosing(model.stream(asked)) as stream:
        return [event async for event in stream]


async def response_of(model: Model, asked: ModelRequest) -> ModelResponse:
    """The last thing a call yields."""
    last = (await events_of(model, asked))[-1]
    assert isinstance(last, ModelResponse)
    return last


async def _raised(model: Model, asked: ModelRequest) -> ModelError:
    try:
        await events_of(model, asked)
    except ModelError as error:
        return error
    raise AssertionError("the call succeeded")


# -- any model ---------------------------------------------------------------


async def has_a_name_of_two_parts(model: Model, asked: ModelRequest) -> None:  # noqa: ARG001 - as all
    """A model's name is `provider:model`."""
    provider, _, name = model.name.partition(":")
    assert provider
    assert name


async def ends_with_exactly_one_response(model: Model, asked: ModelRequest) -> None:
    """The response comes last and once."""
    events = await events_of(model, asked)
    assert [isinstance(event, ModelResponse) for event in events] == [False] * (len(events) - 1) + [
        True
    ]


async def deltas_add_up_to_the_message(model: Model, asked: ModelRequest) -> None:
    """What was streamed is what the response says: words, reasoning and tool arguments."""
    *deltas, response = await events_of(model, asked)
    assert isinstance(response, ModelResponse)
    words = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    assert words == response.message.text
    streamed: dict[tuple[str, str], str] = {}
    for delta in deltas:
        if isinstance(delta, ToolInputDelta):
            key = (delta.call_id, delta.name)
            streamed[key] = streamed.get(key, "") + delta.text
    called = {(call.id, call.name): call.arguments for call in response.message.tool_calls}
    assert streamed == called
    assert (response.stop_reason == "tool_use") == bool(called)


async def keeps_nothing_between_calls(model: Model, asked: ModelRequest) -> None:
    """The same request gets the same kind of answer again; a response survives JSON."""
    first, second = await response_of(model, asked), await response_of(model, asked)
    assert first.stop_reason == second.stop_reason
    assert AssistantMessage.model_validate_json(first.message.model_dump_json()) == first.message


async def can_be_closed_early_and_called_again(model: Model, asked: ModelRequest) -> None:
    """A caller may stop listening; the model is still usable."""
    async with aclosing(model.stream(asked)) as stream:
        await anext(stream)
    assert await events_of(model, asked)


ANY_MODEL: tuple[Callable[[Model, ModelRequest], Awaitable[None]], ...] = (
    has_a_name_of_two_parts,
    ends_with_exactly_one_response,
    deltas_add_up_to_the_message,
    keeps_nothing_between_calls,
    can_be_closed_early_and_called_again,
)


# -- models of a provider ----------------------------------------------------


async def says_thinks_and_calls_in_order(scripted: Scripted) -> None:
    """Reasoning, words and parallel tool calls arrive in the model's order, streamed."""
    parts: list[Part] = [
        Think("First, look."),
        Say("Let me run two things."),
        UseTool("run_python", {"code": "1 + 1"}, id="one"),
        UseTool("run_python", {"code": "2 + 2"}, id="two"),
    ]
    async with scripted([Reply(parts)]) as opened:
        *deltas, response = await events_of(opened.model, request())
    assert isinstance(response, ModelResponse)
    assert [part.kind for part in response.message.parts] == [
        "thinking",
        "text",
        "tool_call",
        "tool_call",
    ]
    assert [call.id for call in response.message.tool_calls] == ["one", "two"]
    assert "".join(d.text for d in deltas if isinstance(d, ThinkingDelta)) == "First, look."
    assert len([d for d in deltas if isinstance(d, TextDelta)]) > 1
    assert response.stop_reason == "tool_use"


async def carries_a_conversation_with_tools(scripted: Scripted) -> None:
    """A transcript with reasoning, calls and results goes back in a form that is accepted."""
    first = Reply(
        [
            Think("Hm."),
            Say("Running."),
            UseTool("run_python", {"code": "1"}),
            UseTool("odd name!", {}),
        ]
    )
    async with scripted([first, Reply([Say("Done.")])]) as opened:
        asked = request()
        answer = await response_of(opened.model, asked)
        results = _results(answer, "it printed 1", failed_after=1)
        last = await response_of(opened.model, request(*asked.messages, answer.message, results))
        assert opened.provider.refusals == []
        seen = opened.provider.requests[-1]
        assert [result.call_id for result in seen.tool_results] == [
            call.id for call in answer.message.tool_calls
        ]
        assert all("it printed 1" in result.text for result in seen.tool_results)
        assert seen.system == asked.system
    assert last.message.text == "Done."
    assert last.stop_reason == "end"


def _results(answer: ModelResponse, content: str, *, failed_after: int) -> UserMessage:
    return UserMessage(
        parts=tuple(
            ToolResult(call_id=call.id, name=call.name, content=content, is_error=n >= failed_after)
            for n, call in enumerate(answer.message.tool_calls)
        )
    )


async def passes_broken_arguments_on(scripted: Scripted) -> None:
    """Arguments that are no JSON come through as written, and can be sent back."""
    for broken in ('{"code": "pri', "[1]", "nonsense", '{"code": NaN}'):
        async with scripted(
            [Reply([UseTool("run_python", broken)]), Reply([Say("Sorry.")])]
        ) as opened:
            asked = request()
            answer = await response_of(opened.model, asked)
            assert [call.arguments for call in answer.message.tool_calls] == [broken]
            results = _results(answer, "that is no JSON", failed_after=0)
            await response_of(opened.model, request(*asked.messages, answer.message, results))
            assert opened.provider.refusals == []


async def sends_what_nobody_accepts_mended(scripted: Scripted) -> None:
    """Blank words, blank results and lone surrogates do not get a request refused."""
    async with scripted([Reply([UseTool("run_python", {})]), Reply([Say("Fine.")])]) as opened:
        asked = request(UserMessage(parts=(Text(text="  "), Text(text="name\udcff"))))
        answer = await response_of(opened.model, asked)
        results = _results(answer, " ", failed_after=1)
        await response_of(opened.model, request(*asked.messages, answer.message, results))
        assert opened.provider.refusals == []


async def counts_usage_with_its_cache(scripted: Scripted) -> None:
    """Input tokens include those read from the cache."""
    usage = Reply([]).usage
    assert usage is not None
    usage = usage.model_copy(update={"input_tokens": 1000, "cache_read_tokens": 900})
    async with scripted([Reply([Say("Hi.")], usage=usage)]) as opened:
        response = await response_of(opened.model, request())
    assert response.usage == usage


async def names_why_it_stopped(scripted: Scripted) -> None:
    """Running out of tokens and refusing are told from an end."""
    async with scripted(
        [
            Reply([Say("Half a")], stop_reason="max_tokens"),
            Reply([Say("No.")], stop_reason="refusal"),
            Reply([UseTool("run_python", '{"co')], stop_reason="max_tokens"),
        ]
    ) as opened:
        reasons = [(await response_of(opened.model, request())).stop_reason for _ in range(3)]
    assert reasons == ["max_tokens", "refusal", "max_tokens"]


async def accepts_an_answer_of_nothing(scripted: Scripted) -> None:
    """A model may end without a word; that is an answer, and it can be sent back."""
    async with scripted([Reply([]), Reply([Say("Yes?")])]) as opened:
        asked = request()
        answer = await response_of(opened.model, asked)
        assert answer.stop_reason == "end"
        follow_up = UserMessage(parts=(Text(text="And?"),))
        await response_of(opened.model, request(*asked.messages, answer.message, follow_up))
        assert opened.provider.refusals == []


_FAULTS: tuple[tuple[Step, type[ModelError]], ...] = (
    (Fail(401, "no such key"), ModelUnauthorized),
    (Fail(403, "not allowed"), ModelUnauthorized),
    (Fail(400, "prompt is too long"), ModelRequestRefused),
    (Fail(404, "no such model"), ModelRequestRefused),
    (Fail(413, "too large"), ModelRequestRefused),
    (Fail(429, "slow down"), ModelRateLimited),
    (Fail(500, "oops"), ModelOverloaded),
    (Fail(502, body="<html>bad gateway</html>"), ModelOverloaded),
    (Fail(503, "busy"), ModelOverloaded),
    (Fail(529, "overloaded"), ModelOverloaded),
    (Overload(after_events=0), ModelOverloaded),
    (Overload(after_events=3), ModelOverloaded),
    (Truncate(0), ModelStreamBroken),
    (Truncate(3), ModelStreamBroken),
    (Truncate(0, clean=True), ModelStreamBroken),
    (Truncate(3, clean=True), ModelStreamBroken),
)


async def names_each_failure(scripted: Scripted) -> None:
    """Every failure has the contract's type, the provider's reason and one request behind it."""
    for step, expected in _FAULTS:
        async with scripted([step]) as opened:
            error = await _raised(opened.model, request())
            assert type(error) is expected, (step, error)
            # The SDK may retry on its own; the ledger would not know.
            assert len(opened.provider.requests) == 1, step
            assert opened.provider.key not in error.message
            if isinstance(step, Fail) and step.body is None:
                assert step.message in error.message


async def reads_retry_after_in_both_forms(scripted: Scripted) -> None:
    """Retry-After comes in seconds or as a date; nonsense is no wait at all."""
    async with scripted(
        [
            Fail(429, retry_after="7"),
            Fail(529, retry_after="3"),
            Fail(429, retry_after="Fri, 31 Dec 2100 23:59:59 GMT"),
            Fail(429, retry_after="soon"),
        ]
    ) as opened:
        errors = [await _raised(opened.model, request()) for _ in range(4)]
    waits = [error.retry_after_s for error in errors if isinstance(error, ModelRateLimited)]
    assert waits[:2] == [7, 3]
    assert waits[2] is not None
    assert waits[2] > 1_000_000
    assert waits[3] is None


async def clips_and_cleans_a_reason(scripted: Scripted) -> None:
    """A provider's reason is clipped and holds neither the key nor terminal escapes."""

    def hostile(received: object) -> Step:  # noqa: ARG001 - a script is given the request
        return Fail(400, f"\x1b[31m{opened.provider.key} " + "x" * 5000)

    async with scripted(hostile) as opened:
        error = await _raised(opened.model, request())
    assert opened.provider.key not in error.message
    assert "\x1b" not in error.message
    assert len(error.message) < 600


async def gives_up_at_its_deadline(scripted: Scripted) -> None:
    """A provider that says nothing, or stops saying, is left when the deadline passes."""
    for step in (Hang(), Hang(after_events=3)):
        async with scripted([step]) as opened:
            error = await _raised(opened.model, request(deadline_s=0.3))
            assert type(error) is ModelUnreachable
            assert "0.3 s" in error.message
            assert await opened.provider.requests[0].wait_disconnected()


async def cancels_the_call_when_closed_early(scripted: Scripted) -> None:
    """Closing the iterator after the first delta closes the connection to the provider."""
    async with scripted([Hang(after_events=4), Reply([Say("Still here.")])]) as opened:
        async with aclosing(opened.model.stream(request())) as stream:
            assert isinstance(await anext(stream), TextDelta)
        assert await opened.provider.requests[0].wait_disconnected()
        assert (await response_of(opened.model, request())).message.text == "Still here."


async def refuses_a_wrong_key(scripted: Scripted) -> None:
    """A key that the provider does not know is named as such."""
    async with scripted([]) as opened:
        opened.provider.key = "another key"
        assert type(await _raised(opened.model, request())) is ModelUnauthorized


SCRIPTED_MODEL: tuple[Callable[[Scripted], Awaitable[None]], ...] = (
    says_thinks_and_calls_in_order,
    carries_a_conversation_with_tools,
    passes_broken_arguments_on,
    sends_what_nobody_accepts_mended,
    counts_usage_with_its_cache,
    names_why_it_stopped,
    accepts_an_answer_of_nothing,
    names_each_failure,
    reads_retry_after_in_both_forms,
    clips_and_cleans_a_reason,
    gives_up_at_its_deadline,
    cancels_the_call_when_closed_early,
    refuses_a_wrong_key,
)
