"""The tree of errors is drawn as it is, and every error answers a caller's questions."""

import re
from typing import get_args

import pytest

from forge import errors
from forge.errors import ForgeError


def every(kind: type[ForgeError] = ForgeError) -> list[type[ForgeError]]:
    ours = [each for each in kind.__subclasses__() if each.__module__.startswith("forge.failures.")]
    return [kind, *(below for each in ours for below in every(each))]


def drawn() -> list[tuple[str, str]]:
    """Each class of the drawing with the one it hangs from, from top to bottom."""
    pairs, path = [], ["ForgeError"]
    for line in (errors.__doc__ or "").splitlines():
        branch = re.fullmatch(r"( {4}[ │]*)[├└]── (\w+)", line)
        if branch:
            depth = len(branch[1]) // 4
            path[depth:] = [branch[2]]
            pairs.append((path[depth - 1], branch[2]))
    return pairs


def test_the_tree_is_drawn_as_it_is():
    """The docstring's drawing has every class, once, where it hangs and in the file's order."""
    there = [(kind.__mro__[1].__name__, kind.__name__) for kind in every()[1:]]
    assert drawn() == there


@pytest.mark.parametrize("kind", every(), ids=lambda kind: kind.__name__)
def test_every_error_answers_a_callers_questions(kind: type[ForgeError]):
    """A code of its own that is its name, a hint in a sentence, and whose fault it is."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()
    assert kind.__dict__.get("code") == words
    assert kind.default_hint[0].isupper() or kind.default_hint.startswith("`")
    assert kind.default_hint.endswith((".", ")"))
    assert kind.fault in get_args(errors.Fault)
    assert kind.__doc__
    assert kind("What happened.").hint == kind.default_hint


def test_every_error_is_imported_from_one_page():
    """Whoever catches an error finds it in `forge.errors`, whatever its family."""
    assert [kind for kind in every() if getattr(errors, kind.__name__, None) is not kind] == []


def test_no_two_errors_share_a_code():
    """A code names one class, in the ledger and in scripts."""
    codes = [kind.code for kind in every()]
    assert len(codes) == len(set(codes))
