"""`kill -9` of a server under load, again and again: nothing is lost, repeated or left behind."""

import random
from pathlib import Path

import pytest

from forge.testing.providers.server import scripted_provider
from killing import Killing, fresh_home, work

ENGINES = ("inline", "dbos")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine", ENGINES)
async def test_a_server_killed_at_any_moment_loses_and_repeats_nothing(tmp_path: Path, engine: str):
    """Every record that was shown is on its ledger with the same hash, each call has one end, each
    run is carried to its end by a later server, and no machine is left.
    """
    chance = random.Random(9)
    async with scripted_provider(work) as server:
        killing = Killing(fresh_home(tmp_path), (server.anthropic_url, server.key), engine=engine)
        for _ in range(3):
            await killing.round(3, kill_after=chance.uniform(0, 0.2), shown=chance.randint(1, 12))
        await killing.round(1, kill_after=None)
        found = await killing.look()
    assert (found.lost, found.changed, found.broken, found.left) == (0, 0, [], [])
    assert found.kills == 3
    assert found.resumed > 0
    assert set(found.statuses) == {"done"}


@pytest.mark.timeout(900)
async def test_the_same_on_postgresql(tmp_path: Path, request: pytest.FixtureRequest):
    """Forge's tables and DBOS's in one database."""
    chance = random.Random(10)
    with request.getfixturevalue("postgres").database() as url:
        async with scripted_provider(work) as server:
            killing = Killing(
                fresh_home(tmp_path), (server.anthropic_url, server.key), engine="dbos", where=url
            )
            for _ in range(2):
                await killing.round(
                    3, kill_after=chance.uniform(0, 0.2), shown=chance.randint(1, 12)
                )
            await killing.round(1, kill_after=None)
            found = await killing.look()
    assert (found.lost, found.changed, found.broken, found.left) == (0, 0, [], [])
    assert set(found.statuses) == {"done"}
