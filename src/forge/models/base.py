"""The contract of a model: one streamed call, in and out in Forge's own words."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

from forge.events import StopReason
from forge.messages import AssistantMessage, Message
from forge.usage import Usage


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model is told of it. `parameters` is a JSON Schema of an object."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call. `max_tokens` bounds the answer; `deadline_s` bounds the whole call in seconds."""

    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    max_tokens: int
    deadline_s: float


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Some of the answer's words."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """Some of the model's reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolInputDelta:
    """Some of a tool call's JSON arguments."""

    call_id: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """The whole answer; always the last thing a call yields."""

    message: AssistantMessage
    stop_reason: StopReason
    usage: Usage


ModelEvent = TextDelta | ThinkingDelta | ToolInputDelta | ModelResponse


class Model(Protocol):
    """A model that can be called. Implementations hold no state between calls but connections."""

    @property
    def name(self) -> str:
        """`provider:model`, as in `anthropic:claude-…`; shown to people and kept in the ledger."""

    @property
    def priced(self) -> bool:
        """Whether calls cost money. False only where no provider is called at all."""

    @property
    def uses_tools(self) -> bool:
        """Whether it calls tools by itself, in its provider's own format."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Make one call: deltas as they arrive, then exactly one `ModelResponse`.

        No retries happen inside: one call is one attempt, so each is on the ledger. Malformed tool
        arguments are no error here; they are passed on as the model wrote them. The caller closes
        the iterator (`contextlib.aclosing`); closing it early cancels the call at the provider.

        Raises:
            ModelUnauthorized: the key was not accepted (401, 403).
            ModelRequestRefused: the request itself was refused (other 4xx).
            ModelRateLimited: 429, with the provider's Retry-After where given.
            ModelOverloaded: 5xx and 529, with Retry-After where given; also an overload reported
                in the middle of a stream.
            ModelUnreachable: no connection, or no answer within `deadline_s`.
            ModelStreamBroken: the stream ended without its final event.
        """

    async def close(self) -> None:
        """Free the connections."""
