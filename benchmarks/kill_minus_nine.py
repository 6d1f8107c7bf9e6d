"""200 times `kill -9` of a server that carries out runs, at moments chosen by chance.

Prints what was found as JSON: records that were shown and are lost or changed, runs whose calls or
ends are not exactly one each, machines and processes of theirs that are left, and how the runs
ended. Machines are those without walls, so that it takes minutes; with `microvms` they are real, in
a home of their own. Usage: `kill_minus_nine.py [KILLS [ENGINE [SEED [microvms]]]]`.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from forge.testing.providers.server import scripted_provider
from homes import made
from killing import Killing, fresh_home, work

LONGEST_S = {False: 1.0, True: 4.0}
"""How long a server may live, without and with microVMs, whose runs take seconds."""

RUNS = 2
"""New runs in each round, beside those that are resumed."""


async def main(kills: int, engine: str, seed: int, machines: Path | None) -> None:
    """Kill, then let all end, then look."""
    chance, begun = random.Random(seed), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        async with scripted_provider(work) as server:
            killing = Killing(
                fresh_home(Path(folder)),
                (server.anthropic_url, server.key),
                engine=engine,
                machines=machines,
            )
            longest = LONGEST_S[machines is not None]
            while killing.found.kills < kills:
                await killing.round(RUNS, kill_after=chance.uniform(0.0, longest))
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
                "microvms": machines is not None,
                "left": found.left,
                "ended": dict(found.statuses),
                "seconds": round(time.monotonic() - begun),
            }
        )
    )


def given() -> None:
    """What the command line asks for."""
    kills, engine, seed, real = (*sys.argv[1:], *("200", "dbos", "1", "")[len(sys.argv) - 1 :])
    with ExitStack() as stack:
        machines = None
        if real == "microvms":
            (home,) = stack.enter_context(made(Path.home(), 1))
            machines = home / ".local/share/forge"
        asyncio.run(main(int(kills), engine, int(seed), machines))


if __name__ == "__main__":
    given()
