"""What it takes to keep an event, on both databases: one JSON line per figure.

Appending is all that `Appender.append` does for one event: its canonical text, its hash, and the
commit; published, somebody of this process who follows the run has it. PostgreSQL is a server of
this computer over a socket, once flushing each commit to the disk as it does by itself, and once
without, to tell the disk's share from the rest.

    uv run python benchmarks/bench_store.py
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from forge.clock import SystemClock
from forge.events import Caps, ModelText, RunStarted
from forge.ids import RunId, new_run_id
from forge.ledger.append import Appender, LedgerWriter
from forge.ledger.read import LedgerReader
from forge.runs.publisher import Publisher
from forge.store.database import Database
from forge.testing.postgres import cluster

TIMES = 1_000
STARTED = RunStarted(prompt="count", model="offline:none", template="base", caps=Caps())
EVENT = ModelText(step=1, text="some words of an answer, as they come from a model " * 2)


async def timed(what: Callable[[], Awaitable[object]]) -> list[float]:
    taken = []
    for _ in range(TIMES):
        before = time.perf_counter()
        await what()
        taken.append((time.perf_counter() - before) * 1000)
    return taken


def tell(name: str, taken: list[float]) -> None:
    for part, value in (
        ("p50", statistics.median(taken)),
        ("p99", statistics.quantiles(taken, n=100)[-1]),
    ):
        figure = {"name": f"{name}, {part}", "value": round(value, 2), "unit": "ms"}
        print(json.dumps(figure | {"n": len(taken)}), flush=True)


async def followed(reader: LedgerReader, appender: Appender, run_id: RunId) -> list[float]:
    """From the wish to keep an event until somebody who follows the run has it."""
    publisher = Publisher(reader)
    there = asyncio.Semaphore(0)
    last = (await appender.append(EVENT))[-1].seq

    async def follow() -> None:
        async for _ in publisher.follow(run_id, after=last):
            there.release()

    async def one() -> None:
        for record in await appender.append(EVENT):
            publisher.publish(record)
        await there.acquire()

    with publisher.carrying(run_id):
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow())
            await one()  # the first one comes from the ledger
            taken = await timed(one)
            following.cancel()
    return taken


async def measure(place: Path | str, kind: str) -> None:
    opening = time.perf_counter()
    async with Database.open(place) as database:
        opened = time.perf_counter() - opening
        clock = SystemClock()
        tell(f"open and migrate, {kind}", [opened * 1000] * 2)
        writer, reader = LedgerWriter(database, clock), LedgerReader(database)
        run_id = new_run_id(clock.now())
        appender, _ = await writer.begin(run_id, "benchmark", STARTED)
        tell(f"append an event, {kind}", await timed(lambda: appender.append(EVENT)))
        tell(f"append and publish, {kind}", await followed(reader, appender, run_id))
        tell(f"find a run by its id, {kind}", await timed(lambda: reader.find(run_id)))
    opening = time.perf_counter()
    async with Database.open(place):
        tell(f"open again, {kind}", [(time.perf_counter() - opening) * 1000] * 2)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        await measure(Path(folder) / "forge.db", "sqlite")
    for durable, kind in ((True, "postgresql"), (False, "postgresql without flushing")):
        with cluster(durable=durable) as server, server.database(empty=True) as url:
            await measure(url, kind)


if __name__ == "__main__":
    asyncio.run(main())
