"""What a person types in the chat: messages, commands, and the end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from forge.cli.chat import Left, Talk, read_message
from forge.cli.render import Screen


def typing(*lines: str | BaseException) -> Callable[[str], str]:
    remaining = list(lines)

    def ask(_prompt: str) -> str:
        if not remaining:
            raise EOFError
        line = remaining.pop(0)
        if isinstance(line, BaseException):
            raise line
        return line

    return ask


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["hello", "next"], "hello"),
        (["```python", "x = 1", "", "x", "```", "next"], "```python\nx = 1\n\nx\n```"),
        (["run this: \\", "now", "next"], "run this: \nnow"),
        (["```", "never closed"], "```\nnever closed"),
    ],
)
def test_a_message_is_a_line_or_goes_on(lines: list[str], message: str):
    """To the line that closes a fence, past a backslash, or to the input's end."""
    assert read_message(typing(*lines)) == message


def test_commands_are_carried_out_on_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """/file gives a file, /drop takes all back, an unknown word shows the list, nothing is sent."""
    (tmp_path / "a b.csv").write_text("1")
    talk = Talk(
        Screen(),
        typing(f"/file {tmp_path}/a b.csv", "/file", "/file /absent", "/nonsense", "", "hello"),
    )
    assert talk.message() == "hello"
    assert list(talk.files) == ["a b.csv"]
    shown = capsys.readouterr()
    assert "There is no command /nonsense" in shown.out
    assert "cannot be read" in shown.err
    assert Talk(Screen(), typing("/drop", "x")).message() == "x"


@pytest.mark.parametrize("line", ["/quit", "/exit", EOFError()])
def test_leaving(line: str | BaseException):
    """By word or by Ctrl-D."""
    with pytest.raises(Left):
        Talk(Screen(), typing(line)).message()


def test_ctrl_c_takes_back_what_was_typed(capsys: pytest.CaptureFixture[str]):
    """At the prompt it leaves nothing, not even the chat."""
    talk = Talk(Screen(), typing("```", KeyboardInterrupt(), "hello"))
    assert talk.message() == "hello"
    assert "Ctrl-D" in capsys.readouterr().err


def test_a_path_that_begins_with_a_slash_is_a_command_only_by_its_word():
    """A message of several lines is never one."""
    assert read_message(typing("/help me\\", "please")) == "/help me\nplease"
    assert Talk(Screen(), typing("/help me\\", "please")).message() == "/help me\nplease"
