"""Preferences: whose count, and what is kept of them."""

from decimal import Decimal

import pytest
from pydantic import ValidationError
from sqlalchemy import insert

from forge.accounts.preferences import SERVER, Preferences, PreferenceStore
from forge.events import Caps
from forge.ids import UserId
from forge.store.database import Database
from forge.store.tables import PREFERENCES
from forge.testing.clock import FakeClock

ADA, BOB = UserId("usr_ada"), UserId("usr_bob")


async def test_a_users_own_go_before_the_servers(database: Database):
    """And are nobody else's; unsetting gives the server's back."""
    store = PreferenceStore(database, FakeClock())
    await store.change(SERVER, Preferences(model="openai:small", max_usd=Decimal("0.1")))
    await store.change(ADA, Preferences(model="anthropic:large"))
    assert await store.of(ADA) == Preferences(model="anthropic:large", max_usd=Decimal("0.1"))
    assert (await store.of(BOB)).model == "openai:small"
    await store.change(ADA, Preferences(model=None))
    assert (await store.of(ADA)).model == "openai:small"


async def test_only_what_was_named_is_changed(database: Database):
    """A second change keeps the first."""
    store = PreferenceStore(database, FakeClock())
    await store.change(ADA, Preferences(model="a:b"))
    after = await store.change(ADA, Preferences(provider_mode="strict"))
    assert after == Preferences(model="a:b", provider_mode="strict")


async def test_what_this_version_does_not_know_counts_as_not_set(database: Database):
    """A row of a newer or older Forge, or one that was written by hand."""
    rows = [
        ("colour", '"red"'),
        ("provider_mode", '"cloud"'),
        ("model", "{not json"),
        ("plan", '"p"'),
    ]
    async with database.writing() as connection:
        for name, value in rows:
            await connection.execute(
                insert(PREFERENCES).values(scope=ADA, name=name, value=value, updated_at="now")
            )
    assert await PreferenceStore(database, FakeClock()).read(ADA) == Preferences(plan="p")


@pytest.mark.parametrize(
    "wrong", [{"max_usd": -1}, {"max_usd": "NaN"}, {"provider_mode": "cloud"}, {"colour": "red"}]
)
def test_what_means_nothing_is_refused(wrong):
    """A misspelt name too."""
    with pytest.raises(ValidationError):
        Preferences.model_validate(wrong)


def test_preferred_limits_take_the_place_of_the_usual_ones():
    """Each by itself; a preferred 0 is no limit, and not the usual one."""
    usual = Caps(iterations=16, usd=Decimal(1), tokens=500)
    assert Preferences().caps(usual) == usual
    assert Preferences(max_iterations=3).caps(usual) == Caps(
        iterations=3, usd=Decimal(1), tokens=500
    )
    assert Preferences(max_usd=Decimal(0)).caps(usual).usd == 0
