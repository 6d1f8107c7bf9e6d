"""What runs come to, counted as their records are written, in Prometheus's words.

Counted is what this process carries out, since it began. Names end in their unit. Labels are models
and words of our own, never ids or text of a person or a model; of models there are `MOST_MODELS`,
and all further ones are `other`, so that nobody fills a monitoring system with names.
"""

from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from forge.events import (
    ModelFailed,
    ModelRequested,
    ModelResponded,
    Record,
    RunFinished,
    ToolFinished,
)
from forge.runs.watching import Watcher

MOST_MODELS = 50

_MODEL_S = (0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)
_APPEND_S = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)


class RunMeasures:
    """Counters of runs, model calls, tool calls and the ledger, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._models: set[str] = set()

        def made(kind: type[Any], name: str, what: str, *labels: str, **more: Any) -> Any:
            return kind(f"forge_{name}", what, labels, registry=self.registry, **more)

        self.here: Gauge = made(Gauge, "runs_here", "Runs that this process carries out.")
        self.finished: Counter = made(Counter, "runs_finished", "Runs that ended.", "status")
        self.calls: Counter = made(
            Counter, "model_calls", "Attempts of model calls that ended.", "model", "outcome"
        )
        self.tokens: Counter = made(
            Counter,
            "model_tokens",
            "Tokens used; `input` includes what was read from and written to a cache.",
            "model",
            "kind",
        )
        self.usd: Counter = made(
            Counter, "model_cost_usd", "What calls of a known price cost, in US dollars.", "model"
        )
        self.seconds: Histogram = made(
            Histogram,
            "model_call_seconds",
            "How long model calls took that were answered.",
            "model",
            buckets=_MODEL_S,
        )
        self.tools: Counter = made(Counter, "tool_calls", "Tool calls that ended.", "outcome")
        self.appended: Histogram = made(
            Histogram,
            "ledger_append_seconds",
            "How long it took until records were durable.",
            buckets=_APPEND_S,
        )

    def watch(self, records: Sequence[Record]) -> Watcher:
        """Begin to count a run."""
        del records
        self.here.inc()
        return _Counted(self)

    def label(self, model: str) -> str:
        """What a model is called here."""
        if model not in self._models and len(self._models) >= MOST_MODELS:
            return "other"
        self._models.add(model)
        return model


class _Counted:
    """One run that is counted."""

    def __init__(self, measures: RunMeasures) -> None:
        self._measures, self._asked = measures, dict[int, str]()
        self._told: dict[type, Callable[..., None]] = {
            ModelRequested: self._requested,
            ModelResponded: self._answered,
            ModelFailed: self._failed,
            ToolFinished: self._used,
            RunFinished: self._finished,
        }

    def saw(self, record: Record, seconds: float) -> None:
        """See `Watcher`."""
        self._measures.appended.observe(seconds)
        if (told := self._told.get(type(record.event))) is not None:
            told(record.event)

    def left(self) -> None:
        """See `Watcher`."""
        self._measures.here.dec()

    def _requested(self, event: ModelRequested) -> None:
        self._asked[event.step] = self._measures.label(event.model)

    def _answered(self, event: ModelResponded) -> None:
        model, used = self._asked.pop(event.step, "other"), event.usage
        self._measures.calls.labels(model, "ok").inc()
        self._measures.seconds.labels(model).observe(event.duration_ms / 1000)
        for kind, count in (
            ("input", used.input_tokens),
            ("output", used.output_tokens),
            ("cache_read", used.cache_read_tokens),
            ("cache_write", used.cache_write_tokens),
        ):
            self._measures.tokens.labels(model, kind).inc(count)
        if event.usd is not None:
            self._measures.usd.labels(model).inc(float(event.usd))

    def _failed(self, event: ModelFailed) -> None:
        model = self._asked.pop(event.step, "other")
        self._measures.calls.labels(model, event.error.code).inc()

    def _used(self, event: ToolFinished) -> None:
        self._measures.tools.labels(event.outcome).inc()

    def _finished(self, event: RunFinished) -> None:
        self._measures.finished.labels(event.status).inc()
