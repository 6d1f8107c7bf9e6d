"""A failed call is made again only where that helps, and never later than anyone would wait."""

from hypothesis import given
from hypothesis import strategies as st

from forge.agent.retries import Retries
from forge.errors import (
    ModelError,
    ModelOverloaded,
    ModelRateLimited,
    ModelStreamBroken,
    ModelUnauthorized,
    ModelUnreachable,
)


@given(st.integers(1, 9), st.floats(0, 1), st.integers(1, 10))
def test_waits_grow_and_stay_bounded(attempt: int, chance: float, attempts: int):
    """Between half and all of a doubling wait, at most the longest, and none after the last."""
    retries = Retries(attempts=attempts, first_s=1, longest_s=60, chance=lambda: chance)
    wait = retries.wait(ModelUnreachable("m"), attempt)
    if attempt >= attempts:
        assert wait is None
        return
    full = min(2.0 ** (attempt - 1), 60)
    assert wait is not None
    assert full / 2 <= wait <= full


def test_only_errors_that_a_retry_helps_are_retried():
    """A wrong key stays wrong; a broken stream may be whole next time."""
    assert Retries().wait(ModelUnauthorized("m"), 1) is None
    assert Retries().wait(ModelError("m"), 1) is None
    assert Retries().wait(ModelStreamBroken("m"), 1) is not None


def test_a_provider_that_names_a_time_is_obeyed_up_to_the_longest():
    """Retry-After is followed exactly, and refused beyond a minute, saying so."""
    retries = Retries()
    assert retries.wait(ModelRateLimited("m", retry_after_s=7), 1) == 7
    assert retries.wait(ModelRateLimited("m", retry_after_s=60), 1) == 60
    assert retries.wait(ModelRateLimited("m", retry_after_s=-5), 1) == 0
    late = ModelOverloaded("Busy.", retry_after_s=3600)
    assert retries.wait(late, 1) is None
    assert isinstance(retries.given_up(late), ModelOverloaded)
    assert "3600 s, longer than the 60 s" in retries.given_up(late).message
    assert retries.given_up(ModelUnreachable("m")).message == "m"
