"""Both engines keep the contract of engines, and DBOS on both databases."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forge.ids import new_id
from forge.runs.engine.base import Drive, RunEngine
from forge.runs.engine.dbos import open_dbos
from forge.runs.engine.inline import open_inline
from forge.testing.engine_conformance import CHECKS, Open

Check = Callable[[Open], Awaitable[None]]


def dbos_at(where: Path | str) -> Open:
    """DBOS there; each time it is opened, as another executor."""

    async def alive(_: str) -> bool:
        return False

    @asynccontextmanager
    async def opened(drive: Drive) -> AsyncIterator[RunEngine]:
        name = new_id("wrk", datetime.now(UTC))
        async with open_dbos(drive, executor=name, where=where, alive=alive) as engine:
            yield engine

    return opened


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_engine_of_one_process_keeps_the_contract(check: Check):
    """Tasks of this process."""
    inline: Callable[[Drive], AbstractAsyncContextManager[RunEngine]] = open_inline
    await check(inline)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_dbos_keeps_the_contract_on_sqlite(check: Check, tmp_path: Path):
    """With a file of its own."""
    await check(dbos_at(tmp_path / "engine.db"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_dbos_keeps_the_contract_on_postgresql(check: Check, request: pytest.FixtureRequest):
    """In a schema of its own."""
    with request.getfixturevalue("postgres").database(empty=True) as url:
        await check(dbos_at(url))
