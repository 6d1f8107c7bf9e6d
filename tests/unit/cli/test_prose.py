"""Lines break between words, as they arrive, and nothing else changes."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from forge.cli.prose import Prose

PIECES = st.lists(st.text("ab `|\n", max_size=8), max_size=30)


def wrapped(pieces: list[str], width: int = 20) -> str:
    prose = Prose(width)
    return "".join([*map(prose.add, pieces), prose.end()])


@given(PIECES)
def test_only_spaces_and_breaks_differ(pieces: list[str]):
    """No word is lost, doubled or cut."""
    assert wrapped(pieces).split() == "".join(pieces).split()


@given(PIECES)
def test_it_does_not_matter_how_the_stream_was_cut(pieces: list[str]):
    """One piece or many give the same lines."""
    assert wrapped(pieces) == wrapped(["".join(pieces)])


@given(st.lists(st.text("ab漢", min_size=1, max_size=9), max_size=30))
def test_no_line_of_short_words_is_too_wide(words: list[str]):
    """Widths are cells: a wide character takes two."""
    assert all(cell_len(line.rstrip()) <= 20 for line in wrapped([" ".join(words)]).split("\n"))


def test_what_has_a_shape_of_its_own_is_left_alone():
    """Fenced code, indented lines and tables are wider than the terminal on purpose."""
    text = "```\nx = 1  # a long line\n```\n| a | wide | table | row |\n    indented, and long\n"
    assert wrapped([text]) == text
