"""What the host's kernel says of a process."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from forge.sandbox import processes

EATER = """
import sys
x = bytearray(50 << 20); x[::4096] = b"x" * len(x[::4096])
print("full", flush=True); sys.stdin.read()
"""


async def test_memory_that_is_eaten_is_seen():
    """Fifty mebibytes touched are at least fifty in all three counts."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", EATER, stdin=pipe, stdout=pipe
    )
    assert child.stdout is not None
    await child.stdout.readline()
    held = processes.memory(child.pid)
    assert min(held.rss, held.pss, held.private) >= 50 << 20
    assert held.private <= held.pss <= held.rss
    child.kill()
    await child.communicate()
    with pytest.raises(OSError, match="No such"):
        processes.memory(child.pid)
    with pytest.raises(OSError, match="Invalid"):
        processes.cpu_seconds(child.pid)


def test_processor_time_is_the_processs_own():
    """The clock of another process is read as this one reads its own."""
    import time

    first = processes.cpu_seconds(os.getpid())
    sum(range(200_000))
    own = time.process_time()
    last = processes.cpu_seconds(os.getpid())
    assert first < own <= last


def test_a_hole_occupies_nothing(tmp_path: Path):
    """A sparse file counts by what it holds."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    assert processes.occupied(path) == 0
