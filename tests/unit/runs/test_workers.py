"""Whether whoever carries out runs still lives is known at once on one host, in time elsewhere."""

from pathlib import Path

from sqlalchemy import update

from forge.clock import SystemClock
from forge.events import Caps, RunStarted
from forge.ids import RunId, new_run_id
from forge.runs.owner import this_process
from forge.runs.workers import DEAD_S, Workers, is_worker, working
from forge.store.database import Database
from forge.store.tables import WORKERS
from forge.testing.clock import FakeClock
from running import house


async def moved(database: Database, name: str, host: str) -> None:
    """As if the worker were a process somewhere else."""
    async with database.writing() as connection:
        await connection.execute(update(WORKERS).where(WORKERS.c.id == name).values(host=host))


async def test_a_worker_lives_while_its_process_does(database: Database):
    """By its name; it is dead once it left, or was never heard of."""
    workers = Workers(database, FakeClock())
    async with working(workers) as name:
        assert is_worker(name)
        assert await workers.alive(name)
        assert not await workers.alive("wrk_other")
        boot = this_process().partition(":")[0]
        await moved(database, name, f"{boot}:1:1")  # pid 1 began at another time
        assert not await workers.alive(name)
    assert not await workers.alive(name)


async def test_a_worker_elsewhere_lives_while_its_heart_beats(database: Database):
    """Its process cannot be looked at, so its row's time counts."""
    clock = FakeClock()
    workers = Workers(database, clock)
    name = await workers.join()
    await moved(database, name, "otherboot:5:5")
    clock.advance(DEAD_S - 1)
    assert await workers.alive(name)
    await workers.beat(name)
    clock.advance(DEAD_S - 1)
    assert await workers.alive(name)
    clock.advance(2)
    assert not await workers.alive(name)


async def test_processes_are_owners_too(database: Database):
    """Runs of the command line have no row."""
    workers = Workers(database, FakeClock())
    assert not is_worker(this_process())
    assert await workers.alive(this_process())
    assert not await workers.alive("boot:1:1")


async def test_a_command_leaves_the_runs_of_dead_servers_to_the_next_one(tmp_path: Path):
    """It closes those of dead commands alone."""
    async with house(tmp_path) as home:
        ids: list[RunId] = []
        for owner in ("wrk_dead", "boot:1:1"):
            ids.append(new_run_id(SystemClock().now()))
            started = RunStarted(prompt="p", model="", template="base", caps=Caps())
            await home.driver.ledger.begin(ids[-1], owner, started)
        assert (await home.service.recover()).closed == (ids[1],)
        assert (await home.service.recover(resume=True)).resumed == (ids[0],)
