"""A run's budget as the loop asks for it: the caps and prices of `forge.budget`, and the clock."""

from decimal import Decimal

from forge.budget.caps import allowed_max_tokens, check
from forge.budget.prices import PriceTable
from forge.clock import Clock
from forge.events import Caps, Totals
from forge.models.base import Model
from forge.usage import Usage


class Allowance:
    """What one run may still spend; its wall time counts from when this is made, and `passed_s`
    before it.
    """

    def __init__(
        self, caps: Caps, prices: PriceTable, model: Model, clock: Clock, *, passed_s: float = 0
    ) -> None:
        self._caps, self._prices, self._model, self._clock = caps, prices, model, clock
        self._begun = clock.monotonic() - passed_s

    def allow(self, spent: Totals, *, input_tokens: int, max_tokens: int) -> int:
        """How long an answer the next call may have; see `forge.agent.loop.Budget`."""
        allowed = allowed_max_tokens(
            self._caps,
            spent,
            next_input_tokens=input_tokens,
            max_tokens=max_tokens,
            worst_usd=lambda answer: self.worst(input_tokens, answer),
        )
        check(
            self._caps,
            spent,
            next_input_tokens=input_tokens,
            max_tokens=allowed,
            worst_usd=self.worst(input_tokens, allowed) if self._caps.usd else None,
            elapsed_s=self._clock.monotonic() - self._begun,
        )
        return allowed

    def cost(self, usage: Usage) -> Decimal | None:
        """What a call cost in USD; None where its price is unknown."""
        return self._prices.cost(self._model.name, usage) if self._model.priced else Decimal(0)

    def worst(self, input_tokens: int, max_tokens: int) -> Decimal | None:
        """The most a call can cost in USD; None where its price is unknown."""
        if not self._model.priced:
            return Decimal(0)
        return self._prices.worst_case(self._model.name, input_tokens, max_tokens)
