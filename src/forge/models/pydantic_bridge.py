"""The one file that knows pydantic-ai: Forge's words to its messages, its stream to Forge's events.

pydantic-ai is used for the providers' wire formats alone (`pydantic_ai.direct`); the loop, the
budget and the ledger are Forge's. Its own retries are off in every form. It moves fast, so nothing
of it leaves this file, not even an exception. A `BridgedModel` owns its SDK client and frees the
connections in `close`.

Servers that report no usage (some OpenAI-compatible ones) are counted by a high estimate, so that
token and USD caps hold for them too.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from pydantic_ai import direct, exceptions, messages, models, settings
from pydantic_ai.tools import ToolDefinition

from forge.errors import ModelError, ModelOverloaded, ModelRateLimited
from forge.events import StopReason
from forge.messages import (
    AssistantMessage,
    Message,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from forge.models import capabilities, faults, transcript
from forge.models.base import (
    ModelEvent,
    ModelRequest,
    ModelResponse,
    TextDelta,
    ThinkingDelta,
    ToolInputDelta,
)
from forge.usage import Usage

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI

ProviderName = Literal["anthropic", "openai"]
_T = TypeVar("_T")

_STOP: dict[str | None, StopReason] = {
    "length": "max_tokens",
    "content_filter": "refusal",
}
# What the SDKs and pydantic-ai raise on events of a shape no provider documents; they parse
# leniently, so a malformed stream surfaces as whatever its parser tripped over.
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, AssertionError)
_REDACTED = "redacted_thinking"


class _Client(Protocol):
    async def close(self) -> None: ...


def over_anthropic(client: "AsyncAnthropic", model: str) -> models.Model:
    """pydantic-ai's Anthropic wire, with prompt caching on."""
    # Imported here so that one provider's use does not pay the seconds of the other's SDK.
    from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
    from pydantic_ai.profiles.anthropic import AnthropicModelProfile
    from pydantic_ai.providers.anthropic import AnthropicProvider

    return AnthropicModel(
        model,
        provider=AnthropicProvider(anthropic_client=client),
        # Off: it would send a request again by itself when a thinking block is refused.
        profile=AnthropicModelProfile(anthropic_binds_thinking_blocks=False),
        settings=AnthropicModelSettings(
            anthropic_cache_instructions=True,
            anthropic_cache_tool_definitions=True,
            anthropic_cache_messages=True,
        ),
    )


def over_openai(client: "AsyncOpenAI", model: str, *, compatible: bool) -> models.Model:
    """pydantic-ai's chat-completions wire. `compatible` means: not OpenAI's own server."""
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.openai import OpenAIProvider

    # Servers that do not know `max_completion_tokens` ignore it, and then no cap holds.
    profile = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=not compatible)
    return OpenAIChatModel(model, provider=OpenAIProvider(openai_client=client), profile=profile)


class BridgedModel:
    """A model behind pydantic-ai. `secret` is what no message may contain."""

    def __init__(
        self, provider: ProviderName, inner: models.Model, client: _Client, *, secret: str
    ) -> None:
        self._provider: ProviderName = provider
        self._inner = inner
        self._client = client
        self._secret = secret

    @property
    def name(self) -> str:
        """`provider:model`."""
        return f"{self._provider}:{self._inner.model_name}"

    @property
    def priced(self) -> bool:
        """Calls cost money."""
        return True

    @property
    def uses_tools(self) -> bool:
        """As far as its name tells; see `forge.models.capabilities`."""
        return capabilities.uses_tools(self._inner.model_name)

    async def close(self) -> None:
        """Free the connections."""
        await self._client.close()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Make one call; see `forge.models.base.Model.stream`."""
        # The deadline is applied to each wait, never across a yield: held across one, it would
        # cancel whatever the caller is doing then.
        until = asyncio.get_running_loop().time() + request.deadline_s
        opening = direct.model_request_stream(
            self._inner,
            [_message(message, self._provider) for message in request.messages],
            model_settings=settings.ModelSettings(
                max_tokens=request.max_tokens,
                # Else pydantic-ai puts a paragraph of its own before the system prompt.
                framing_announcement="never",
            ),
            model_request_parameters=_parameters(request),
        )
        async with AsyncExitStack() as stack:
            answer = await self._bounded(stack.enter_async_context(opening), until, request)
            deltas = _Deltas()
            events = aiter(answer)
            while (event := await self._bounded(anext(events, None), until, request)) is not None:
                for delta in deltas.of(event):
                    yield delta
            yield self._response(answer.get(), deltas, request)

    async def _bounded(self, wait: Awaitable[_T], until: float, request: ModelRequest) -> _T:
        try:
            async with asyncio.timeout_at(until):
                return await wait
        except TimeoutError as error:
            raise faults.too_slow(self._provider, request.deadline_s) from error
        except (exceptions.ModelAPIError, exceptions.UnexpectedModelBehavior) as error:
            raise self._fault(error) from error
        except _MALFORMED as error:
            reason = faults.said(f"an event could not be understood ({error})", secret=self._secret)
            raise faults.broken_stream(self._provider, reason) from error

    def _fault(
        self, error: exceptions.ModelAPIError | exceptions.UnexpectedModelBehavior
    ) -> ModelError:
        body = getattr(error, "body", None) or error.message
        if isinstance(error, exceptions.ModelConnectionError):
            body = _innermost(error)
        reason = faults.said(body, secret=self._secret)
        match error:
            case exceptions.ModelHTTPError():
                status, wait_s = error.status_code, error.retry_after
                return faults.from_status(self._provider, status, reason, wait_s)
            case exceptions.ModelConnectionError(phase="pool" | "connect"):
                return faults.no_connection(self._provider, reason)
            case exceptions.ModelUnavailableError() | exceptions.ModelServerError():
                return ModelOverloaded(f"{self._provider} failed on its side{reason}")
            case exceptions.ModelRateLimitError():
                return ModelRateLimited(f"{self._provider} asks to slow down{reason}")
        return faults.broken_stream(self._provider, reason)

    def _response(
        self, answer: messages.ModelResponse, deltas: "_Deltas", request: ModelRequest
    ) -> ModelResponse:
        details = answer.provider_details or {}
        refusal = details.get("refusal")
        if not details.get("finish_reason") and refusal is None:
            # pydantic-ai fills in a reason where none was sent; only the raw one proves an end.
            raise faults.broken_stream(self._provider, ": it gave no reason for stopping")
        message = AssistantMessage(parts=tuple(_parts(answer.parts, deltas.call_ids)))
        if refusal:
            message = AssistantMessage(parts=(*message.parts, Text(text=str(refusal))))
        stop = _STOP.get(answer.finish_reason) or ("tool_use" if message.tool_calls else "end")
        usage = _usage(answer)
        if not usage.total_tokens:
            usage = transcript.estimated_usage(request, message.model_dump_json())
        return ModelResponse(message=message, stop_reason=stop, usage=usage)


def _innermost(error: BaseException) -> str:
    """What the network said; the SDKs' own words are only "Connection error."."""
    words = str(error)
    while error.__cause__ is not None:
        error = error.__cause__
        words = str(error) or words
    return words


class _Deltas:
    """pydantic-ai's events as Forge's deltas; gives each tool call an id that is its own."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[str, str]] = {}

    @property
    def call_ids(self) -> list[str]:
        """The calls' ids, in the answer's order."""
        return [self._calls[index][0] for index in sorted(self._calls)]

    def of(self, event: messages.ModelResponseStreamEvent) -> Iterator[ModelEvent]:
        if isinstance(event, messages.PartStartEvent):
            yield from self._start(event.index, event.part)
        elif isinstance(event, messages.PartDeltaEvent):
            yield from self._delta(event.index, event.delta)

    def _start(self, index: int, part: messages.ModelResponsePart) -> Iterator[ModelEvent]:
        match part:
            case messages.TextPart(content=text) if text:
                yield TextDelta(text)
            case messages.ThinkingPart(content=text) if text:
                yield ThinkingDelta(text)
            case messages.ToolCallPart():
                taken = {call_id for call_id, _ in self._calls.values()}
                call_id = part.tool_call_id
                if not call_id or call_id in taken:
                    # Some servers leave it empty, or give parallel calls the same one.
                    call_id = f"{call_id or 'call'}_{index}"
                self._calls[index] = (call_id, part.tool_name)
                if part.args:
                    yield ToolInputDelta(call_id, part.tool_name, _arguments(part.args))

    def _delta(self, index: int, delta: messages.ModelResponsePartDelta) -> Iterator[ModelEvent]:
        match delta:
            case messages.TextPartDelta(content_delta=text) if text:
                yield TextDelta(text)
            case messages.ThinkingPartDelta(content_delta=text) if text:
                yield ThinkingDelta(text)
            case messages.ToolCallPartDelta(args_delta=args) if args and index in self._calls:
                call_id, name = self._calls[index]
                yield ToolInputDelta(call_id, name, _arguments(args))


def _arguments(args: str | Mapping[str, Any] | None) -> str:
    """Arguments as text: verbatim where the model wrote text, `{}` where it wrote nothing."""
    if isinstance(args, str):
        return args or "{}"
    return json.dumps(dict(args or {}))


def _parts(
    parts: Sequence[messages.ModelResponsePart], call_ids: Sequence[str]
) -> Iterator[Text | Thinking | ToolCall]:
    ids = iter(call_ids)
    for part in parts:
        match part:
            case messages.TextPart(content=text) if text:
                yield Text(text=text)
            case messages.ThinkingPart() if part.content or part.signature:
                yield _thinking(part)
            case messages.ToolCallPart():
                yield ToolCall(id=next(ids), name=part.tool_name, arguments=_arguments(part.args))


def _thinking(part: messages.ThinkingPart) -> Thinking:
    # The id says in which form it must go back: redacted, or under which field's name.
    provider = f"{part.provider_name}:{part.id}" if part.id else part.provider_name
    return Thinking(text=part.content, signature=part.signature, provider=provider)


def _usage(answer: messages.ModelResponse) -> Usage:
    used = answer.usage
    return Usage(
        input_tokens=max(0, used.input_tokens),
        output_tokens=max(0, used.output_tokens),
        cache_read_tokens=max(0, used.cache_read_tokens),
        cache_write_tokens=max(0, used.cache_write_tokens),
    )


def _parameters(request: ModelRequest) -> models.ModelRequestParameters:
    system = transcript.words(request.system)
    return models.ModelRequestParameters(
        function_tools=[
            ToolDefinition(
                name=tool.name,
                description=tool.description,
                parameters_json_schema=tool.parameters,
                # Not guessed from the schema: a strict tool's schema would be rewritten.
                strict=False,
            )
            for tool in request.tools
        ],
        instruction_parts=[messages.InstructionPart(content=system)] if system.strip() else [],
    )


def _message(message: Message, provider: ProviderName) -> messages.ModelMessage:
    if isinstance(message, AssistantMessage):
        said = [part for each in message.parts for part in _said(each, provider)]
        return messages.ModelResponse(
            parts=said or [messages.TextPart(transcript.NOTHING)], provider_name=provider
        )
    # Results first: Anthropic refuses them after words.
    ordered = sorted(message.parts, key=lambda part: isinstance(part, Text))
    asked = [part for each in ordered for part in _asked(each, provider)]
    return messages.ModelRequest(parts=asked or [messages.UserPromptPart(transcript.NOTHING)])


def _asked(
    part: Text | ToolResult, provider: ProviderName
) -> Iterator[messages.UserPromptPart | messages.ToolReturnPart]:
    if isinstance(part, ToolResult):
        content = transcript.words_or_nothing(part.content)
        if part.is_error and provider == "openai":
            # Chat completions have no error mark, so the words carry it.
            content = f"Error:\n{content}"
        yield messages.ToolReturnPart(
            tool_name=transcript.tool_name(part.name),
            content=content,
            tool_call_id=part.call_id,
            outcome="failed" if part.is_error and provider == "anthropic" else "success",
        )
    elif part.text.strip():
        yield messages.UserPromptPart(transcript.words(part.text))


def _said(
    part: Text | Thinking | ToolCall, provider: ProviderName
) -> Iterator[messages.TextPart | messages.ThinkingPart | messages.ToolCallPart]:
    match part:
        case Text() if part.text.strip():
            yield messages.TextPart(transcript.words(part.text))
        case Thinking():
            yield from _thought(part, provider)
        case ToolCall():
            yield messages.ToolCallPart(
                tool_name=transcript.tool_name(part.name),
                args=transcript.arguments_object(part.arguments),
                tool_call_id=part.id,
            )


def _thought(part: Thinking, provider: ProviderName) -> Iterator[messages.ThinkingPart]:
    """Reasoning goes back only to the provider it came from, and only in the form it came in."""
    origin, _, form = (part.provider or "").partition(":")
    sealed = provider == "anthropic" and part.signature and form in ("", _REDACTED)
    named = provider == "openai" and form in ("reasoning", "reasoning_content")
    if origin == provider and (sealed or named):
        yield messages.ThinkingPart(
            part.text, id=form or None, signature=part.signature, provider_name=provider
        )
