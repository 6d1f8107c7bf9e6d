"""`kill -9` at any moment: what was shown is on the ledger, and the next start closes the run."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from forge.errors import RunNotFound
from forge.events import RunFinished
from forge.ids import RunId
from forge.ledger.read import LedgerReader
from forge.store.database import Database
from running import house

PROGRAM = """
import asyncio, sys
from pathlib import Path
from forge.budget.prices import PriceTable
from forge.clock import SystemClock
from forge.ledger.append import LedgerWriter
from forge.ledger.read import LedgerReader
from forge.models.offline import OfflineModel
from forge.runs.driver import RunDriver
from forge.runs.machines import ConversationMachines
from forge.runs.orders import Orders
from forge.runs.owner import this_process
from forge.runs.service import open_runs
from forge.runs.wish import RunWish
from forge.store.blobs import BlobStore
from forge.store.database import Database
from forge.testing.sandbox import LocalProvider

CODE = "for n in range(10**9): print(n)"

async def main(home):
    clock = SystemClock()
    async with Database.open(home / "forge.db") as database:
        driver = RunDriver(
            ConversationMachines(LocalProvider()), lambda _: OfflineModel(),
            LedgerWriter(database, clock), LedgerReader(database),
            BlobStore(home / "blobs"), PriceTable(None), clock, this_process(),
        )
        async with open_runs(driver, Orders(database, clock)) as service:
            async with service.start(RunWish(f"```python\\n{CODE}\\n```")) as run:
                async for record in run:
                    print(run.id, record.seq, record.hash, flush=True)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("records", [1, 2, 4, 9, 12])
async def test_a_killed_run_keeps_all_it_showed_and_is_closed_at_the_next_start(
    tmp_path: Path, records: int
):
    """After SIGKILL the chain verifies, holds every record shown, and recovery ends it once."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(tmp_path),
        stdout=asyncio.subprocess.PIPE, start_new_session=True,
        env={"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert child.stdout is not None
    shown: list[list[str]] = []
    async with asyncio.timeout(60):
        while len(shown) < records:
            shown.append((await child.stdout.readline()).decode().split())
    os.kill(child.pid, signal.SIGKILL)
    # Everything it started holds its output open, so this ends only once nothing of it is left.
    rest, _ = await child.communicate()
    # A line cut off by the kill was not shown.
    shown += [line.split() for line in rest.decode().split("\n")[:-1]]
    run_id = RunId(shown[0][0])

    async with Database.open(tmp_path / "forge.db") as database:
        reader = LedgerReader(database)
        before = await reader.records(run_id)
        await reader.verify(run_id)
        assert [[record.run_id, str(record.seq), record.hash] for record in before][
            : len(shown)
        ] == shown
        assert not isinstance(before[-1].event, RunFinished)

    async with house(tmp_path) as home:
        service, reader = home.service, home.reader
        assert (await service.recover()).closed == (run_id,)
        assert (await service.recover()).closed == ()
        after = await reader.records(run_id)
        assert after[:-1] == before
        assert isinstance(after[-1].event, RunFinished)
        assert after[-1].event.status == "interrupted"
        assert after[-1].event.totals.wall_s >= 0
        assert await reader.verify(run_id) == len(before) + 1
        with pytest.raises(RunNotFound):
            await service.show("run_none")
