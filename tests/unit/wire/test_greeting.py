"""A host hears what is meant for it, and nothing that was meant for the host before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_guest.wire.frames import VERSION, Type, WireError, encode
from forge_guest.wire.greeting import MAX_STALE, Greeting, heard, hello

NONCE = bytes(range(16))


@given(stale=st.binary(max_size=200), fresh=st.binary(max_size=50), cut=st.integers(1, 60))
def test_only_what_follows_the_answer_is_heard(stale, fresh, cut):
    """However the bytes are cut, what came before the nonce is dropped and nothing after it."""
    stale = stale.replace(hello(NONCE), b"")
    greeting, whole, taken = Greeting(NONCE), stale + hello(NONCE) + fresh, b""
    for start in range(0, len(whole), cut):
        taken += greeting.feed(whole[start : start + cut])
    assert greeting.answered
    assert taken == fresh


def test_an_answer_to_another_host_is_none():
    """A greeting of the host before this one, repeated, changes nothing."""
    greeting = Greeting(NONCE)
    assert greeting.feed(hello(bytes(16)) + encode(Type.MESSAGE, 1, b"{}")) == b""
    assert not greeting.answered


def test_a_flood_in_place_of_an_answer_is_refused():
    """A guest that never answers is not listened to for ever."""
    greeting, piece = Greeting(NONCE), bytes(64 * 1024)
    for _ in range(MAX_STALE // len(piece)):
        assert greeting.feed(piece) == b""
    with pytest.raises(WireError, match="flood"):
        greeting.feed(piece)


@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\2", b"\0\1" + NONCE, b"\0\2" + NONCE + b"x"])
def test_a_greeting_that_is_none_is_refused(payload):
    """Another version, no nonce, or one of another size."""
    with pytest.raises(WireError):
        heard(payload)


def test_a_greeting_says_its_version_and_nonce():
    """What one end writes the other reads."""
    assert VERSION == 2
    assert heard(hello(NONCE)[10:]) == NONCE
