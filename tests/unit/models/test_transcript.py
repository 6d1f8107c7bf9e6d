"""What is mended before it is sent."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from forge.models import transcript

ANY_TEXT = st.text(st.characters(codec=None))


@given(ANY_TEXT)
def test_any_arguments_become_an_object_that_strict_json_can_carry(arguments):
    """A model may write anything; what goes back is an object, as UTF-8, without NaN."""
    value = transcript.arguments_object(arguments)
    assert isinstance(value, dict)
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans()))
def test_good_arguments_go_back_as_they_are(arguments):
    """Only what is broken is changed."""
    assert transcript.arguments_object(json.dumps(arguments)) == arguments


def test_broken_arguments_keep_what_was_written():
    """The model sees its own mistake, whatever kind it is."""
    for broken in (
        "{",
        "[1]",
        "NaN",
        '{"a": Infinity}',
        "[" * 100_000,
        '{"n": ' + "9" * 6000 + "}",
    ):
        assert transcript.arguments_object(broken) == {transcript.MALFORMED_KEY: broken}


@given(ANY_TEXT)
def test_any_name_becomes_one_that_providers_accept(name):
    """A model that invents a tool's name does not end the run."""
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", transcript.tool_name(name))


@given(ANY_TEXT)
def test_any_words_can_be_sent_and_are_never_blank(text):
    """Lone surrogates and blank text are what providers refuse."""
    sent = transcript.words_or_nothing(text)
    assert sent.encode()
    assert sent.strip()
