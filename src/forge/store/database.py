"""The one database: SQLite in WAL mode through SQLAlchemy's async engine.

Readers never wait for a writer, and writers wait for each other at `BEGIN IMMEDIATE`, at most
`BUSY_S` seconds, instead of failing in the middle of a transaction.

What "durable" means here: a commit is in the operating system's hands before it returns, so it
survives the death of the process, `kill -9` included (`synchronous=NORMAL`). A power cut may take
the last moments of commits with it, never the database's consistency, and what is left is a valid
earlier state: a shorter chain, not a broken one. `FULL` would add a disk flush to each of the
hundreds of events of a run (milliseconds each on a laptop's disk) to keep the end of a run whose
machine died in the same power cut.

`Database.open` owns the engine and every connection and thread behind it, and closes them all.
"""

import asyncio
import errno
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, event, exc, insert
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from forge.errors import ForgeError, HostUnfit, LedgerCorrupt, LedgerUnwritable, NoSpace
from forge.store.migrate import HEAD, migrate, revision_of

BUSY_S = 10
"""How long a writer waits for another: far longer than any of our transactions lasts."""

OPEN_S = 30
"""How long opening may take in all; a migration of a large ledger is the longest part."""

READ, WRITE, NONE = "BEGIN", "BEGIN IMMEDIATE", ""
"""How a connection's next transaction begins."""


class Database:
    """An open database. Made by `open`, which also closes it."""

    def __init__(self, engine: AsyncEngine, path: Path) -> None:
        self._engine = engine
        self.path = path

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator["Database"]:
        """Open, making and migrating the database where needed; close it at the end.

        Raises:
            HostUnfit: the folder cannot be made or written.
            NoSpace: the disk is full.
            LedgerCorrupt: the file is not a database, or a damaged one.
            LedgerUnwritable: another process held it locked for too long.
            LedgerError: a newer Forge wrote it.
        """
        await asyncio.to_thread(_prepare, path)
        engine = _engine(path)
        try:
            with translated(path):
                await _ready(engine, path)
            yield cls(engine, path)
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A consistent view; takes no lock that a writer would notice.

        Raises:
            LedgerCorrupt, LedgerUnwritable, HostUnfit: the database cannot be read.
        """
        with translated(self.path):
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction holding the write lock, committed at the end, rolled back on an error.

        Raises:
            NoSpace: the disk is full.
            LedgerUnwritable: another process held the lock for `BUSY_S`, or a row exists already.
            LedgerCorrupt, HostUnfit: the file is damaged, or may not be written.
        """
        with translated(self.path):
            async with self._engine.connect() as plain:
                connection = await plain.execution_options(forge_begin=WRITE)
                async with connection.begin():
                    yield connection

    async def insert(self, table: Table, row: Mapping[str, str | int]) -> None:
        """Write one row with all of the table's columns, as a transaction of its own.

        A run makes hundreds of these, so the statement goes to the database's thread in one round
        trip; a transaction through the engine takes eight and three times as long.

        Raises:
            NoSpace, LedgerUnwritable, LedgerCorrupt, HostUnfit: as in `writing`.
        """
        with translated(self.path):
            async with self._engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None
                await driver.execute_fetchall(_insertion(table), row)


@cache
def _insertion(table: Table) -> str:
    return str(insert(table).compile(dialect=dialect(paramstyle="named")))


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what the database's driver raises into Forge's own errors."""
    try:
        yield
    except exc.DBAPIError as error:
        raise _named(error.orig, path) from error
    except sqlite3.Error as error:
        raise _named(error, path) from error


def _named(error: BaseException | None, path: Path) -> ForgeError:
    reason = str(error)
    if isinstance(error, sqlite3.IntegrityError):
        return LedgerUnwritable(f"Another process wrote the same row of {path}: {reason}")
    said = reason.lower()
    if "full" in said:
        return NoSpace(f"There is no space left to write {path}.")
    if any(sign in said for sign in ("not a database", "malformed", "could not decode")):
        return LedgerCorrupt(f"{path} is damaged or not a database: {reason}.")
    if "locked" in said:
        return LedgerUnwritable(
            f"Another process kept {path} locked for more than {BUSY_S} s.",
            hint="Stop the other Forge that uses this FORGE_HOME, or wait for it.",
        )
    return HostUnfit(
        f"{path} cannot be read or written: {reason}.",
        hint="Check the permissions of the FORGE_HOME folder.",
    )


def _prepare(path: Path) -> None:
    """Make the folder and the file, for their owner's eyes only."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else HostUnfit
        raise kind(
            f"{path} cannot be made: {error.strerror}.",
            hint="Point FORGE_HOME at a folder you may write to.",
        ) from error


def _engine(path: Path) -> AsyncEngine:
    # Connections come back to the pool with no transaction open: closing one ends it, so the
    # pool's own rollback would only be one more round trip.
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", connect_args={"timeout": BUSY_S}, pool_reset_on_return=None
    )

    # SQLAlchemy's documented recipe: sqlite3's own implicit transactions are switched off, and
    # the engine's "begin" event says which kind of BEGIN is meant.
    @event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begun(connection: Connection) -> None:
        statement = connection.get_execution_options().get("forge_begin", READ)
        if statement != NONE:
            connection.exec_driver_sql(statement)

    return engine


async def _ready(engine: AsyncEngine, path: Path) -> None:
    try:
        async with asyncio.timeout(OPEN_S):
            async with engine.connect() as connection:
                ready = await connection.run_sync(_is_ready)
            if not ready:
                await _enter_wal(engine)
                async with engine.connect() as plain:
                    connection = await plain.execution_options(forge_begin=WRITE)
                    async with connection.begin():
                        await connection.run_sync(migrate)
    except TimeoutError as error:
        raise LedgerUnwritable(f"{path} could not be opened within {OPEN_S} s.") from error


def _is_ready(connection: Connection) -> bool:
    mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    return bool(mode == "wal") and revision_of(connection) == HEAD


async def _enter_wal(engine: AsyncEngine) -> None:
    """Switch to WAL, once in a database's life; it cannot be done inside a transaction."""
    async with engine.connect() as plain:
        connection = await plain.execution_options(forge_begin=NONE)
        while True:
            try:
                await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            except exc.OperationalError as error:
                # The switch does not wait for another opener's; `_ready` bounds the tries.
                if "locked" not in str(error):
                    raise
                await asyncio.sleep(0.01)
            else:
                return
