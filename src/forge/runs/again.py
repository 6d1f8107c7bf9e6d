"""The same question asked again, and how two runs of it differ. Pure.

A run's first event holds the whole wish, so it can be made again with another model or other caps;
the machine is the conversation's as it is now. Two runs are compared by what people compare: what
they cost, the code that they ran, what came of it and what they answered.
"""

import difflib
from dataclasses import dataclass

from forge.events import Caps, RunStarted, Totals
from forge.ids import RunId
from forge.ledger.fold import RunView
from forge.runs.conversations.export import code_of
from forge.runs.wish import RunWish, machine_of

MOST_LINES = 2_000
"""How many lines of each side are compared: more takes seconds, and nobody reads it."""

LONGEST_LINE = 2_000


@dataclass(frozen=True, slots=True)
class Side:
    """One of two runs."""

    id: RunId
    model: str
    status: str
    totals: Totals
    artifacts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunDiff:
    """How one run differs from another. `code`, `result` (what its calls came to) and `answer` are
    unified diffs, empty where they are the same; `clipped`: one was too long to be compared whole.
    """

    one: Side
    other: Side
    code: str
    result: str
    answer: str
    clipped: bool


def wish_again(started: RunStarted, *, model: str = "", caps: Caps | None = None) -> RunWish:
    """The wish of a run, for another model (`provider:model`; empty: the usual one) or caps."""
    return RunWish(
        prompt=started.prompt,
        files=started.files,
        caps=caps or started.caps,
        machine=machine_of(started),
        own_machine=started.machine.own,
        model=model,
        route=started.route,
        approve=frozenset(started.approve),
        conversation_id=started.conversation_id,
        message_id=started.message_id,
        earlier=started.earlier,
    )


def diff(one: RunView, other: RunView) -> RunDiff:
    """How `other` differs from `one`."""
    texts = [
        (_code(one), _code(other)),
        (_result(one), _result(other)),
        (one.answer, other.answer),
    ]
    lines = [(_lines(left), _lines(right)) for left, right in texts]
    code, result, answer = (
        "\n".join(difflib.unified_diff(left, right, one.id, other.id, lineterm=""))
        for left, right in lines
    )
    clipped = any(
        "\n".join(part) != text.rstrip("\n")
        for pair, whole in zip(lines, texts, strict=True)
        for part, text in zip(pair, whole, strict=True)
    )
    return RunDiff(_side(one), _side(other), code, result, answer, clipped)


def _side(view: RunView) -> Side:
    names = tuple(each.name for each in view.artifacts)
    return Side(view.id, view.started.model, view.status, view.totals(), names)


def _code(view: RunView) -> str:
    found = (code_of(tool) for step in view.steps for tool in step.tools)
    return "\n".join(code[0] for code in found if code is not None)


def _result(view: RunView) -> str:
    return "\n".join(tool.content for step in view.steps for tool in step.tools)


def _lines(text: str) -> list[str]:
    return [line[:LONGEST_LINE] for line in text.rstrip("\n").split("\n")[:MOST_LINES]]
