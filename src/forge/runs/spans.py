"""Runs as OpenTelemetry's spans, in the words of its conventions for generative AI (`gen_ai.*`).

    invoke_agent forge          a run, while one process carries it out
    ├── chat MODEL              an attempt of a model call
    └── execute_tool NAME       a tool call

A fold of the run's records: a span begins and ends at the times that the ledger has. A run that is
taken up again has one more `invoke_agent`, of the same `forge.run.id`. Nobody's words are in a
span, only names, numbers and codes, unless whoever runs the server asks for them.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from forge.events import (
    ModelFailed,
    ModelRequested,
    ModelResponded,
    Record,
    RunFinished,
    RunRouted,
    RunStarted,
    ToolFinished,
    ToolStarted,
)
from forge.messages import AssistantMessage, Text, ToolCall
from forge.runs.watching import Watch, Watcher
from forge.usage import Usage

Attributes = dict[str, str | int | float | bool | list[str]]

_NAME = 100
"""A tool's name in a span has so many characters at most: a model made it up."""

_LEFT = "left_open"
"""The `error.type` of what this process did not see the end of."""


def tracing(tracer: Tracer, *, content: bool = False) -> Watch:
    """Watch runs by spans of this tracer; `content` puts people's and models' words in too."""

    def watch(records: Sequence[Record]) -> Watcher:
        return _Traced(tracer, records, content=content)

    return watch


class _Traced:
    """The spans of one run that are open."""

    def __init__(self, tracer: Tracer, records: Sequence[Record], *, content: bool) -> None:
        first = records[0].event
        assert isinstance(first, RunStarted)
        self._tracer, self._content, self._last = tracer, content, records[-1].at
        self._root = tracer.start_span(
            "invoke_agent forge",
            start_time=_ns(self._last),
            attributes={
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": "forge",
                "forge.run.id": records[0].run_id,
                "forge.run.resumed": len(records) > 1,
                **_model(first.model),
            },
        )
        if first.conversation_id is not None:
            self._root.set_attribute("gen_ai.conversation.id", first.conversation_id)
        if content:
            self._root.set_attribute("gen_ai.input.messages", _said("user", _text(first.prompt)))
        self._inside: Context = set_span_in_context(self._root)
        self._chats: dict[int, Span] = {}
        self._tools: dict[str, Span] = {}
        self._over = False
        self._told: dict[type, Callable[..., None]] = {
            RunRouted: self._routed,
            ModelRequested: self._asked,
            ModelResponded: self._answered,
            ModelFailed: self._unanswered,
            ToolStarted: self._began,
            ToolFinished: self._ended,
            RunFinished: self._finished,
        }

    def saw(self, record: Record, seconds: float) -> None:
        """See `Watcher`."""
        del seconds
        self._last = record.at
        if (told := self._told.get(type(record.event))) is not None:
            told(record.event)

    def left(self) -> None:
        """End what is open: no one else can."""
        for span in (*self._chats.values(), *self._tools.values()):
            self._end(span, _LEFT)
        if not self._over:
            self._end(self._root, _LEFT)

    def _routed(self, event: RunRouted) -> None:
        self._root.set_attribute("forge.run.route", event.path)

    def _asked(self, event: ModelRequested) -> None:
        asked = _model(event.model)
        self._chats[event.step] = self._begin(
            f"chat {asked['gen_ai.request.model']}",
            SpanKind.CLIENT,
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.max_tokens": event.max_tokens,
                "forge.step": event.step,
                "forge.attempt": event.attempt,
                **asked,
            },
        )

    def _answered(self, event: ModelResponded) -> None:
        if (span := self._chats.pop(event.step, None)) is None:
            return
        span.set_attributes(_used(event.usage))
        span.set_attribute("gen_ai.response.finish_reasons", [event.stop_reason])
        if event.usd is not None:
            span.set_attribute("gen_ai.usage.cost", float(event.usd))
        if event.first_token_ms is not None:
            span.set_attribute("gen_ai.response.time_to_first_chunk", event.first_token_ms / 1000)
        if self._content:
            span.set_attribute("gen_ai.output.messages", _said("assistant", *_parts(event.message)))
        self._end(span)

    def _unanswered(self, event: ModelFailed) -> None:
        if (span := self._chats.pop(event.step, None)) is not None:
            self._end(span, event.error.code)

    def _began(self, event: ToolStarted) -> None:
        name = event.name[:_NAME]
        span = self._begin(
            f"execute_tool {name}",
            SpanKind.INTERNAL,
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": name,
                "gen_ai.tool.type": "function",
                "gen_ai.tool.call.id": event.call_id[:_NAME],
                "forge.step": event.step,
            },
        )
        if self._content:
            span.set_attribute("gen_ai.tool.call.arguments", event.arguments)
        self._tools[event.call_id] = span

    def _ended(self, event: ToolFinished) -> None:
        if (span := self._tools.pop(event.call_id, None)) is None:
            return
        if self._content:
            span.set_attribute("gen_ai.tool.call.result", event.content)
        self._end(span, "" if event.outcome == "ok" else event.outcome)

    def _finished(self, event: RunFinished) -> None:
        self._over = True
        self._root.set_attributes(_used(event.totals.usage))
        self._root.set_attribute("forge.run.status", event.status)
        if event.totals.usd is not None:
            self._root.set_attribute("gen_ai.usage.cost", float(event.totals.usd))
        if self._content:
            self._root.set_attribute(
                "gen_ai.output.messages", _said("assistant", _text(event.answer))
            )
        self._end(self._root, event.error.code if event.error else "")

    def _begin(self, name: str, kind: SpanKind, attributes: Attributes) -> Span:
        return self._tracer.start_span(
            name, self._inside, kind, attributes, start_time=_ns(self._last)
        )

    def _end(self, span: Span, error: str = "") -> None:
        if error:
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR))
        span.end(_ns(self._last))


def _ns(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000


def _model(name: str) -> Attributes:
    provider, _, model = name.partition(":")
    return {"gen_ai.provider.name": provider, "gen_ai.request.model": model or provider}


def _used(usage: Usage) -> Attributes:
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
    }


def _said(role: str, *parts: dict[str, str]) -> str:
    return json.dumps([{"role": role, "parts": parts}])


def _text(words: str) -> dict[str, str]:
    return {"type": "text", "content": words}


def _parts(message: AssistantMessage) -> list[dict[str, str]]:
    """What a model said and wished, without its thoughts."""
    made: list[dict[str, str]] = []
    for part in message.parts:
        if isinstance(part, Text):
            made.append(_text(part.text))
        elif isinstance(part, ToolCall):
            made.append(
                {
                    "type": "tool_call",
                    "id": part.id,
                    "name": part.name,
                    "arguments": part.arguments,
                }
            )
    return made
