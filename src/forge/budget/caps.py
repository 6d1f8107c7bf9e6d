"""Whether the next model call may be made: a run's caps held before they are passed, not after.

Pure arithmetic. A call is admitted only if everything it could use, at most, still fits: what was
spent, the input as estimated, and the whole answer that is allowed. So a cap is never passed by
more than the error of the estimate. A cap of 0 is no cap. Nothing unknown counts as free: a USD cap
and an unknown price refuse the call.
"""

from collections.abc import Callable
from decimal import Decimal

from forge.errors import CapReached, PriceUnknown
from forge.events import Caps, Totals
from forge.usage import estimate_tokens as estimate_tokens  # the guess these caps are held with

USEFUL_TOKENS = 256
"""An answer shorter than this is cut off before it says anything; the call is not worth making."""


def check(
    caps: Caps,
    spent: Totals,
    *,
    next_input_tokens: int,
    max_tokens: int,
    worst_usd: Decimal | None,
    elapsed_s: float,
) -> None:
    """Refuse a model call that could pass a cap.

    Args:
        caps: the run's caps.
        spent: what the run came to so far.
        next_input_tokens: the call's input, estimated high.
        max_tokens: the most its answer may have.
        worst_usd: the most it can cost, or None where the price is unknown.
        elapsed_s: wall time since the run started.

    Raises:
        CapReached: the call could pass a cap; the message names it, its limit and what was spent.
        PriceUnknown: there is a USD cap and no price to hold against it.
    """
    if caps.iterations and spent.iterations >= caps.iterations:
        raise CapReached(
            f"The iteration cap of {caps.iterations} is reached: {spent.iterations} model calls"
            " were made"
        )
    if caps.wall_s and elapsed_s >= caps.wall_s:
        raise CapReached(
            f"The wall-time cap of {caps.wall_s:g} s is reached: {elapsed_s:.1f} s have passed"
        )
    _check_tokens(caps, spent, next_input_tokens + max_tokens)
    _check_usd(caps, spent, worst_usd)


def allowed_max_tokens(
    caps: Caps,
    spent: Totals,
    *,
    next_input_tokens: int,
    max_tokens: int,
    worst_usd: Callable[[int], Decimal | None],
) -> int:
    """How long an answer the token and USD caps still allow: at most `max_tokens`.

    Args:
        caps: the run's caps.
        spent: what the run came to so far.
        next_input_tokens: the call's input, estimated high.
        max_tokens: the most that is wanted.
        worst_usd: the most a call with this input and an answer of so many tokens can cost; it
            never falls as the answer grows.

    Raises:
        CapReached: not even a useful answer (`USEFUL_TOKENS`, or `max_tokens` if less) fits.
        PriceUnknown: there is a USD cap and no price to hold against it.
    """
    least = min(USEFUL_TOKENS, max_tokens)
    _check_tokens(caps, spent, next_input_tokens + least)
    _check_usd(caps, spent, worst_usd(least))
    most = max_tokens
    if caps.tokens:
        most = min(most, caps.tokens - spent.usage.total_tokens - next_input_tokens)
    if not caps.usd or _fits_usd(caps, spent, worst_usd(most)):
        return most
    # `least` fits and `most` does not: halve the gap until they are neighbours.
    while most - least > 1:
        middle = (least + most) // 2
        if _fits_usd(caps, spent, worst_usd(middle)):
            least = middle
        else:
            most = middle
    return least


def _check_tokens(caps: Caps, spent: Totals, next_tokens: int) -> None:
    used = spent.usage.total_tokens
    if caps.tokens and used + next_tokens > caps.tokens:
        raise CapReached(
            f"The token cap of {caps.tokens} would be passed: {used} tokens were used and the next"
            f" call may use {next_tokens}"
        )


def _check_usd(caps: Caps, spent: Totals, worst_usd: Decimal | None) -> None:
    if not caps.usd:
        return
    if worst_usd is None or spent.usd is None:
        raise PriceUnknown(
            f"The USD cap of {caps.usd} cannot be held: the model's price is unknown"
        )
    if not _fits_usd(caps, spent, worst_usd):
        raise CapReached(
            f"The USD cap of {caps.usd} would be passed: {spent.usd:.6f} USD were spent and the"
            f" next call may cost {worst_usd:.6f}"
        )


def _fits_usd(caps: Caps, spent: Totals, worst_usd: Decimal | None) -> bool:
    return worst_usd is not None and spent.usd is not None and spent.usd + worst_usd <= caps.usd
