"""A SQLite file with Forge's tables, made once and copied: making them outlasts most tests."""

import asyncio
import functools
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from forge.store.database import Database


@functools.cache
def content() -> bytes:
    """The file's bytes; made by the first of this process who asks."""

    async def migrated(path: Path) -> bytes:
        async with Database.open(path):
            pass  # what is written ahead is in the file once it is closed
        return path.read_bytes()

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, migrated(Path(folder) / "forge.db")).result()


def put(path: Path) -> Path:
    """Put a copy where no database is yet; returns the path."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
        path.write_bytes(content())
    return path
