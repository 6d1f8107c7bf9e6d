"""Prices: the public ones, and an operator's before them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.budget.prices import PriceTable
from forge.errors import SettingsInvalid
from forge.usage import Usage

MILLION = 1_000_000
KNOWN = ["anthropic:claude-sonnet-4-6", "openai:gpt-5", "offline:none"]
TOKENS = st.integers(0, 10**7)
USAGES = st.builds(
    Usage,
    input_tokens=TOKENS,
    output_tokens=TOKENS,
    cache_read_tokens=TOKENS,
    cache_write_tokens=TOKENS,
)


def table(tmp_path, text, name="prices.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return PriceTable(path)


def test_a_public_price_is_exact():
    """Sonnet 4.6: 3 USD in, 15 out, 0.30 read, 3.75 written, for a million tokens."""
    usage = Usage(
        input_tokens=3 * MILLION,
        output_tokens=MILLION,
        cache_read_tokens=MILLION,
        cache_write_tokens=MILLION,
    )
    assert PriceTable(None).cost("anthropic:claude-sonnet-4-6", usage) == Decimal("22.05")


@pytest.mark.parametrize(
    "name", ["openai:our-own-model", "anthropic:claude-test", "nobody:gpt-5", "gpt-5", "", ":"]
)
def test_an_unknown_model_has_no_price_rather_than_none_to_pay(name):
    """None is not zero, in cost and in worst case."""
    assert PriceTable(None).cost(name, Usage(input_tokens=1)) is None
    assert PriceTable(None).worst_case(name, 1, 1) is None


def test_the_offline_mode_is_free():
    """No provider is called."""
    assert PriceTable(None).cost("offline:none", Usage(input_tokens=10**9)) == 0
    assert PriceTable(None).worst_case("offline:none", 10**9, 10**9) == 0


def test_an_operators_price_wins_and_its_cache_defaults_to_input(tmp_path):
    """The file speaks for public models too; what it leaves out is priced as input."""
    prices = table(
        tmp_path,
        '["openai:gpt-5"]\ninput = 2\noutput = 4.5\n'
        '["our:m"]\ninput = 1\noutput = 2\ncache_read = 0.1\ncache_write = 3\n',
    )
    usage = Usage(input_tokens=3 * MILLION, output_tokens=MILLION, cache_read_tokens=MILLION)
    assert prices.cost("openai:gpt-5", usage) == Decimal("10.5")
    assert prices.cost("our:m", usage) == Decimal("4.1")
    # Everything written to the cache is the dearest way to send it.
    assert prices.worst_case("our:m", MILLION, MILLION) == 5


def test_json_says_the_same(tmp_path):
    """Numbers are exact decimals there too."""
    prices = table(tmp_path, '{"our:m": {"input": 0.1, "output": 0.2}}', "prices.json")
    assert prices.cost("our:m", Usage(input_tokens=3 * MILLION)) == Decimal("0.3")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.toml", '["our:m"]\ninput = -1\noutput = 2\n'),
        ("p.toml", '["our:m"]\ninput = nan\noutput = 2\n'),
        ("p.toml", '["our:m"]\ninput = inf\noutput = 2\n'),
        ("p.toml", '["our:m"]\ninput = "1"\noutput = 2\n'),
        ("p.toml", '["our:m"]\ninput = true\noutput = 2\n'),
        ("p.toml", '["our:m"]\ninput = 1\n'),
        ("p.toml", '["our:m"]\ninput = 1\noutput = 2\nouptut = 3\n'),
        ("p.toml", "[m]\ninput = 1\noutput = 2\n"),
        ("p.toml", "not toml"),
        ("p.json", '{"our:m": {"input": NaN, "output": 1}}'),
        ("p.json", '{"our:m": {"input": -Infinity, "output": 1}}'),
        ("p.json", '{"our:m": 1}'),
        ("p.json", "[]"),
        ("p.json", "[" * 100_000),
        ("p.toml", "#" * 1_000_001),
    ],
)
def test_a_wrong_price_file_is_refused_whole(tmp_path, name, text):
    """Half a price list is worse than none; the message names the file."""
    with pytest.raises(SettingsInvalid, match=name):
        table(tmp_path, text, name)


def test_a_missing_price_file_is_refused(tmp_path):
    """A mistyped path does not silently leave models unpriced."""
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        PriceTable(tmp_path / "none.toml")


@given(st.sampled_from(KNOWN), USAGES)
def test_no_usage_costs_more_than_its_worst_case(name, usage):
    """Whatever a provider reports of a call within its bounds, the reservation covered it."""
    prices = PriceTable(None)
    sent = max(usage.input_tokens, usage.cache_read_tokens + usage.cache_write_tokens)
    cost = prices.cost(name, usage)
    worst = prices.worst_case(name, sent, usage.output_tokens)
    assert cost is not None
    assert worst is not None
    assert 0 <= cost <= worst
