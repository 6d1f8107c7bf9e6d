"""Messages are sent the right way: by rules that are measured, and by a word of the small model."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.agent import router
from forge.agent.router import Decision, route, understood
from forge.messages import Text, UserMessage

SET = Path(__file__).with_name("routing.jsonl")

FLOORS = {
    # half: share decided, share of those right, share right with nobody asked, work as words
    "tune": (0.84, 0.98, 0.89, 2),
    "held": (0.95, 0.98, 0.94, 1),
    "fresh": (0.46, 0.90, 0.60, 2),
}
"""What docs/routing.md says, a little rounded down; a change of the rules may not fall below."""


def labelled(half: str) -> list[dict[str, Any]]:
    lines = SET.read_text(encoding="utf-8").splitlines()
    return [one for line in lines if (one := json.loads(line))["half"] == half]


def said_of(one: dict[str, Any]) -> Decision:
    earlier = [one["earlier"]] if one["earlier"] else []
    return route(one["message"], has_files=one["files"], earlier=earlier, model_uses_tools=True)


def asked(message: str, **other: Any) -> Decision:
    given_ = {"has_files": False, "earlier": (), "model_uses_tools": True, **other}
    return route(message, **given_)


@pytest.mark.parametrize("half", FLOORS)
def test_the_rules_are_as_good_as_is_said(half: str):
    """On each part of the labelled set: how much is decided, how rightly, and what is misled."""
    found = [(one["path"], said_of(one)) for one in labelled(half)]
    decided = [(path, said) for path, said in found if said.sure]
    share, precision, right, misled = FLOORS[half]
    assert len(decided) / len(found) >= share
    assert sum(said.path == path for path, said in decided) / len(decided) >= precision
    assert sum(said.path == path for path, said in found) / len(found) >= right
    assert sum(said.path == "chat" != path for path, said in found) <= misled


def test_the_set_is_whole():
    """Every kind of message is in it, in both ways, none twice in one place."""
    every = [one for half in FLOORS for one in labelled(half)]
    assert len(every) == len(SET.read_text(encoding="utf-8").splitlines()) >= 400
    places = Counter((one["message"], one["files"], one["earlier"]) for one in every)
    assert places.most_common(1)[0][1] == 1
    kinds = Counter(one["kind"] for one in every)
    assert {"greeting", "translation", "maths", "data file", "plot", "shell", "web"} <= set(kinds)
    assert {"ambiguous", "other", "adversarial"} <= set(kinds)
    assert 0.4 < sum(one["path"] == "chat" for one in every) / len(every) < 0.6


@given(
    st.text(max_size=400),
    st.booleans(),
    st.lists(st.sampled_from(["chat", "agent", "pipeline", "offline", "new"]), max_size=3),
    st.booleans(),
)
def test_whatever_is_written_is_decided(text: str, files: bool, before: list[str], tools: bool):
    """Any text goes one way, with a reason, the same each time, and never a way the model lacks."""
    said = route(text, has_files=files, earlier=before, model_uses_tools=tools)
    again = route(text, has_files=files, earlier=before, model_uses_tools=tools)
    assert said == again
    assert said.reason
    assert said.path in ("chat", "agent" if tools else "pipeline")
    assert said.sure or said.path != "chat"
    assert not files or said.path != "chat"


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "1,",
        "1 ",
        "9.",
        "and ",
        "write ",
        "`",
        "'",
        '"',
        "/a",
        "a.",
        "draw me ",
        "hi ",
        "\n",
        "- ",
        "[",
    ],
)
def test_a_long_hostile_message_is_decided_at_once(piece: str):
    """A million characters are not looked at, and no pattern runs away on what is."""
    assert asked(piece * 1_000_000).reason
    for length in (router.signs.LONGEST - 1, router.signs.LONGEST):
        assert asked((piece * length)[:length] + "!").reason


def test_given_files_are_work_whatever_is_said():
    """A greeting with a table attached is about the table."""
    assert asked("hi", has_files=True) == Decision("agent", "files were given with it", sure=True)


def test_work_is_the_pipelines_where_the_model_uses_no_tools():
    """The same message, another model, another way."""
    assert asked("plot sin(x)", model_uses_tools=False).path == "pipeline"
    assert asked("hello", model_uses_tools=False).path == "chat"


def test_what_is_open_is_work():
    """Where nothing says which, the mistake that costs less is made."""
    said = asked("colourless green ideas")
    assert (said.path, said.sure) == ("agent", False)


def test_what_is_quoted_is_not_asked_for():
    """To translate an order is not to carry it out."""
    assert asked("Translate 'run the script and plot it' into Welsh").path == "chat"


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        ("work", "agent"),
        ("Chat.", "chat"),
        ("**work**", "agent"),
        ("<answer>chat</answer>", "chat"),
        ("", None),
        ("work or chat", None),
        ("I would need to know more.", None),
        ("homework", None),
    ],
)
def test_only_one_of_the_two_words_is_an_answer(answer: str, path: str | None):
    """Anything else the small model says decides nothing."""
    said = understood(answer, model_uses_tools=True)
    assert (said.path if said else None) == path


@given(st.text())
def test_no_answer_breaks_anything(answer: str):
    """Whatever the small model says, it decides one way or nothing."""
    said = understood(answer, model_uses_tools=False)
    assert said is None or said.path in ("chat", "pipeline")


def test_the_question_is_bounded():
    """A message of any length costs little to ask about, and its end is part of the question."""
    message = router.question("x" * 1_000_000 + " and then plot it", ["agent"])
    assert isinstance(message, UserMessage)
    (part,) = message.parts
    assert isinstance(part, Text)
    assert len(part.text) < router.signs.LONGEST + 200
    assert "and then plot it" in part.text
    assert "before it was work" in part.text
