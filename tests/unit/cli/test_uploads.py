"""A person's files: regular ones only, read in pieces, closed when read."""

import os
from contextlib import aclosing
from pathlib import Path

import pytest

from forge.cli.uploads import upload, uploads
from forge.errors import InputRefused


async def content(given) -> bytes:
    async with aclosing(given.open()) as pieces:
        return b"".join([piece async for piece in pieces])


async def test_a_file_is_read_whole_each_time(tmp_path: Path):
    """Once for its digest, once to send it."""
    big = os.urandom(600_000)
    (tmp_path / "data.bin").write_bytes(big)
    given = upload(tmp_path / "data.bin")
    assert (given.name, given.size) == ("data.bin", 600_000)
    assert await content(given) == big
    assert await content(given) == big


async def test_a_file_that_goes_away_is_refused(tmp_path: Path):
    """Between the check and the reading, too."""
    (tmp_path / "a").write_text("a")
    given = upload(tmp_path / "a")
    (tmp_path / "a").unlink()
    with pytest.raises(InputRefused, match="cannot be read"):
        await content(given)


def test_what_is_no_regular_file_is_refused(tmp_path: Path):
    """A pipe could keep a run waiting for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputRefused, match="not a regular file"):
        upload(tmp_path / "pipe")
    with pytest.raises(InputRefused, match="a folder"):
        upload(tmp_path)
    with pytest.raises(InputRefused, match="No such file"):
        uploads((tmp_path / "absent",))
    with pytest.raises(InputRefused, match="NUL"):
        upload(Path("a\0b"))
