"""A backup: one archive with every row and every file that rows lead to, made while Forge runs.

    manifest.json            what made it, when, and the SHA-256 and size of every other member
    tables/<name>.jsonl      a row a line
    blobs/<sha256>           the bytes of a file

The rows are those of one moment: all are read in one transaction that sees what was committed
before it and nothing else. Files are kept before a row leads to them, so those that the rows lead
to are there; one that was lost is listed in the manifest as missing. The archive has no more to do
with the kind of database than the rows have: what was SQLite may be restored to PostgreSQL.

Not in it: the master key of secrets (without which they stay sealed), images, templates, machines
and volumes. It appears whole or not at all.
"""

import base64
import errno
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import AsyncIterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from forge.errors import HostUnfit, LedgerCorrupt, NoSpace
from forge.store.blobs import Blobs
from forge.store.database import Database
from forge.store.migrate import HEAD
from forge.store.tables import EVENTS, FILES, METADATA, SEARCH

FORMAT = 1
MANIFEST = "manifest.json"
BATCH = 500
"""How many rows are in memory at once."""

SKIPPED = {SEARCH.c.number, SEARCH.c.words}
"""Columns that each database makes for itself."""


class Member(BaseModel):
    """What a part of the archive must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size: int


class Manifest(BaseModel):
    """What is in a backup. `missing` are the digests of files that were not there any more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    version: str
    revision: str
    made_at: datetime
    members: dict[str, Member]
    missing: tuple[str, ...]


class _Written:
    """An archive that is being written, and what was written so far."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.members: dict[str, Member] = {}

    @contextmanager
    def member(self, name: str) -> Any:
        """A new member; what is called gets its next bytes."""
        digest, size = hashlib.sha256(), 0
        with self._archive.open(name, "w", force_zip64=True) as file:

            def write(piece: bytes) -> None:
                nonlocal size
                digest.update(piece)
                size += len(piece)
                file.write(piece)

            yield write
        self.members[name] = Member(sha256=digest.hexdigest(), size=size)


async def back_up(
    database: Database, blobs: Blobs, path: Path, *, version: str, now: datetime
) -> Manifest:
    """Write a backup to a file that is not there yet.

    The archive is written by this very thread: whoever backs up does nothing else meanwhile.

    Raises:
        HostUnfit, NoSpace: the file cannot be written, or is there.
        LedgerCorrupt: a file's bytes are not those it is named by.
        ForgeError: the database or the files cannot be read.
    """
    partial: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            partial = Path(file.name)
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                manifest = await _write(archive, database, blobs, version, now)
            _settle(file)
        # A link, unlike a rename, does not replace what has come there meanwhile.
        os.link(partial, path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (NoSpace if full else HostUnfit)(
            f"The backup {path} cannot be written: {error.strerror}.",
            hint="Name a file that is not there yet, in a folder that you may write to.",
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
    return manifest


def _settle(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


async def _write(
    archive: zipfile.ZipFile, database: Database, blobs: Blobs, version: str, now: datetime
) -> Manifest:
    written, digests, missing = _Written(archive), set[str](), list[str]()
    async with database.reading() as connection:
        for table in METADATA.sorted_tables:
            with written.member(f"tables/{table.name}.jsonl") as write:
                async for row in rows_of(connection, table):
                    digests |= _digest_in(table, row)
                    write(json.dumps(row, default=_plain).encode() + b"\n")
    for sha256 in sorted(digests):
        if await blobs.size(sha256) is None:
            missing.append(sha256)
            continue
        with written.member(f"blobs/{sha256}") as write:
            async for piece in blobs.get(sha256):
                write(piece)
        if written.members[f"blobs/{sha256}"].sha256 != sha256:
            raise LedgerCorrupt(f"The blob {sha256} holds other bytes than it is named by.")
    manifest = Manifest(
        format=FORMAT,
        version=version,
        revision=HEAD,
        made_at=now,
        members=written.members,
        missing=tuple(missing),
    )
    archive.writestr(MANIFEST, manifest.model_dump_json(indent=1))
    return manifest


async def rows_of(connection: AsyncConnection, table: Table) -> AsyncIterator[dict[str, Any]]:
    """A table's rows, but for the columns that each database makes for itself."""
    columns = [column for column in table.columns if column not in SKIPPED]
    result = await connection.stream(select(*columns).order_by(*table.primary_key.columns))
    async for rows in result.mappings().partitions(BATCH):
        for row in rows:
            yield dict(row)


def _digest_in(table: Table, row: dict[str, Any]) -> set[str]:
    """The files that a row leads to."""
    if table is FILES:
        return {row["sha256"]}
    if table is EVENTS and row["type"] == "artifact.saved":
        return {json.loads(row["body"])["sha256"]}
    return set()


def _plain(value: object) -> dict[str, str]:
    assert isinstance(value, bytes | memoryview)
    return {"base64": base64.b64encode(value).decode()}
