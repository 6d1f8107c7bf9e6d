"""Nothing that a guest, a model or a provider sends is obeyed by a terminal."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from forge.cli.harmless import harmless, one_line

DIRECTIONS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@given(st.text(st.characters()))
def test_no_control_character_is_left(text: str):
    """Of C0, DEL and C1 only newline, tab and return pass; nothing turns the text around."""
    safe = harmless(text)
    controls = {c for c in safe if unicodedata.category(c) == "Cc"}
    assert controls <= set("\n\t\r")
    assert not DIRECTIONS & set(safe)
    safe.encode()


@given(st.text(st.characters()))
def test_a_name_stays_on_its_line(text: str):
    """On one line nothing moves the cursor at all."""
    assert not {c for c in one_line(text) if unicodedata.category(c) == "Cc"}


@given(st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters=DIRECTIONS)))
def test_ordinary_text_is_not_changed(text: str):
    """Whatever language it is in."""
    assert harmless(text) == text


def test_an_escape_is_shown_and_not_sent():
    """A person sees that something was tried."""
    assert harmless("\x1b]0;title\x07\x9b31m") == "␛]0;title␇\\x9b31m"
