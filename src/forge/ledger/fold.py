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
    ROUTING,
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    ArtifactSaved,
    Caps,
    Fault,
    FileUploaded,
    MessageSteered,
    ModelFailed,
    ModelRequested,
    ModelResponded,
    ModelText,
    Notice,
    Record,
    RunFinished,
    RunResumed,
    RunRouted,
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
    """A tool call. `outcome` is None while it runs or waits, or where the run ended before it
    did; `begun` is False while it only waits for a person.
    """

    call_id: str
    name: str
    arguments: str
    begun: bool = True
    asked: ApprovalRequested | None = None
    decided: ApprovalDecided | None = None
    output: list[ToolOutput | ToolDisplayed] = field(default_factory=list)
    outcome: ToolOutcome | None = None
    content: str = ""
    duration_ms: float | None = None


@dataclass(slots=True)
class StepView:
    """One model call and the tool calls it led to. `text` grows while the model writes. `asked` is
    the call that nobody has heard the end of, `lost` are those whose end nobody ever will.
    """

    step: int
    text: str = ""
    steered: list[MessageSteered] = field(default_factory=list)
    asked: ModelRequested | None = None
    attempts: int = 0
    lost: list[ModelRequested] = field(default_factory=list)
    message: AssistantMessage | None = None
    failures: list[ModelFailed] = field(default_factory=list)
    tools: list[ToolView] = field(default_factory=list)
    artifacts: list[ArtifactSaved] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    usd: Decimal | None = Decimal(0)
    duration_ms: float | None = None
    first_token_ms: float | None = None

    @property
    def unknown(self) -> tuple[ModelRequested, ...]:
        """The calls that count as the most they can come to."""
        return (*self.lost, self.asked) if self.asked else tuple(self.lost)


@dataclass(slots=True)
class RunView:
    """A run as a person sees it. `answer` is the last thing the model said, whole or in part;
    `caps` are those that hold now; time counts while the run was carried out, since `since` and
    before. `orders` are the people's orders that it has taken. `routing` is the call that chose the
    way, where there was one: it costs as any other and is no part of what was said.
    """

    id: RunId
    started: RunStarted
    created_at: datetime
    updated_at: datetime
    status: RunStatus | Literal["running"] = "running"
    answer: str = ""
    attempt: int = 1
    interruptions: int = 0
    caps: Caps = field(default_factory=Caps)
    routed: RunRouted | None = None
    orders: set[str] = field(default_factory=set)
    since: datetime | None = None
    wall_before: float = 0
    sandbox: SandboxCreated | None = None
    sandbox_from: datetime | None = None
    sandbox_before: float = 0
    uploads: list[FileUploaded] = field(default_factory=list)
    routing: StepView | None = None
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
        steps = self.calls
        unknown = [call for step in steps for call in step.unknown]
        prices = [step.usd for step in steps] + [call.worst_usd for call in unknown]
        return Totals(
            iterations=sum(step.message is not None for step in steps)
            + sum(len(step.lost) for step in steps),
            usage=sum((step.usage for step in steps), Usage())
            + sum((_most(call) for call in unknown), Usage()),
            usd=None if None in prices else sum((p for p in prices if p is not None), Decimal(0)),
            tool_calls=sum(tool.begun for step in self.steps for tool in step.tools),
            wall_s=self.wall_before + _seconds(self.since or self.created_at, until),
            model_s=sum((step.duration_ms or 0) for step in steps) / 1000,
            sandbox_s=self.sandbox_before
            + (_seconds(self.sandbox_from, until) if self.sandbox_from else 0),
        )

    @property
    def calls(self) -> list[StepView]:
        """Everything that a model was asked, the question which way to go first."""
        return [*([self.routing] if self.routing else []), *self.steps]

    @property
    def transcript(self) -> tuple[Message, ...]:
        """What was said between the person, the model and the tools, as a model is told it."""
        messages: list[Message] = []
        said: tuple[Text | ToolResult, ...] = (Text(text=self.started.prompt),)
        for step in self.steps:
            said += tuple(Text(text=steered.text) for steered in step.steered)
            if step.message is None:
                continue
            if said:
                messages.append(UserMessage(parts=said))
            messages.append(step.message)
            said = _results(step)
        if said:
            messages.append(UserMessage(parts=said))
        return tuple(messages)


class Folder:
    """Folds records as they come. The first must be `run.started`."""

    def __init__(self, first: Record) -> None:
        if not isinstance(first.event, RunStarted):
            raise LedgerCorrupt(f"The run {first.run_id} does not begin with run.started.")
        self.view = RunView(
            id=first.run_id,
            started=first.event,
            created_at=first.at,
            updated_at=first.at,
            caps=first.event.caps,
        )

    def add(self, record: Record) -> None:
        """Take the next record into the view. Kinds it does not know change nothing."""
        before, self.view.updated_at = self.view.updated_at, record.at
        event = record.event
        match event:
            case RunResumed():
                self._resume(event, before, record.at)
            case ModelRequested() | ModelText() | ModelResponded() | ModelFailed():
                self._model(event)
            case MessageSteered() | ApprovalRequested() | ApprovalDecided():
                self._person(event)
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
            case RunRouted():
                self.view.routed = event

    def _resume(self, event: RunResumed, before: datetime, at: datetime) -> None:
        """What was under way is over: its machine is gone, and nobody hears of its model call."""
        view = self.view
        view.wall_before += _seconds(view.since or view.created_at, before)
        if view.sandbox_from is not None:
            view.sandbox_before += _seconds(view.sandbox_from, before)
        view.since, view.sandbox_from, view.sandbox = at, None, None
        view.attempt, view.caps = event.attempt, event.caps or view.caps
        view.interruptions = view.interruptions + 1 if event.why == "interrupted" else 0
        view.status, view.error, view.finished = "running", None, None
        for step in view.calls:
            if step.asked is not None:
                step.lost.append(step.asked)
                step.asked = None

    def _person(self, event: MessageSteered | ApprovalRequested | ApprovalDecided) -> None:
        step = self._step(event.step)
        if isinstance(event, MessageSteered):
            step.steered.append(event)
            self.view.orders.add(event.order_id)
            return
        if isinstance(event, ApprovalRequested):
            waits = ToolView(event.call_id, event.name, event.arguments, begun=False, asked=event)
            step.tools.append(waits)
            return
        self.view.orders.add(event.order_id)
        if (tool := _open(step, event.call_id)) is not None:
            tool.decided = event

    def _model(self, event: ModelRequested | ModelText | ModelResponded | ModelFailed) -> None:
        step = self._step(event.step)
        match event:
            case ModelRequested():
                step.text = ""  # what a failed attempt said is not the answer
                step.asked, step.attempts = event, event.attempt
            case ModelText():
                step.text += event.text
                if step is not self.view.routing:
                    self.view.answer = step.text
            case ModelFailed():
                step.failures.append(event)
                step.asked = None
            case ModelResponded():
                step.asked = None
                step.message, step.text = event.message, event.message.text
                step.usage, step.usd = event.usage, event.usd
                step.duration_ms, step.first_token_ms = event.duration_ms, event.first_token_ms
                if step is not self.view.routing:
                    self.view.answer = step.text or self.view.answer

    def _tool(self, event: ToolStarted | ToolOutput | ToolDisplayed | ToolFinished) -> None:
        step = self._step(event.step)
        tool = _open(step, event.call_id)
        if isinstance(event, ToolStarted):
            if tool is not None and not tool.begun:
                tool.begun = True  # a person agreed
                return
            step.tools.append(
                ToolView(call_id=event.call_id, name=event.name, arguments=event.arguments)
            )
            return
        if tool is None:
            return
        if isinstance(event, ToolFinished):
            tool.outcome, tool.content = event.outcome, event.content
            tool.duration_ms = event.duration_ms
        else:
            tool.output.append(event)

    def _step(self, number: int) -> StepView:
        if number == ROUTING:
            self.view.routing = self.view.routing or StepView(step=ROUTING)
            return self.view.routing
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


def _open(step: StepView, call_id: str) -> ToolView | None:
    """The call of this id; a model may use one id twice, and the later one is still open."""
    return next((tool for tool in reversed(step.tools) if tool.call_id == call_id), None)


def _most(call: ModelRequested) -> Usage:
    return Usage(input_tokens=call.input_tokens, output_tokens=call.max_tokens)


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
