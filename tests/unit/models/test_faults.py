"""What a provider's failure means."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.errors import ModelOverloaded, ModelRateLimited, ModelRequestRefused, ModelUnauthorized
from forge.models import faults

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["error", "message", "x"]), inner)
    ),
)


@given(st.integers(100, 999))
def test_every_status_has_its_error(status):
    """401 and 403 are the key, 429 a limit, 5xx and up the provider, and the rest the request."""
    expected = (
        ModelUnauthorized
        if status in (401, 403)
        else ModelRateLimited
        if status == 429
        else ModelOverloaded
        if status >= 500
        else ModelRequestRefused
    )
    assert type(faults.from_status("p", status, "", None)) is expected


@given(JSON, st.text(min_size=8))
def test_a_reason_is_short_printable_and_free_of_the_key(body, secret):
    """Whatever a body holds, what is shown of it is one clipped, printable line."""
    said = faults.said({"error": {"message": [body]}, "message": body}, secret=secret)
    assert len(said) <= faults.MAX_REASON + 2
    assert said.isprintable()


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no credit"}},
        {"message": "no credit"},
        {"detail": "no credit"},
        {"error": "no credit"},
        "no\n\tcredit",
    ],
)
def test_the_reason_is_found_in_every_usual_shape(body):
    """Anthropic's, OpenAI's, FastAPI's, Ollama's, and plain text."""
    assert faults.said(body, secret="") == ": no credit"


def test_the_key_is_blotted_out():
    """A provider that echoes the key does not get it into the ledger."""
    assert "sk-secret-1" not in faults.said("bad key sk-secret-1!", secret="sk-secret-1")


@pytest.mark.parametrize("wait", [math.nan, math.inf, -1.0])
def test_a_wait_that_is_no_wait_is_dropped(wait):
    """Nobody waits for minus one second, or for ever."""
    error = faults.from_status("p", 429, "", wait)
    assert isinstance(error, ModelRateLimited)
    assert error.retry_after_s is None
