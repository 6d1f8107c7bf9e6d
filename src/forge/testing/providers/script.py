"""The words a test writes a provider's behaviour in.

A script is a sequence of steps, one per accepted request, or a function that decides from the
request. A request that breaks the provider's rules is refused before the script is asked and takes
no step. Values here know nothing of any wire format; the same script runs through both providers.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from forge.events import StopReason
from forge.testing.providers.received import Received
from forge.usage import Usage


@dataclass(frozen=True, slots=True)
class Say:
    """The model says `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class Think:
    """The model reasons; Anthropic seals it with `signature` (made from the text if not given)."""

    text: str
    signature: str | None = None

    @property
    def seal(self) -> str:
        """The signature that goes on the wire."""
        return self.signature if self.signature is not None else seal(self.text)


def seal(text: str) -> str:
    """The signature this provider gives `text` where the script names none."""
    return "sealed-" + hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Redacted:
    """Reasoning that Anthropic gives out only sealed; `data` must come back unchanged."""

    data: str


@dataclass(frozen=True, slots=True)
class UseTool:
    """The model calls a tool. `arguments` is a mapping, or the raw text it writes (broken or not).

    `id` is made from the request's and the part's number where it is not given.
    """

    name: str
    arguments: Mapping[str, Any] | str
    id: str | None = None


Part = Say | Think | Redacted | UseTool

DEFAULT_USAGE = Usage(input_tokens=100, output_tokens=20)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer.

    Args:
        parts: what the model does, in order.
        usage: what it reports, `input_tokens` including cached ones; None reports nothing (OpenAI
            only, as some compatible servers do).
        stop_reason: by default `tool_use` if a tool is called, else `end`.
        delay_s: seconds between two events on the wire.
        piece: how many characters one delta carries.
    """

    parts: Sequence[Part]
    usage: Usage | None = DEFAULT_USAGE
    stop_reason: StopReason | None = None
    delay_s: float = 0.0
    piece: int = 7

    @property
    def stop(self) -> StopReason:
        """The stop reason that is reported."""
        if self.stop_reason is not None:
            return self.stop_reason
        return "tool_use" if any(isinstance(part, UseTool) for part in self.parts) else "end"


@dataclass(frozen=True, slots=True)
class Fail:
    """An HTTP error instead of an answer.

    Args:
        status: the status code.
        message: the reason, in the provider's own error body.
        retry_after: the `Retry-After` header, seconds or an HTTP date.
        body: a whole body to send instead, as a proxy would (sent as HTML).
        headers: further headers.
    """

    status: int
    message: str = "scripted failure"
    retry_after: str | None = None
    body: str | None = None
    headers: Mapping[str, str] | None = None


_SOME_WORDS = Reply((Say("Some words that are never finished."),))


@dataclass(frozen=True, slots=True)
class Truncate:
    """The first events of `reply`, then the end. `clean` ends the body properly, else the
    connection is dropped in the middle of it.
    """

    after_events: int
    reply: Reply = _SOME_WORDS
    clean: bool = False


@dataclass(frozen=True, slots=True)
class Overload:
    """The first events of `reply`, then an error event in the stream."""

    after_events: int = 3
    reply: Reply = _SOME_WORDS
    error_type: str = "overloaded_error"
    message: str = "Overloaded"


@dataclass(frozen=True, slots=True)
class Hang:
    """The first events of `reply`, then silence until the client goes away, or `at_most_s`.

    With `after_events` 0 not even the headers are sent.
    """

    after_events: int = 0
    reply: Reply = _SOME_WORDS
    at_most_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Raw:
    """These bytes as the event stream, whatever they are."""

    body: bytes
    content_type: str = "text/event-stream"


Step = Reply | Fail | Truncate | Overload | Hang | Raw
Decide = Callable[[Received], Step]
"""Chooses a step from the request. It runs in the server's thread and must not wait."""

Script = Sequence[Step | Decide] | Decide
