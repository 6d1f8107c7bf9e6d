"""Where a run goes on: from what its ledger comes to, to the loop's next move. Pure.

    the last step   no message            → ask (again: the attempt counts on)
                    a message, no calls   → it is done
                    calls without an end  → each is told to the model as interrupted,
                                            but one that waits for a person goes on waiting
                    calls, all with ends  → ask for the next step

A finished call is never made again: its result is on the ledger. A call that had begun may have
done half of its work, on a machine that is gone; whoever repeats it is the model, knowingly.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from forge.agent.person import Waiting
from forge.events import ToolFinished, ToolStarted, Totals
from forge.ledger.fold import RunView, StepView, ToolView
from forge.messages import AssistantMessage, Message, ToolCall, ToolResult, UserMessage

INTERRUPTED = (
    "This call was interrupted: Forge was restarted while it ran, and its machine is gone. What it "
    "had done by then is unknown, but for files that were kept. A new machine is there, with the "
    "files that were given and kept until then put back; variables, installed programs and running "
    "processes are lost."
)
NOT_BEGUN = (
    "This call was not begun: Forge was restarted before, and the machine it was meant for is "
    "gone. A new machine is there, with the files that were given and kept until then put back; "
    "variables, installed programs and running processes are lost."
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the loop goes on: the step, the attempts it has had, what was spent, and the calls of
    its answer: those to make, and the results there are.
    """

    step: int = 1
    attempts: int = 0
    spent: Totals = field(default_factory=Totals)
    calls: tuple[Waiting, ...] = ()
    results: tuple[ToolResult, ...] = ()
    answered: bool = False


def cut_off(view: RunView) -> tuple[ToolStarted | ToolFinished, ...]:
    """What is to be put on the ledger before a run goes on: the ends of the calls that whoever
    carried it out did not live to tell.
    """
    if not view.steps or view.steps[-1].message is None:
        return ()
    step = view.steps[-1]
    events: list[ToolStarted | ToolFinished] = [
        _ended(step, tool.call_id, tool.name, INTERRUPTED)
        for tool in step.tools
        if tool.outcome is None and tool.begun
    ]
    for call in _untouched(step):
        events.append(
            ToolStarted(step=step.step, call_id=call.id, name=call.name, arguments=call.arguments)
        )
        events.append(_ended(step, call.id, call.name, NOT_BEGUN))
    return tuple(events)


def place_of(view: RunView) -> Place:
    """Where the run goes on, once what was cut off has its end on the ledger."""
    spent = view.totals()
    if not view.steps:
        return Place(spent=spent)
    step = view.steps[-1]
    if step.message is None:
        return Place(step=step.step, attempts=step.attempts, spent=spent)
    calls = tuple(
        Waiting(
            ToolCall(id=tool.call_id, name=tool.name, arguments=tool.arguments),
            tool.asked,
            tool.decided,
        )
        for tool in step.tools
        if tool.outcome is None
    )
    if calls:
        results = tuple(result_of(tool) for tool in step.tools if tool.outcome is not None)
        return Place(step=step.step, spent=spent, calls=calls, results=results)
    answered = not step.message.tool_calls
    return Place(step=step.step + 1, spent=spent, answered=answered)


def messages_of(view: RunView, place: Place) -> tuple[Message, ...]:
    """What was said so far, as the loop needs it: without the results of a step whose calls are
    not all over, which the loop adds itself.
    """
    said = view.transcript
    return said[:-1] if place.results and said and said[-1].role == "user" else said


def result_of(tool: ToolView) -> ToolResult:
    """What a finished call came to, as the model is told it."""
    return ToolResult(
        call_id=tool.call_id,
        name=tool.name,
        content=tool.content,
        is_error=tool.outcome != "ok",
    )


def _ended(step: StepView, call_id: str, name: str, text: str) -> ToolFinished:
    return ToolFinished(
        step=step.step,
        call_id=call_id,
        name=name,
        outcome="interrupted",
        content=text,
        duration_ms=0,
    )


def _untouched(step: StepView) -> list[ToolCall]:
    """The calls of the answer that neither began nor wait; a model may use one id twice."""
    assert step.message is not None
    touched = Counter(tool.call_id for tool in step.tools)
    left: list[ToolCall] = []
    for call in step.message.tool_calls:
        if touched[call.id] > 0:
            touched[call.id] -= 1
        else:
            left.append(call)
    return left


def told(messages: Iterable[Message], *, goes_on: bool = False) -> tuple[Message, ...]:
    """Messages as any model can be told them, of runs that may have been cut off anywhere: every
    call has a result, and whoever speaks twice in a row speaks once. `goes_on`: the calls of the
    last answer are still being made.
    """
    whole: list[Message] = []
    waiting: list[ToolCall] = []
    for message in messages:
        if isinstance(message, AssistantMessage):
            if waiting:
                whole.append(UserMessage(parts=_without_end(waiting)))
            whole.append(message)
            waiting = list(message.tool_calls)
            continue
        answered = {part.call_id for part in message.parts if isinstance(part, ToolResult)}
        missing = _without_end([call for call in waiting if call.id not in answered])
        parts, waiting = (*missing, *message.parts), []
        if whole and isinstance(whole[-1], UserMessage):
            whole[-1] = UserMessage(parts=(*whole[-1].parts, *parts))
        else:
            whole.append(UserMessage(parts=parts))
    if waiting and not goes_on:
        whole.append(UserMessage(parts=_without_end(waiting)))
    return tuple(whole)


def _without_end(calls: Sequence[ToolCall]) -> tuple[ToolResult, ...]:
    text = "This call was cut off when its run ended."
    return tuple(
        ToolResult(call_id=call.id, name=call.name, content=text, is_error=True) for call in calls
    )
