"""Caps are held before they are passed."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from forge.budget import caps as budget
from forge.errors import CapReached, PriceUnknown
from forge.events import Caps, Totals
from forge.usage import Usage, estimate_tokens

TOKENS = st.integers(0, 100_000)
USD = st.decimals(0, 100, places=6)
CAPS = st.builds(
    Caps,
    iterations=st.integers(0, 20),
    tokens=TOKENS,
    usd=USD,
    wall_s=st.floats(0, 1000),
)
SPENT = st.builds(
    Totals,
    iterations=st.integers(0, 20),
    usage=st.builds(Usage, input_tokens=TOKENS, output_tokens=TOKENS),
    usd=USD,
)
FREE = {"next_input_tokens": 0, "max_tokens": 0, "worst_usd": Decimal(0), "elapsed_s": 0.0}


@given(CAPS, SPENT, TOKENS, TOKENS, USD, st.floats(0, 2000))
def test_an_admitted_call_cannot_pass_any_cap(caps, spent, next_input, max_tokens, worst, elapsed):
    """Whatever is admitted still fits, in full, under every cap that is one."""
    try:
        budget.check(
            caps,
            spent,
            next_input_tokens=next_input,
            max_tokens=max_tokens,
            worst_usd=worst,
            elapsed_s=elapsed,
        )
    except CapReached:
        return
    assert not caps.iterations or spent.iterations + 1 <= caps.iterations
    assert not caps.tokens or spent.usage.total_tokens + next_input + max_tokens <= caps.tokens
    assert not caps.usd or spent.usd + worst <= caps.usd
    assert not caps.wall_s or elapsed < caps.wall_s


@given(SPENT, TOKENS, TOKENS, st.none() | USD, st.floats(0, 10**9))
def test_no_cap_refuses_nothing(spent, next_input, max_tokens, worst, elapsed):
    """0 is no limit, and a price is not asked for where no USD cap needs it."""
    caps = Caps(iterations=0, tokens=0, usd=Decimal(0), wall_s=0)
    budget.check(
        caps,
        spent,
        next_input_tokens=next_input,
        max_tokens=max_tokens,
        worst_usd=worst,
        elapsed_s=elapsed,
    )
    allowed = budget.allowed_max_tokens(
        caps,
        spent,
        next_input_tokens=next_input,
        max_tokens=max_tokens,
        worst_usd=lambda _: worst,
    )
    assert allowed == max_tokens


@given(CAPS, SPENT, TOKENS, st.integers(1, 100_000), st.decimals(0, 1, places=6))
def test_a_clamped_answer_is_useful_fits_and_could_not_be_longer(
    caps, spent, next_input, max_tokens, price
):
    """The clamp gives the longest answer that every cap still allows."""
    caps = caps.model_copy(update={"iterations": 0, "wall_s": 0})

    def worst(tokens):
        return price * (next_input + tokens) / 1000

    def fits(tokens):
        try:
            budget.check(
                caps,
                spent,
                next_input_tokens=next_input,
                max_tokens=tokens,
                worst_usd=worst(tokens),
                elapsed_s=0,
            )
        except CapReached:
            return False
        return True

    try:
        allowed = budget.allowed_max_tokens(
            caps, spent, next_input_tokens=next_input, max_tokens=max_tokens, worst_usd=worst
        )
    except CapReached:
        assert not fits(min(budget.USEFUL_TOKENS, max_tokens))
        return
    assert min(budget.USEFUL_TOKENS, max_tokens) <= allowed <= max_tokens
    assert fits(allowed)
    assert allowed == max_tokens or not fits(allowed + 1)


@pytest.mark.parametrize(
    ("caps", "spent", "call", "words"),
    [
        (Caps(iterations=3), Totals(iterations=3), {}, ["iteration cap of 3", "3 model calls"]),
        (
            Caps(tokens=1000),
            Totals(usage=Usage(input_tokens=600)),
            {"next_input_tokens": 300, "max_tokens": 101},
            ["token cap of 1000", "600 tokens", "401"],
        ),
        (
            Caps(usd=Decimal("0.50")),
            Totals(usd=Decimal("0.40")),
            {"worst_usd": Decimal("0.100001")},
            ["USD cap of 0.50", "0.400000", "0.100001"],
        ),
        (Caps(wall_s=60), Totals(), {"elapsed_s": 60.0}, ["wall-time cap of 60 s", "60.0 s"]),
    ],
)
def test_a_refusal_names_the_cap_its_limit_and_what_was_spent(caps, spent, call, words):
    """A person can tell from the message alone what to raise, and by how much."""
    with pytest.raises(CapReached) as caught:
        budget.check(caps, spent, **{**FREE, **call})
    assert all(word in caught.value.message for word in words)
    assert caught.value.hint


@pytest.mark.parametrize(("spent", "worst"), [(Totals(), None), (Totals(usd=None), Decimal(0))])
def test_an_unknown_price_under_a_usd_cap_is_refused(spent, worst):
    """What cannot be counted is not free: neither the next call nor those already made."""
    with pytest.raises(PriceUnknown):
        budget.check(Caps(usd=Decimal(1)), spent, **{**FREE, "worst_usd": worst})
    with pytest.raises(PriceUnknown):
        budget.allowed_max_tokens(
            Caps(usd=Decimal(1)),
            spent,
            next_input_tokens=1,
            max_tokens=1000,
            worst_usd=lambda _: worst,
        )


def test_an_answer_that_is_too_short_to_be_useful_is_not_asked_for():
    """255 tokens are left and 256 are wanted at least; a smaller wish is served."""
    caps, spent = Caps(tokens=1255), Totals(usage=Usage(input_tokens=900))
    with pytest.raises(CapReached, match="token cap of 1255"):
        budget.allowed_max_tokens(
            caps, spent, next_input_tokens=100, max_tokens=4000, worst_usd=lambda _: None
        )
    assert (
        budget.allowed_max_tokens(
            caps, spent, next_input_tokens=100, max_tokens=200, worst_usd=lambda _: None
        )
        == 200
    )


@pytest.mark.parametrize("fits", [256, 257, 300, 301, 3998, 3999])
def test_the_usd_clamp_finds_the_longest_answer_exactly(fits):
    """One token is one cent, and the cap is `fits` cents: not one token is left on the table."""
    allowed = budget.allowed_max_tokens(
        Caps(usd=Decimal(fits) / 100),
        Totals(),
        next_input_tokens=0,
        max_tokens=4000,
        worst_usd=lambda tokens: Decimal(tokens) / 100,
    )
    assert allowed == fits


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_the_estimate_never_shrinks_as_text_grows(one, two):
    """A longer request is never estimated cheaper, and any text at all is worth a token."""
    assume(two)
    assert estimate_tokens(one) <= estimate_tokens(one + two)
    assert estimate_tokens(two) >= 1
