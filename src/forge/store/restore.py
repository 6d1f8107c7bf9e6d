"""Putting a backup back. An archive is a stranger's until each of its bytes was checked.

Nothing in it names a place: members have the names that a backup gives or are refused, digests are
looked up and not walked. First the whole archive is compared with its manifest. Then its rows go
into a database of their own, at the version that the backup was made with, which refuses what does
not fit; that is brought forward and its ledgers are checked. Only then are the files kept, and the
rows put in their place, all at once. An archive that fails on the way has changed nothing but
perhaps added files that nothing leads to.

A manifest cannot prove that nobody wrote it anew: whoever fears that keeps the archive's digest
elsewhere and gives it.
"""

import asyncio
import base64
import hashlib
import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import (
    Connection,
    MetaData,
    create_engine,
    delete,
    event,
    insert,
    select,
    text,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool

from forge.errors import BackupRefused, Conflict, NoSpace
from forge.store.backup import BATCH, FORMAT, MANIFEST, SKIPPED, Manifest, Member, rows_of
from forge.store.blobs import Blobs
from forge.store.database import Database
from forge.store.migrate import migrate
from forge.store.search import document
from forge.store.tables import METADATA, SEARCH

Check = Callable[[Database], Awaitable[None]]
"""What looks at the rows before they are put anywhere, and raises LedgerCorrupt."""

_UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError)
"""What reading a file that is no archive, or an odd one, raises."""

_NAME = re.compile(r"tables/[a-z_]{1,40}\.jsonl|blobs/[0-9a-f]{64}")
_MANIFEST_MAX = 256 << 20
_PIECE = 1 << 20
_LINE = 64 << 20
"""A row is refused beyond this; an event is at most a few megabytes."""


async def restore(
    path: Path, database: Database, blobs: Blobs, check: Check, *, force: bool = False
) -> Manifest:
    """Put a backup into a database and a place for files.

    Args:
        path: the archive.
        database: where its rows go; with `force` what is there is removed, all of it.
        blobs: where its files go, beside those that are there.
        check: called with the rows before anything is changed.
        force: whether the database may have rows already.

    Raises:
        BackupRefused: the archive is not what a backup is, or was changed.
        Conflict: there are rows already; nothing was changed.
        LedgerCorrupt: a run's records do not match their chain; nothing was changed.
        LedgerError: a newer Forge made it.
        ForgeError: the database or the files cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="forge-restore-") as folder:
        aside = Path(folder) / "forge.db"
        try:
            with zipfile.ZipFile(path) as archive:
                manifest = await asyncio.to_thread(_checked, archive)
                await asyncio.to_thread(_fill, archive, manifest, aside)
                async with Database.open(aside) as restored:
                    await check(restored)
                    await _refuse_unless_empty(database, force=force)
                    await _keep_files(archive, manifest, blobs)
                    await _replace(restored, database, force=force)
        except _UNREADABLE as error:
            raise BackupRefused(f"The file {path} cannot be read as a backup: {error}.") from error
    return manifest


def _checked(archive: zipfile.ZipFile) -> Manifest:
    """The manifest, when every member is there once and is what the manifest says."""
    manifest = _manifest(archive)
    names = archive.namelist()
    if len(names) != len(set(names)) or set(names) - {MANIFEST} != set(manifest.members):
        raise BackupRefused("The archive's members are not those of its manifest.")
    for name, member in manifest.members.items():
        if not _NAME.fullmatch(name):
            raise BackupRefused(f"The archive has a member of a strange name: {name[:80]!a}.")
        if archive.getinfo(name).file_size != member.size:
            raise BackupRefused(f"The archive's member {name} was changed.")
    tables = sum(each.size for name, each in manifest.members.items() if name[0] == "t")
    if tables > shutil.disk_usage(tempfile.gettempdir()).free:
        raise NoSpace(f"The backup's rows take {tables >> 20} MiB, more than is free here.")
    for name, member in manifest.members.items():
        _compare(archive, name, member)
    return manifest


def _compare(archive: zipfile.ZipFile, name: str, member: Member) -> None:
    digest = hashlib.sha256()
    for piece in _pieces(archive, name):
        digest.update(piece)
    kind, _, digits = name.partition("/")
    wanted = {member.sha256, digits} if kind == "blobs" else {member.sha256}
    if {digest.hexdigest()} != wanted:
        raise BackupRefused(f"The archive's member {name} was changed.")


def _manifest(archive: zipfile.ZipFile) -> Manifest:
    if MANIFEST not in archive.namelist():
        raise BackupRefused("The archive has no manifest.")
    if archive.getinfo(MANIFEST).file_size > _MANIFEST_MAX:
        raise BackupRefused("The archive's manifest is too large to be one.")
    try:
        manifest = Manifest.model_validate_json(archive.read(MANIFEST))
    except ValidationError as error:
        raise BackupRefused("The archive's manifest cannot be read.") from error
    if manifest.format != FORMAT:
        raise BackupRefused(
            f"The backup has format {manifest.format}, and this Forge reads format {FORMAT}.",
            hint="Use the version of Forge that made it, or a newer one.",
        )
    return manifest


def _pieces(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    with archive.open(name) as file:
        while piece := file.read(_PIECE):
            yield piece


def _fill(archive: zipfile.ZipFile, manifest: Manifest, aside: Path) -> None:
    """Make a database of the backup's version with the backup's rows."""
    engine = create_engine(f"sqlite:///{aside}", poolclass=NullPool)
    # Off unless asked for, in SQLite.
    event.listen(engine, "connect", lambda driver, _: driver.execute("PRAGMA foreign_keys=ON"))
    try:
        with engine.begin() as connection:
            migrate(connection, manifest.revision)
            metadata = MetaData()
            metadata.reflect(connection, only=lambda name, _: not name.startswith("search_index"))
            for table in metadata.sorted_tables:
                name = f"tables/{table.name}.jsonl"
                if name in manifest.members:
                    _fill_table(connection, table, _rows(archive, name))
    except SQLAlchemyError as error:
        if "disk is full" in str(error):
            raise NoSpace("There is no space left to look at the backup's rows.") from error
        raise BackupRefused("The backup's rows are not those of its version.") from error


def _fill_table(connection: Connection, table: Any, rows: Iterator[dict[str, Any]]) -> None:
    batch: list[dict[str, Any]] = []
    wanted = {column.name for column in table.columns}
    if table.name == SEARCH.name:
        wanted -= {column.name for column in SKIPPED}
    for row in rows:
        if set(row) != wanted:
            raise BackupRefused(f"A row of {table.name} has other columns than its table.")
        if table.name == SEARCH.name:
            row["words"] = document(row["user_id"], row["text"], "sqlite")
        batch.append(row)
        if len(batch) == BATCH:
            connection.execute(insert(table), batch)
            batch = []
    if batch:
        connection.execute(insert(table), batch)


def _rows(archive: zipfile.ZipFile, name: str) -> Iterator[dict[str, Any]]:
    with archive.open(name) as file:
        while line := file.readline(_LINE):
            try:
                row = json.loads(line, object_hook=_bytes)
            except ValueError as error:
                raise BackupRefused(f"A row of {name} cannot be read.") from error
            if not isinstance(row, dict):
                raise BackupRefused(f"A row of {name} is none.")
            yield row


def _bytes(value: dict[str, Any]) -> dict[str, Any] | bytes:
    return base64.b64decode(value["base64"], validate=True) if set(value) == {"base64"} else value


async def _refuse_unless_empty(database: Database, *, force: bool) -> None:
    async with database.reading() as connection:
        if force or await _is_empty(connection):
            return
    raise Conflict(
        f"{database.label} is not empty.",
        hint="Restore to another FORGE_HOME or database, or use --force, which removes what is "
        "there.",
    )


async def _is_empty(connection: AsyncConnection) -> bool:
    for table in METADATA.sorted_tables:
        if (await connection.execute(select(1).select_from(table).limit(1))).first():
            return False
    return True


async def _keep_files(archive: zipfile.ZipFile, manifest: Manifest, blobs: Blobs) -> None:
    for name, member in manifest.members.items():
        if not name.startswith("blobs/"):
            continue

        async def content(name: str = name) -> AsyncIterator[bytes]:
            for piece in _pieces(archive, name):
                yield piece

        kept = await blobs.put(content(), limit=member.size)
        if kept.sha256 != member.sha256:
            raise BackupRefused(f"The archive's member {name} was changed.")


async def _replace(restored: Database, database: Database, *, force: bool) -> None:
    async with restored.reading() as source, database.writing() as target:
        if not force and not await _is_empty(target):
            raise Conflict(f"{database.label} is not empty any more.")
        async with _rewriting(target):
            for table in reversed(METADATA.sorted_tables):
                await target.execute(delete(table))
        for table in METADATA.sorted_tables:
            batch: list[dict[str, Any]] = []
            async for row in rows_of(source, table):
                if table is SEARCH:
                    row["words"] = document(row["user_id"], row["text"], database.dialect)
                batch.append(row)
                if len(batch) == BATCH:
                    await target.execute(insert(table), batch)
                    batch = []
            if batch:
                await target.execute(insert(table), batch)


@asynccontextmanager
async def _rewriting(connection: AsyncConnection) -> AsyncIterator[None]:
    """A block in which the ledger may be removed, as its triggers are away, until the commit."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("ALTER TABLE events DISABLE TRIGGER USER"))
        yield
        await connection.execute(text("ALTER TABLE events ENABLE TRIGGER USER"))
        return
    found = await connection.execute(
        text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'")
    )
    triggers = found.all()
    for trigger in triggers:
        await connection.execute(text(f"DROP TRIGGER {trigger.name}"))
    yield
    for trigger in triggers:
        await connection.exec_driver_sql(trigger.sql)
