"""What the server takes, as a process of its own over HTTP: one JSON line per figure.

Start and memory; two hundred readers of one run, each event's way from its stamp on the ledger to
each of them; a question until its run's first event; a page of a hundred thousand conversations.
The machines are processes of this host and the model is the offline one, so neither counts. Server
and readers share the host's processors, so the server's own processor time is told too.

    uv run python benchmarks/bench_server.py [--streams N] [--conversations N] [--times N]
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2
from sqlalchemy import insert

from forge.clock import stamp
from forge.ids import new_conversation_id
from forge.store.database import Database
from forge.store.tables import CONVERSATIONS

PLUGIN = """
from contextlib import asynccontextmanager
from forge.testing.sandbox import LocalProvider

@asynccontextmanager
async def local(home, images, notify):
    provider = LocalProvider()
    yield provider
    await provider.close()
"""
TICKS = (
    "```python\nimport time\nfor n in range(300):\n    print(n, flush=True); time.sleep(0.05)\n```"
)
READY_S = 120


@contextmanager
def server(folder: Path) -> Iterator[tuple[int, str, float, float]]:
    """A server: its process and address, and what it took to be ready: seconds, and of processor
    time.
    """
    facts = folder / "plugin" / "forge_local-1.0.dist-info"
    facts.mkdir(parents=True, exist_ok=True)
    (folder / "plugin" / "forge_local.py").write_text(PLUGIN)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: forge-local\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[forge.sandboxes]\nlocal = forge_local:local\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],  # noqa: TID251 - the benchmark's own
        "HOME": str(folder),
        "FORGE_SANDBOX": "local",
        "FORGE_PORT": str(port),
        "PYTHONPATH": str(folder / "plugin"),
    }
    begun = time.perf_counter()
    with (folder / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "forge", "serve"], env=environment, stderr=stderr
        )
    try:
        url = f"http://127.0.0.1:{port}"
        while not ready(url):
            if time.perf_counter() - begun > READY_S or process.poll() is not None:
                raise SystemExit((folder / "stderr").read_text())
            time.sleep(0.01)
        yield process.pid, url, time.perf_counter() - begun, cpu_s(process.pid)
    finally:
        process.terminate()
        process.wait()


def ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz").status_code == 200
    except httpx2.TransportError:
        return False


def rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def events(port: int, path: str) -> AsyncIterator[bytes]:
    """The data of a stream, read with as little work as can be."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    async for line in reader:
        if line.startswith(b"data: "):
            yield line[6:]
    writer.close()
    await writer.wait_closed()


async def streams(pid: int, url: str, many: int) -> None:
    port = int(url.rpartition(":")[2])
    seen, joined = list[tuple[datetime, datetime]](), set[object]()
    all_here = datetime.max.replace(tzinfo=UTC)

    async def read(path: str) -> None:
        nonlocal all_here
        me = object()
        async for data in events(port, path):
            if me not in joined:
                joined.add(me)
                all_here = datetime.now(UTC) if len(joined) == many else all_here
            now, at = datetime.now(UTC), data.find(b'"at":"') + 6
            if b'"type":"tool.output"' in data and at > 6:
                sent = datetime.fromisoformat(data[at : data.find(b'"', at)].decode())
                seen.append((sent, now))

    async with httpx2.AsyncClient(base_url=url, timeout=600) as client:
        before = cpu_s(pid)
        async with client.stream("POST", "/api/chat", json={"message": TICKS}) as asked:
            first = await anext(
                line async for line in asked.aiter_lines() if line.startswith("data: ")
            )
            run_id = json.loads(first[6:])["run_id"]
            async with asyncio.TaskGroup() as group:
                for _ in range(many):
                    group.create_task(read(f"/api/runs/{run_id}/events"))
        used = cpu_s(pid) - before
    # What was replayed to a reader that came later is late by how much later it came.
    live = sorted((now - sent).total_seconds() * 1000 for sent, now in seen if sent > all_here)
    tell(
        f"{many} streams, an event's way to a reader, p50", statistics.median(live), "ms", len(live)
    )
    tell(f"{many} streams, the same, p99", live[int(len(live) * 0.99)], "ms", len(live))
    tell(f"{many} streams, server's processor time", used / len(seen) * 1e6, "us/event", len(live))


async def first_event(url: str, times: int) -> None:
    taken = []
    async with httpx2.AsyncClient(base_url=url, timeout=600) as client:
        for _ in range(times):
            before = time.perf_counter()
            async with client.stream("POST", "/api/chat", json={"message": "hello"}) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("id: "):
                        taken.append((time.perf_counter() - before) * 1000)
                        break
            await asyncio.sleep(0.3)  # the run's own end is not what is measured
    tell("a question until its run's first event, p50", statistics.median(taken), "ms", times)
    tell("a question until its run's first event, best", min(taken), "ms", times)


async def pages(url: str, home: Path, many: int, times: int) -> None:
    async with httpx2.AsyncClient(base_url=url, timeout=600) as client:
        user_id = (await client.get("/api/me")).json()["id"]
        async with Database.open(home / ".local/share/forge/forge.db") as database:
            for start in range(0, many, 5000):
                now = datetime.now(UTC)
                rows = [
                    {
                        "id": new_conversation_id(now),
                        "user_id": user_id,
                        "title": f"conversation {number}",
                        "created_at": stamp(now),
                        "updated_at": stamp(now),
                        "head_id": None,
                        "forked_from": None,
                    }
                    for number in range(start, min(start + 5000, many))
                ]
                async with database.writing() as connection:
                    await connection.execute(insert(CONVERSATIONS), rows)
        taken, cursor = [], None
        for _ in range(times):
            before = time.perf_counter()
            asked = {"limit": 50} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/api/conversations", params=asked)).json()
            taken.append((time.perf_counter() - before) * 1000)
            cursor = page["next"]
    p95 = statistics.quantiles(taken, n=20)[-1]
    tell(f"a page of {many} conversations, p95", p95, "ms", times)


def tell(name: str, value: float, unit: str, times: int) -> None:
    print(
        json.dumps({"name": name, "value": round(value, 1), "unit": unit, "n": times}), flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=100)
    wanted = parser.parse_args()
    starts = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(3):
            with server(folder) as (_, _, took, used):
                starts.append((took, used))
        many = len(starts)
        tell("from the server's start until it is ready, best", min(starts)[0], "s", many)
        tell("the same, processor time, best", min(used for _, used in starts), "s", many)
        with server(folder) as (pid, url, _, _):
            time.sleep(1)
            tell("the server's memory (RSS), idle", rss_mib(pid), "MiB", 1)
            before = cpu_s(pid)
            asyncio.run(first_event(url, wanted.times))
            used = (cpu_s(pid) - before) / wanted.times * 1000
            tell("a question and its whole run, server's processor time", used, "ms", wanted.times)
            asyncio.run(streams(pid, url, wanted.streams))
            tell("the server's memory (RSS), after that", rss_mib(pid), "MiB", 1)
            asyncio.run(pages(url, folder, wanted.conversations, wanted.times))


if __name__ == "__main__":
    main()
