"""The place of files stays tidy while a server runs."""

import asyncio
import os
from pathlib import Path

import pytest

from forge.clock import SystemClock
from forge.errors import HostUnfit
from forge.keeping import OLD_S, kept_tidy
from forge.store.blobs import BlobStore
from served import served


async def gone(path: Path) -> None:
    """Until it is not there any more."""
    async with asyncio.timeout(60):
        while path.exists():  # noqa: ASYNC110 - a file's end is no event
            await asyncio.sleep(0.01)


async def test_a_server_removes_what_a_crash_left_half_written_a_day_ago(tmp_path: Path):
    """What is being written meanwhile stays."""
    partial = tmp_path / "blobs" / "partial"
    partial.mkdir(parents=True)
    old, new = partial / "old", partial / "new"
    for file in (old, new):
        file.write_bytes(b"half")
    then = SystemClock().now().timestamp() - OLD_S - 60
    os.utime(old, (then, then))
    async with served(tmp_path):
        await gone(old)
        assert new.exists()


class Unwell(BlobStore):
    """A place that cannot be used at first."""

    swept = 0

    async def sweep(self, *, before: float) -> int:
        self.swept += 1
        if self.swept == 1:
            raise HostUnfit("The bucket does not answer.")
        return await super().sweep(before=before)


async def test_a_sweep_that_fails_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Nobody's request suffers from it, and it is in the log."""
    blobs = Unwell(tmp_path)
    async with asyncio.timeout(60), kept_tidy(blobs, SystemClock(), every_s=0.01):
        while blobs.swept < 3:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
    assert "The bucket does not answer." in caplog.text
