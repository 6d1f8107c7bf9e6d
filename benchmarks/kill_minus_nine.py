"""200 times `kill -9` of a server that carries out runs, at moments chosen by chance.

Prints what was found as JSON: records that were shown and are lost or changed, runs whose calls or
ends are not exactly one each, processes of machines that are left, and how the runs ended. Machines
are those without walls, so that it takes minutes; that no microVM outlives its owner is tested by
`tests/integration/test_machines.py`. Usage: `kill_minus_nine.py [KILLS [ENGINE [SEED]]]`.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from forge.testing.providers.server import scripted_provider
from killing import Killing, fresh_home, work

RUNS = 2
"""New runs in each round, beside those that are resumed."""


async def main(kills: int, engine: str, seed: int) -> None:
    """Kill, then let all end, then look."""
    chance, begun = random.Random(seed), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        async with scripted_provider(work) as server:
            killing = Killing(
                fresh_home(Path(folder)), server.anthropic_url, server.key, engine=engine
            )
            while killing.found.kills < kills:
                await killing.round(RUNS, kill_after=chance.uniform(0.0, 1.0))
            await killing.round(1, kill_after=None)
            found = await killing.look()
    print(
        json.dumps(
            {
                "engine": engine,
                "seed": seed,
                "kills": found.kills,
                "runs": found.runs,
                "records": found.records,
                "resumed": found.resumed,
                "lost": found.lost,
                "changed": found.changed,
                "broken": found.broken,
                "processes_left": len(found.left),
                "ended": dict(found.statuses),
                "seconds": round(time.monotonic() - begun),
            }
        )
    )


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(
        main(
            int(given[0]) if given else 200,
            given[1] if len(given) > 1 else "dbos",
            int(given[2]) if len(given) > 2 else 1,
        )
    )
