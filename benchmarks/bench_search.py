"""How long a search in a hundred thousand conversations takes: one JSON line per figure.

Half of the conversations are one person's and the rest five hundred others'. Words are as common as
in speech (Zipf's law). Asked are common words, rare ones, several at once, and unfinished ones.

    uv run python benchmarks/bench_search.py [--conversations N] [--times N]
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, text

from forge.store import search
from forge.store.database import Database
from forge.store.tables import SEARCH
from forge.testing.postgres import cluster

ME = "usr_01hme"
VOCABULARY = 30_000
ASKED = {
    "the commonest word": "w0 ",
    "two common words": "w1 w2 ",
    "a common and a rare word": "w1 w9000 ",
    "a rare word": "w20000 ",
    "an unfinished common word": "w12",
    "an unfinished rare word": "w2999",
    "a word nobody said": "nothing ",
}


def rows(conversations: int, dialect: str) -> Any:
    chance = random.Random(1)
    vocabulary = [f"w{number}" for number in range(VOCABULARY)]
    weights = list(accumulate(1 / (number + 1) for number in range(VOCABULARY)))
    for number in range(conversations):
        user = ME if number % 2 else f"usr_01h{number % 1000}"
        said = " ".join(chance.choices(vocabulary, cum_weights=weights, k=chance.randint(5, 80)))
        yield {
            "conversation_id": f"conv_{number}",
            "message_id": "msg",
            "user_id": user,
            "text": said,
            "words": search.document(user, said, dialect),
        }


async def fill(database: Database, conversations: int) -> None:
    batch = []
    for row in rows(conversations, database.dialect):
        batch.append(row)
        if len(batch) == 5_000:
            async with database.writing() as connection:
                await connection.execute(insert(SEARCH), batch)
            batch = []
    if database.dialect == "postgresql":  # what the server does by itself within a minute
        async with database.writing() as connection:
            await connection.execute(text("ANALYZE search"))


@asynccontextmanager
async def databases() -> AsyncIterator[list[Path | str]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster(durable=True) as server,
        server.database() as url,
    ):
        yield [Path(folder) / "forge.db", url]


async def measure(database: Database, times: int) -> None:
    everything = []
    for what, query in ASKED.items():
        taken, found = [], 0
        for _ in range(times):
            before = time.perf_counter()
            async with database.reading() as connection:
                page = await search.search(connection, ME, query)
            taken.append((time.perf_counter() - before) * 1000)
            found = len(page.found)
        everything += taken
        print(f"{database.dialect} {what}: {found} found", file=sys.stderr)
        tell(f"search, {database.dialect}, {what}, p95", p95(taken), "ms", times)
    tell(f"search, {database.dialect}, all of them, p95", p95(everything), "ms", len(everything))


def tell(name: str, value: float, unit: str, times: int) -> None:
    print(
        json.dumps({"name": name, "value": round(value, 1), "unit": unit, "n": times}), flush=True
    )


def p95(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=20)[-1]


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=40)
    wanted = parser.parse_args()
    async with databases() as places:
        for place in places:
            async with Database.open(place) as database:
                before = time.perf_counter()
                await fill(database, wanted.conversations)
                async with database.reading() as connection:
                    await connection.scalar(select(SEARCH.c.number).limit(1))
                tell(f"search, {database.dialect}, filling", time.perf_counter() - before, "s", 1)
                await measure(database, wanted.times)


if __name__ == "__main__":
    asyncio.run(main())
