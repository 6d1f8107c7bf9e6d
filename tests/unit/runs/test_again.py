"""The same asked again, and two runs compared."""

from datetime import UTC, datetime

from forge.events import Caps, FileFact, MachineFact, RunStarted
from forge.ids import ConversationId, MessageId, RunId
from forge.ledger.fold import RunView, StepView, ToolView
from forge.runs.again import MOST_LINES, diff, wish_again
from forge.runs.wish import started_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STARTED = RunStarted(
    prompt="count",
    model="one:model",
    template="base",
    caps=Caps(iterations=3),
    files=(FileFact(name="a.txt", size=1, sha256="0" * 64),),
    machine=MachineFact(limits={"memory_mib": 512}),
    approve=("run_shell",),
    conversation_id=ConversationId("conv_1"),
    message_id=MessageId("msg_1"),
    earlier=(RunId("run_0"),),
)


def view(run_id: str, code: str, answer: str) -> RunView:
    tool = ToolView("c", "run_shell", f'{{"command": "{code}"}}', content=f"ran {code}")
    found = RunView(RunId(run_id), STARTED, NOW, NOW, "done", answer)
    found.steps = [StepView(1, tools=[tool])]
    return found


def test_a_wish_made_again_is_the_same_but_for_what_was_to_differ():
    """What the ledger says of both is the same event, with another model."""
    again = wish_again(STARTED, model="two:model")
    assert started_of(again, "one:model", STARTED.files).model_dump(exclude={"machine"}) == (
        STARTED.model_dump(exclude={"machine"})
    )
    assert again.machine.limits.memory_mib == 512
    assert wish_again(STARTED, caps=Caps(iterations=9)).caps.iterations == 9


def test_runs_differ_by_code_and_answer_line_by_line():
    """And not where they are the same."""
    one, other = view("run_1", "ls", "two\nfiles"), view("run_2", "ls -a", "two\nfolders")
    found = diff(one, other)
    assert "-ls\n+ls -a" in found.code
    assert "-ran ls\n+ran ls -a" in found.result
    assert "-files\n+folders" in found.answer
    assert (found.one.id, found.other.id, found.clipped) == ("run_1", "run_2", False)
    same = diff(one, view("run_3", "ls", "two\nfiles"))
    assert (same.code, same.result, same.answer) == ("", "", "")


def test_what_is_too_long_to_compare_is_clipped_and_says_so():
    """An answer may have a million lines."""
    long = "\n".join(f"{number}" for number in range(MOST_LINES + 5))
    found = diff(view("run_1", "ls", long), view("run_2", "ls", "short"))
    assert found.clipped
    assert found.answer.count("\n") < MOST_LINES + 10
