"""A run as a person sees it: everything there, nothing obeyed by the terminal."""

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from forge.cli.live import LiveView, clipped, displayed
from forge.cli.render import Screen
from forge.errors import ModelOverloaded, ModelUnauthorized
from forge.events import (
    AnyEvent,
    ArtifactSaved,
    Caps,
    Fault,
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
from forge.messages import AssistantMessage
from forge.usage import Usage

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
CODE = json.dumps({"code": "print('hi')"})
MACHINE = SandboxCreated(
    sandbox_id=SandboxId("sbx_1"), provider="qemu", accelerator="tcg", template="base",
    duration_ms=75,
)  # fmt: skip


def started(name: str = "run_python", arguments: str = CODE, call: str = "c1") -> ToolStarted:
    return ToolStarted(step=1, call_id=call, name=name, arguments=arguments)


def printed(text: str, call: str = "c1", stream: str = "stdout") -> ToolOutput:
    return ToolOutput.model_validate({"step": 1, "call_id": call, "stream": stream, "text": text})


def ended(call: str = "c1", outcome: str = "ok", content: str = "") -> ToolFinished:
    return ToolFinished.model_validate(
        {"step": 1, "call_id": call, "name": "run_python", "outcome": outcome,
         "content": content, "duration_ms": 250}
    )  # fmt: skip


def finished(**facts: object) -> RunFinished:
    return RunFinished.model_validate(
        {"status": "done", "answer": "", "totals": Totals(wall_s=2.5, iterations=1), **facts}
    )


def show(*events: AnyEvent) -> LiveView:
    view = LiveView(Screen())
    for number, event in enumerate(events, 1):
        view.show(
            Record(
                run_id=RunId("run_1"),
                seq=number,
                at=datetime(2026, 1, 1, tzinfo=UTC),
                event=event,
                prev="",
                hash="",
            )
        )
    return view


def test_a_run_is_shown_from_its_words_to_its_totals(capsys: pytest.CaptureFixture[str]):
    """Words, code, output, outcome, one line of totals, in that order."""
    view = show(
        RunStarted(prompt="p", model="anthropic:x", template="base", caps=Caps()),
        MACHINE,
        ModelRequested(step=1, attempt=1, model="m", max_tokens=1),
        ModelThinking(step=1, text="Hmm."),
        ModelText(step=1, text="Let me "),
        ModelText(step=1, text="look."),
        ModelToolInput(step=1, call_id="c1", name="run_python", text="{"),
        started(),
        printed("h"),
        printed("i\nthere"),
        ended(),
        finished(totals=Totals(wall_s=2.5, iterations=1, tool_calls=1, usd=Decimal("0.5"))),
    )
    view.close()
    shown = capsys.readouterr()
    assert shown.out == (
        "Hmm.\nLet me look.\n▸ run_python\n    print('hi')\n│ hi\n│ there\n  done in 250 ms\n"
        "✓ Done · 2.50 s · 1 model call · 1 tool call · no tokens · $0.5000 · qemu/tcg\n"
    )
    assert "sbx_1 is ready after 75 ms" in shown.err


def test_nothing_hostile_reaches_the_terminal(capsys: pytest.CaptureFixture[str]):
    """Wherever a guest, a model or a provider may put text."""
    error = Fault(code=EVIL, message=EVIL, hint=EVIL, fault=EVIL, retry=False)
    view = show(
        RunStarted(prompt=EVIL, model=EVIL, template=EVIL, caps=Caps()),
        MACHINE,
        ModelText(step=1, text=EVIL),
        ModelThinking(step=1, text=EVIL),
        ModelToolInput(step=1, call_id=EVIL, name=EVIL, text=EVIL),
        ModelFailed(step=1, attempt=1, error=error, retry_in_s=1),
        started(EVIL, EVIL, EVIL),
        started("run_shell", json.dumps({"command": EVIL}), EVIL),
        printed(EVIL, EVIL),
        printed(EVIL, EVIL + "2", "stderr"),
        ToolDisplayed(step=1, call_id=EVIL, data={"text/plain": EVIL, f"image/{EVIL}": EVIL}),
        ended("c9", "error", EVIL),
        Notice(text=EVIL),
        ArtifactSaved(step=1, name=EVIL, size=1, sha256=EVIL),
        finished(status="failed", error=error),
    )
    view.close()
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)


def test_a_program_cannot_write_over_what_was_printed_before(capsys: pytest.CaptureFixture[str]):
    """A carriage return goes back to the mark at the left; a progress bar still works."""
    show(started(), printed("10%\r"), printed("20%\r\n"), printed("\r✓ Done · $0\n"), ended())
    out = capsys.readouterr().out
    assert "│ 10%\r│ 20%\n│ \r│ ✓ Done · $0\n" in out


def test_calls_that_run_at_once_take_turns(capsys: pytest.CaptureFixture[str]):
    """Each piece of output says whose it is when the speaker changes."""
    show(started(), started(call="c2"), printed("one\n"), printed("two\n", "c2"), ended())
    out = capsys.readouterr().out
    assert "  … run_python:\n│ one\n  … run_python 2:\n│ two\n  run_python done in" in out


def test_a_refused_call_says_why(capsys: pytest.CaptureFixture[str]):
    """Nothing ran, so there is no output; what the model was told is shown."""
    show(started("fly", "not json"), ended(outcome="error", content="There is no tool fly."))
    out = capsys.readouterr().out
    assert "    not json\n│ There is no tool fly.\n  failed in 250 ms\n" in out


def test_an_error_says_what_whose_whether_and_what_now(capsys: pytest.CaptureFixture[str]):
    """The four things a person asks."""
    error = Fault.of(ModelUnauthorized("the key was not accepted", hint="check it"))
    show(finished(status="failed", error=error)).close()
    shown = capsys.readouterr()
    assert "✗ The key was not accepted.\n" in shown.err
    assert "The cause is in what was asked or set; trying again will end the same" in shown.err
    assert "What to do: Check it.\n" in shown.err
    assert "✗ Failed · 2.50 s" in shown.out
    assert "no machine" in shown.out


def test_a_second_attempt_is_announced(capsys: pytest.CaptureFixture[str]):
    """What failed, when it is tried again, and that it is."""
    failure = Fault.of(ModelOverloaded("It is overloaded."))
    show(
        ModelFailed(step=1, attempt=1, error=failure, retry_in_s=2),
        ModelRequested(step=1, attempt=2, model="m", max_tokens=1),
    )
    err = capsys.readouterr().err
    assert "It is overloaded. Trying again in 2.00 s." in err
    assert "attempt 2" in err


@pytest.mark.parametrize(("reason", "said"), [("max_tokens", "cut off"), ("refusal", "declined")])
def test_an_answer_that_is_not_whole_says_so(
    capsys: pytest.CaptureFixture[str], reason: str, said: str
):
    """Silence would look like an end."""
    show(
        ModelResponded.model_validate(
            {
                "step": 1,
                "message": AssistantMessage(parts=()),
                "stop_reason": reason,
                "usage": Usage(),
                "usd": None,
                "duration_ms": 1,
            }
        )
    )
    assert said in capsys.readouterr().err


def test_rich_results_are_text_or_their_kind_and_size():
    """A data frame by its text, an image by its size, anything else by its kind."""
    png = base64.b64encode(b"x" * 12_345).decode()
    assert displayed({"text/html": "<b>", "text/plain": "a  b\n"}) == "a  b\n"
    assert (
        displayed({"image/png": png, "text/plain": "<Figure>"}) == "<Figure>\n[image/png, 12 kB]\n"
    )
    assert displayed({"application/json": "{}"}) == "[application/json, 2 B]\n"
    assert displayed({"image/svg+xml": "<svg/>"}) == "[image/svg+xml, 6 B]\n"
    assert displayed({}) == ""


def test_long_text_is_clipped_with_a_mark():
    """Never silently."""
    assert clipped("a\nb\nc\n", 2) == "a\nb\n… (1 more line)\n"
    assert clipped("a\nb\n", 2) == "a\nb\n"


def test_the_last_version_of_an_artifact_counts():
    """A file written twice is put out once, as it was last."""
    first = ArtifactSaved(step=1, name="a", size=1, sha256="1")
    view = show(first, first.model_copy(update={"sha256": "2"}))
    assert [one.sha256 for one in view.artifacts.values()] == ["2"]
