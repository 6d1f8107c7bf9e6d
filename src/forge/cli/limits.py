"""The limits of a run as options of a command; 0 means no limit, and none that is not named.

Only typer is imported here, as in every page of commands.
"""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer


@dataclass(frozen=True, slots=True)
class Limits:
    """Which limits were named."""

    iterations: int | None = None
    tokens: int | None = None
    usd: Decimal | None = None
    wall_s: float | None = None

    def named(self) -> dict[str, int | float | str]:
        """Those that were named, as the API has them."""
        named = {
            "iterations": self.iterations,
            "tokens": self.tokens,
            "usd": None if self.usd is None else str(self.usd),
            "wall_s": self.wall_s,
        }
        return {name: value for name, value in named.items() if value is not None}


NO_LIMITS = Limits()


def _usd(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        raise typer.BadParameter(f"{text!r} is not an amount of US dollars.")
    return value


Iterations = Annotated[
    int | None,
    typer.Option(
        "--max-iterations", min=0, metavar="N", help="At most this many model calls; 0: no limit."
    ),
]
Usd = Annotated[
    Decimal | None,
    typer.Option("--max-usd", parser=_usd, metavar="USD", help="At most this cost; 0: no limit."),
]
Tokens = Annotated[
    int | None,
    typer.Option("--max-tokens", min=0, metavar="N", help="At most this many tokens; 0: no limit."),
]
Wall = Annotated[
    float | None,
    typer.Option(
        "--max-wall", min=0, metavar="SECONDS", help="No model call after this; 0: no limit."
    ),
]
