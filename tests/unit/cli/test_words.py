"""Numbers read as people write them."""

from decimal import Decimal

import pytest

from forge.cli import words
from forge.usage import Usage


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0004, "0 ms"), (0.087, "87 ms"), (2.314, "2.31 s"), (41.2, "41 s"), (185, "3 min 5 s")],
)
def test_durations(seconds: float, text: str):
    """Two or three digits, whatever the size."""
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345, "12 kB"), (3_400_000, "3.4 MB"),
     (214_000_000, "214 MB"), (10**13, "10000 GB")],
)  # fmt: skip
def test_sizes(count: int, text: str):
    """Powers of ten, as files are listed."""
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [(None, "cost unknown"), ("0", "$0"), ("0.00001", "under $0.0001"), ("0.01234", "$0.0123")],
)
def test_money(usd: str | None, text: str):
    """What is unknown is not free, and what is tiny is not nothing."""
    assert words.money(None if usd is None else Decimal(usd)) == text


def test_tokens_say_what_was_cached():
    """Cached input is part of the input."""
    usage = Usage(input_tokens=1100, output_tokens=134, cache_read_tokens=1000)
    assert words.tokens(usage) == "1,234 tokens (1,100 in, 1,000 of it cached; 134 out)"
    assert words.tokens(Usage()) == "no tokens"
