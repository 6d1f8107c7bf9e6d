"""What a run looks like: its records, folded into one value. Pure.

Whatever a person is shown of a run comes from here, so a reload, a second window and the audit all
show the same. Any beginning of a ledger folds: a run without `run.finished` is "running", an
answer that is still being written shows what has arrived, a tool call that has not ended has no
outcome. `Folder` takes records one at a time; `fold` takes them all.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from forge.errors import LedgerCorrupt
from forge.events import (
    AnyEvent,
    ArtifactSaved,
    Fault,
    FileUploaded,
    ModelFailed,
    ModelRequested,
    ModelResponded,
    ModelText,
    Notice,
    Record,
    RunFinished,
    RunStarted,
    RunStatus,
    SandboxCreated,
    ToolDisplayed,
    ToolFinished,
    ToolOutcome,
    ToolOutput,
    ToolStarted,
    Totals,
)
from forge.ids import RunId
from forge.messages import AssistantMessage, Message, Text, ToolResult, UserMessage
from forge.usage import Usage


@dataclass(slots=True)
class ToolView:
    """A tool call. `outcome` is None while it runs, or where the run ended before it did."""

    call_id: str
    name: str
    arguments: str
    output: list[ToolOutput | ToolDisplayed] = field(default_factory=list)
    outcome: ToolOutcome | None = None
    content: str = ""
    duration_ms: float | None = None


@dataclass(slots=True)
class StepView:
    """One model call and the tool calls it led to. `text` grows while the model writes."""

    step: int
    text: str = ""
    message: AssistantMessage | None = None
    failures: list[ModelFailed] = field(default_factory=list)
    tools: list[ToolView] = field(default_factory=list)
    artifacts: list[ArtifactSaved] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    usd: Decimal | None = Decimal(0)
    duration_ms: float | None = None
    first_token_ms: float | None = None


@dataclass(slots=True)
class RunView:
    """A run as a person sees it. `answer` is the last thing the model said, whole or in part."""

    id: RunId
    started: RunStarted
    created_at: datetime
    updated_at: datetime
    status: RunStatus | Literal["running"] = "running"
    answer: str = ""
    sandbox: SandboxCreated | None = None
    sandbox_from: datetime | None = None
    uploads: list[FileUploaded] = field(default_factory=list)
    steps: list[StepView] = field(default_factory=list)
    artifacts: list[ArtifactSaved] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    error: Fault | None = None
    finished: Totals | None = None

    def totals(self, now: datetime | None = None) -> Totals:
        """What the run came to, as its last event says; of a running one, so far, until `now`
        (its last record's time when not given).
        """
        if self.finished is not None:
            return self.finished
        until = now or self.updated_at
        prices = [step.usd for step in self.steps]
        return Totals(
            iterations=sum(step.message is not None for step in self.steps),
            usage=sum((step.usage for step in self.steps), Usage()),
            usd=None if None in prices else sum((p for p in prices if p is not None), Decimal(0)),
            tool_calls=sum(len(step.tools) for step in self.steps),
            wall_s=_seconds(self.created_at, until),
            model_s=sum((step.duration_ms or 0) for step in self.steps) / 1000,
            sandbox_s=_seconds(self.sandbox_from, until) if self.sandbox_from else 0,
        )

    @property
    def transcript(self) -> tuple[Message, ...]:
        """What was said between the person, the model and the tools, as a model is told it."""
        messages: list[Message] = [UserMessage(parts=(Text(text=self.started.prompt),))]
        for step in self.steps:
            if step.message is None:
                continue
            messages.append(step.message)
            results = _results(step)
            if results:
                messages.append(UserMessage(parts=results))
        return tuple(messages)


class Folder:
    """Folds records as they come. The first must be `run.started`."""

    def __init__(self, first: Record) -> None:
        if not isinstance(first.event, RunStarted):
            raise LedgerCorrupt(f"The run {first.run_id} does not begin with run.started.")
        self.view = RunView(
            id=first.run_id, started=first.event, created_at=first.at, updated_at=first.at
        )

    def add(self, record: Record) -> None:
        """Take the next record into the view. Kinds it does not know change nothing."""
        self.view.updated_at = record.at
        event = record.event
        match event:
            case ModelRequested() | ModelText() | ModelResponded() | ModelFailed():
                self._model(event)
            case ToolStarted() | ToolOutput() | ToolDisplayed() | ToolFinished():
                self._tool(event)
            case RunFinished():
                self.view.status, self.view.answer = event.status, event.answer
                self.view.error, self.view.finished = event.error, event.totals
            case _:
                self._rest(event, record.at)

    def _rest(self, event: AnyEvent, at: datetime) -> None:
        match event:
            case SandboxCreated():
                self.view.sandbox, self.view.sandbox_from = event, at
            case FileUploaded():
                self.view.uploads.append(event)
            case ArtifactSaved():
                self.view.artifacts.append(event)
                if self.view.steps:
                    self.view.steps[-1].artifacts.append(event)
            case Notice():
                self.view.notices.append(event.text)

    def _model(self, event: ModelRequested | ModelText | ModelResponded | ModelFailed) -> None:
        step = self._step(event.step)
        match event:
            case ModelRequested():
                step.text = ""  # what a failed attempt said is not the answer
            case ModelText():
                step.text += event.text
                self.view.answer = step.text
            case ModelFailed():
                step.failures.append(event)
            case ModelResponded():
                step.message, step.text = event.message, event.message.text
                step.usage, step.usd = event.usage, event.usd
                step.duration_ms, step.first_token_ms = event.duration_ms, event.first_token_ms
                self.view.answer = step.text or self.view.answer

    def _tool(self, event: ToolStarted | ToolOutput | ToolDisplayed | ToolFinished) -> None:
        step = self._step(event.step)
        if isinstance(event, ToolStarted):
            step.tools.append(
                ToolView(call_id=event.call_id, name=event.name, arguments=event.arguments)
            )
            return
        # A model may use one id twice; the later call is the one that is still open.
        tool = next((t for t in reversed(step.tools) if t.call_id == event.call_id), None)
        if tool is None:
            return
        if isinstance(event, ToolFinished):
            tool.outcome, tool.content = event.outcome, event.content
            tool.duration_ms = event.duration_ms
        else:
            tool.output.append(event)

    def _step(self, number: int) -> StepView:
        if not self.view.steps or self.view.steps[-1].step != number:
            self.view.steps.append(StepView(step=number))
        return self.view.steps[-1]


def fold(records: Iterable[Record]) -> RunView:
    """The run that these records, from the first on, come to.

    Raises:
        LedgerCorrupt: there are none, or the first is not `run.started`.
    """
    remaining = iter(records)
    first = next(remaining, None)
    if first is None:
        raise LedgerCorrupt("There is no record to fold.")
    folder = Folder(first)
    for record in remaining:
        folder.add(record)
    return folder.view


def _results(step: StepView) -> tuple[ToolResult, ...]:
    return tuple(
        ToolResult(
            call_id=tool.call_id,
            name=tool.name,
            content=tool.content,
            is_error=tool.outcome != "ok",
        )
        for tool in step.tools
        if tool.outcome is not None
    )


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
