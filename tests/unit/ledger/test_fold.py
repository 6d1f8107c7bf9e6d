"""The fold shows what happened, from any beginning of a ledger."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.errors import LedgerCorrupt
from forge.events import (
    AnyEvent,
    ArtifactSaved,
    Caps,
    Fault,
    FileUploaded,
    ModelFailed,
    ModelRequested,
    ModelResponded,
    ModelText,
    ModelThinking,
    ModelToolInput,
    Notice,
    Record,
    RunFinished,
    RunStarted,
    SandboxCreated,
    ToolDisplayed,
    ToolFinished,
    ToolOutput,
    ToolStarted,
    Totals,
)
from forge.ids import RunId, SandboxId
from forge.ledger.fold import fold
from forge.messages import AssistantMessage, Text, ToolCall, ToolResult, UserMessage
from forge.testing.clock import FakeClock
from forge.usage import Usage

FAULT = Fault(code="model_overloaded", message="m", hint="h", fault="provider", retry=True)
CALL = ToolCall(id="c1", name="run_python", arguments='{"code":"1"}')
ASKS = AssistantMessage(parts=(Text(text="Let me see. "), CALL))
ANSWERS = AssistantMessage(parts=(Text(text="It is 1."),))

WHOLE: tuple[AnyEvent, ...] = (
    RunStarted(prompt="how many?", model="a:b", template="base", caps=Caps()),
    SandboxCreated(
        sandbox_id=SandboxId("sbx_1"), provider="p", accelerator="a", template="base", duration_ms=5
    ),
    FileUploaded(path="/home/user/a.csv", size=1, sha256="0" * 64),
    ModelRequested(step=1, attempt=1, model="a:b", max_tokens=10),
    ModelText(step=1, text="Half of"),
    ModelFailed(step=1, attempt=1, error=FAULT, retry_in_s=1),
    ModelRequested(step=1, attempt=2, model="a:b", max_tokens=10),
    ModelThinking(step=1, text="hm"),
    ModelText(step=1, text="Let me "),
    ModelText(step=1, text="see. "),
    ModelToolInput(step=1, call_id="c1", name="run_python", text='{"code":"1"}'),
    ModelResponded(
        step=1, message=ASKS, stop_reason="tool_use", duration_ms=1500,
        usage=Usage(input_tokens=5, output_tokens=2), usd=Decimal("0.10"), first_token_ms=7,
    ),
    ToolStarted(step=1, call_id="c1", name="run_python", arguments=CALL.arguments),
    ToolOutput(step=1, call_id="c1", stream="stdout", text="1\n"),
    ToolDisplayed(step=1, call_id="c1", data={"text/plain": "1"}),
    ToolFinished(
        step=1, call_id="c1", name="run_python", outcome="ok", content="1\n1", duration_ms=9
    ),
    ArtifactSaved(step=1, name="a.png", size=3, sha256="1" * 64),
    Notice(text="careful"),
    ModelRequested(step=2, attempt=1, model="a:b", max_tokens=10),
    ModelText(step=2, text="It is"),
    ModelResponded(
        step=2, message=ANSWERS, stop_reason="end", duration_ms=500,
        usage=Usage(input_tokens=9, output_tokens=1), usd=Decimal("0.03"),
    ),
    RunFinished(status="done", answer="It is 1.", totals=Totals(iterations=2, wall_s=20)),
)  # fmt: skip


def numbered(events: Sequence[AnyEvent]) -> list[Record]:
    """Records one second apart. The fold does not look at hashes."""
    start = FakeClock().now()
    return [
        Record(
            run_id=RunId("run_1"), seq=seq, at=start + timedelta(seconds=seq), event=event,
            prev="", hash="",
        )
        for seq, event in enumerate(events)
    ]  # fmt: skip


def test_a_whole_run_folds_to_what_happened():
    """Steps, tools, artifacts, failures and the end are all there."""
    view = fold(numbered(WHOLE))
    assert (view.status, view.answer, view.finished) == ("done", "It is 1.", WHOLE[-1].totals)
    assert [step.text for step in view.steps] == ["Let me see. ", "It is 1."]
    tool = view.steps[0].tools[0]
    assert (tool.outcome, tool.content, tool.duration_ms, len(tool.output)) == ("ok", "1\n1", 9, 2)
    assert [failure.attempt for failure in view.steps[0].failures] == [1]
    assert view.artifacts == view.steps[0].artifacts != []
    assert view.notices == ["careful"]
    assert view.uploads[0].path == "/home/user/a.csv"


def test_the_transcript_is_rebuilt_as_the_model_was_told_it():
    """Person, model, tool results, model: in order, without the failed attempt's words."""
    assert fold(numbered(WHOLE)).transcript == (
        UserMessage(parts=(Text(text="how many?"),)),
        ASKS,
        UserMessage(
            parts=(ToolResult(call_id="c1", name="run_python", content="1\n1", is_error=False),)
        ),
        ANSWERS,
    )


def test_totals_so_far_are_sums_of_what_happened():
    """Without a last event the fold adds up itself; wall time runs to the given moment."""
    view = fold(numbered(WHOLE[:-1]))
    assert view.totals() == Totals(
        iterations=2,
        usage=Usage(input_tokens=14, output_tokens=3),
        usd=Decimal("0.13"),
        tool_calls=1,
        wall_s=20,
        model_s=2.0,
        sandbox_s=19,
    )
    assert view.totals(view.created_at + timedelta(seconds=100)).wall_s == 100


def test_a_cost_that_is_unknown_once_is_unknown_in_sum():
    """A sum over an unknown price would be a lie."""
    events = [
        event.model_copy(update={"usd": None})
        if isinstance(event, ModelResponded) and event.step == 1
        else event
        for event in WHOLE[:-1]
    ]
    assert fold(numbered(events)).totals().usd is None


def test_a_half_written_answer_shows_what_arrived():
    """The failed attempt's words give way to the next attempt's."""
    assert fold(numbered(WHOLE[:5])).answer == "Half of"
    assert fold(numbered(WHOLE[:9])).answer == "Let me "
    assert fold(numbered(WHOLE[:20])).answer == "It is"


@given(st.integers(1, len(WHOLE)))
def test_any_beginning_of_a_ledger_folds(length: int):
    """Every prefix gives a view; it is running until its last event is there."""
    view = fold(numbered(WHOLE[:length]))
    assert (view.status == "running") == (length < len(WHOLE))
    assert isinstance(view.totals(), Totals)
    assert view.transcript[0] == UserMessage(parts=(Text(text="how many?"),))


@given(st.lists(st.sampled_from(WHOLE), max_size=12))
def test_any_order_of_events_folds(events: list[AnyEvent]):
    """A strange ledger is shown strangely, never with a crash."""
    view = fold(numbered([WHOLE[0], *events]))
    assert isinstance(view.totals(), Totals)
    assert view.transcript


@pytest.mark.parametrize("events", [(), (Notice(text="x"),)])
def test_a_ledger_without_its_beginning_is_corrupt(events: tuple[AnyEvent, ...]):
    """Nothing, or something before run.started, is not a run."""
    with pytest.raises(LedgerCorrupt):
        fold(numbered(events))
