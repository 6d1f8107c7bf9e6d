"""A provider's keys: kept for an hour, outlived for a day, asked for at most once a minute."""

from collections.abc import AsyncIterator

import pytest

from forge.accounts.fetching import open_fetcher
from forge.accounts.keysets import KeySet
from forge.accounts.signed import Head
from forge.errors import LoginRefused, LoginUnavailable
from forge.testing.clock import FakeClock
from forge.testing.oidc import OidcProvider, Signing, oidc_provider

FIRST, SECOND = Head("RS256", "first"), Head("RS256", "second")


class House:
    """A provider, its keys as we keep them, and hands to turn."""

    def __init__(self, provider: OidcProvider, keys: KeySet, clock: FakeClock) -> None:
        self.provider, self.keys, self.clock = provider, keys, clock

    @property
    def asked(self) -> int:
        return self.provider.asked["/jwks"]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with oidc_provider() as provider, open_fetcher() as fetcher:

        async def where() -> str:
            return f"{provider.issuer}/jwks"

        clock = FakeClock()
        yield House(provider, KeySet(fetcher, where, clock), clock)


async def test_keys_are_asked_for_once_an_hour(house: House):
    """However many tokens come."""
    for _ in range(5):
        await house.keys.find(FIRST)
    assert house.asked == 1
    house.clock.advance(3601)
    await house.keys.find(FIRST)
    assert house.asked == 2


async def test_an_unknown_key_is_asked_for_once_a_minute(house: House):
    """Whoever makes names up costs the provider one question; a new key is found all the same."""
    await house.keys.find(FIRST)
    house.provider.keys.append(Signing("RS256", "second"))
    for _ in range(20):
        with pytest.raises(LoginRefused):
            await house.keys.find(SECOND)
    assert house.asked == 1
    house.clock.advance(61)
    await house.keys.find(SECOND)
    assert house.asked == 2


async def test_keys_outlive_a_provider_that_is_away_for_a_day(house: House):
    """And no longer: a key that was withdrawn must end at some time."""
    await house.keys.find(FIRST)
    house.provider.lies.bodies["/jwks"] = b"out of order"
    house.clock.advance(23 * 3600)
    await house.keys.find(FIRST)
    house.clock.advance(2 * 3600)
    with pytest.raises(LoginUnavailable):
        await house.keys.find(FIRST)


async def test_a_withdrawn_key_counts_no_more(house: House):
    """Once the provider was asked again."""
    await house.keys.find(FIRST)
    house.provider.keys[:] = [Signing("RS256", "second")]
    house.clock.advance(3601)
    with pytest.raises(LoginRefused):
        await house.keys.find(FIRST)


async def test_without_keys_it_is_tried_again_soon(house: House):
    """A provider that comes back lets people in within seconds, and is not overrun meanwhile."""
    house.provider.lies.bodies["/jwks"] = b"{}"
    for _ in range(5):
        with pytest.raises(LoginUnavailable):
            await house.keys.find(FIRST)
    assert house.asked == 1
    house.provider.lies.bodies.clear()
    house.clock.advance(6)
    await house.keys.find(FIRST)


async def test_a_token_that_names_no_key_counts_where_there_is_no_choice(house: House):
    """With two of a kind nobody could say which was meant."""
    await house.keys.find(Head("RS256", None))
    house.provider.keys.append(Signing("RS256", "second"))
    house.clock.advance(3601)
    with pytest.raises(LoginRefused):
        await house.keys.find(Head("RS256", None))
