"""What a call costs: the bundled public prices, and an operator's file before them.

The public prices are `genai-prices`' own data, as released; nothing is ever fetched. They lag and
they err, and they know no private model, so an operator's file wins over them, model by model:

    ["openai:our-model"]        # TOML; the same as JSON if the file ends in .json
    input = 0.50                # USD for a million tokens
    output = 1.50
    cache_read = 0.05           # as `input` where left out
    cache_write = 0.60          # as `input` where left out

A model neither knows has no price, and None says so: it is not free. Amounts are exact decimals.
"""

import json
import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from forge.errors import SettingsInvalid
from forge.usage import Usage

_MILLION = Decimal(1_000_000)
_MAX_FILE_BYTES = 1_000_000
_FREE_PREFIX = "offline:"


def _number(value: object) -> object:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return value
    raise ValueError("a price is a number of USD for a million tokens")


_Usd = Annotated[Decimal, BeforeValidator(_number), Field(ge=0, allow_inf_nan=False)]


class _Price(BaseModel):
    """One model's prices in USD for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: _Usd
    output: _Usd
    cache_read: _Usd | None = None
    cache_write: _Usd | None = None

    def of(self, usage: Usage) -> Decimal:
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        plain = usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens
        return (
            self.input * plain
            + read * usage.cache_read_tokens
            + write * usage.cache_write_tokens
            + self.output * usage.output_tokens
        ) / _MILLION


_Name = Annotated[str, Field(pattern=r"^[^:\s]+:\S+$")]
_FILE = TypeAdapter(dict[_Name, _Price])


class PriceTable:
    """Prices by `provider:model`.

    Args:
        overrides_path: the operator's file, or None.

    Raises:
        SettingsInvalid: the file cannot be read, or says something that is no price.
    """

    def __init__(self, overrides_path: Path | None) -> None:
        self._overrides = _read(overrides_path) if overrides_path is not None else {}

    def cost(self, model_name: str, usage: Usage) -> Decimal | None:
        """What `usage` cost in USD, or None where the model's price is unknown."""
        usage = _consistent(usage)
        if model_name.startswith(_FREE_PREFIX):
            return Decimal(0)
        if (price := self._overrides.get(model_name)) is not None:
            return price.of(usage)
        return _public_cost(model_name, usage)

    def worst_case(self, model_name: str, input_tokens: int, max_tokens: int) -> Decimal | None:
        """The most a call can cost in USD, or None where the model's price is unknown.

        Cached input may cost more than plain input (writing) or less (reading), so each is tried.
        """
        cases = (
            Usage(input_tokens=input_tokens, output_tokens=max_tokens),
            Usage(
                input_tokens=input_tokens,
                output_tokens=max_tokens,
                cache_write_tokens=input_tokens,
            ),
            Usage(
                input_tokens=input_tokens, output_tokens=max_tokens, cache_read_tokens=input_tokens
            ),
        )
        costs = [self.cost(model_name, usage) for usage in cases]
        known = [cost for cost in costs if cost is not None]
        return max(known) if len(known) == len(costs) else None


def _consistent(usage: Usage) -> Usage:
    """`usage` with no more cached input than input: what a provider reports is not trusted."""
    cached = usage.cache_read_tokens + usage.cache_write_tokens
    return usage.model_copy(update={"input_tokens": max(usage.input_tokens, cached)})


def _public_cost(model_name: str, usage: Usage) -> Decimal | None:
    # Imported when first asked: its table takes half a second to load, which a command that makes
    # no model call should not pay.
    from genai_prices import Usage as Priced
    from genai_prices import calc_price

    provider, _, model = model_name.partition(":")
    # A unit without a price of its own (writing to OpenAI's cache) is priced as plain input.
    priced = Priced(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    try:
        return calc_price(priced, model, provider_id=provider).total_price
    except LookupError:
        return None


def _read(path: Path) -> dict[str, _Price]:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise SettingsInvalid(f"The price file {path} is larger than {_MAX_FILE_BYTES} bytes")
        parse = _parser(path)
        return _FILE.validate_python(parse(path.read_text("utf-8")))
    except OSError as error:
        raise SettingsInvalid(f"The price file {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise SettingsInvalid(
            f"The price file {path} is wrong at {where}: {first['msg']}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise SettingsInvalid(f"The price file {path} cannot be understood: {error}") from error


def _parser(path: Path) -> Callable[[str], Any]:
    if path.suffix == ".json":
        return lambda text: json.loads(text, parse_float=Decimal, parse_constant=Decimal)
    return lambda text: tomllib.loads(text, parse_float=Decimal)
