"""SQLite in WAL mode: one file, no server, the default.

Readers never wait for a writer, and writers wait for each other at `BEGIN IMMEDIATE`, at most
`BUSY_S` seconds, instead of failing in the middle of a transaction.

A commit is in the operating system's hands before it returns, so it survives the death of the
process, `kill -9` included (`synchronous=NORMAL`). A power cut may take the last moments of commits
with it, never the database's consistency, and what is left is a valid earlier state: a shorter
chain, not a broken one. `FULL` would add a disk flush to each of the hundreds of events of a run
(milliseconds each on a laptop's disk) to keep the end of a run whose machine died in the same power
cut.
"""

import asyncio
import errno
import sqlite3
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, event, exc, insert
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from forge.errors import (
    Conflict,
    DatabaseBusy,
    ForgeError,
    HostUnfit,
    LedgerCorrupt,
    LedgerUnwritable,
    NoSpace,
)
from forge.store.base import BUSY_S, Dialect, RowValues
from forge.store.migrate import HEAD, migrate, revision_of

READ, WRITE, NONE = "BEGIN", "BEGIN IMMEDIATE", ""
"""How a connection's next transaction begins."""


class SqliteBackend:
    """A `Backend` on one file. `prepare` makes the file first."""

    dialect: Dialect = "sqlite"
    failures: tuple[type[Exception], ...] = (exc.DBAPIError, exc.TimeoutError, sqlite3.Error)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.label = str(path)
        self.engine = _engine(path)

    def prepare(self) -> None:
        """Make the folder and the file, for their owner's eyes only.

        Raises:
            HostUnfit, NoSpace: they cannot be made.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.touch(mode=0o600, exist_ok=True)
        except OSError as error:
            kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else HostUnfit
            raise kind(
                f"{self.path} cannot be made: {error.strerror}.",
                hint="Point FORGE_HOME at a folder you may write to.",
            ) from error

    async def ready(self) -> None:
        """As in `Backend`."""
        await asyncio.to_thread(self.prepare)
        async with self.engine.connect() as connection:
            if await connection.run_sync(_is_ready):
                return
        await _enter_wal(self.engine)
        async with self.engine.connect() as plain:
            connection = await self.begin(plain, write=True)
            async with connection.begin():
                await connection.run_sync(migrate)

    async def begin(self, connection: AsyncConnection, *, write: bool) -> AsyncConnection:
        """As in `Backend`."""
        return await connection.execution_options(forge_begin=WRITE) if write else connection

    async def insert(self, connection: AsyncConnection, table: Table, row: RowValues) -> None:
        """As in `Backend`: one trip to the database's thread, where a transaction through the
        engine takes eight and three times as long.
        """
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.execute_fetchall(_insertion(table), row)

    def named(self, error: Exception) -> ForgeError:
        """As in `Backend`."""
        cause = error.orig if isinstance(error, exc.DBAPIError) else error
        return _named(cause or error, self.label)


@cache
def _insertion(table: Table) -> str:
    return str(insert(table).compile(dialect=dialect(paramstyle="named")))


def _named(error: BaseException, label: str) -> ForgeError:
    reason = str(error)
    said = reason.lower()
    if isinstance(error, sqlite3.IntegrityError):
        return _of_integrity(label, reason)
    if "full" in said:
        return NoSpace(f"There is no space left to write {label}.")
    if any(sign in said for sign in ("not a database", "malformed", "could not decode")):
        return LedgerCorrupt(f"{label} is damaged or not a database: {reason}.")
    if "locked" in said or isinstance(error, exc.TimeoutError):
        return DatabaseBusy(
            f"Another process kept {label} locked for more than {BUSY_S} s.",
            hint="Stop the other Forge that uses this FORGE_HOME, or wait for it.",
        )
    return HostUnfit(
        f"{label} cannot be read or written: {reason}.",
        hint="Check the permissions of the FORGE_HOME folder.",
    )


def _of_integrity(label: str, reason: str) -> ForgeError:
    if "append-only" in reason:
        return LedgerUnwritable(f"{label} refused it: {reason}.")
    return Conflict(f"The same row is in {label} already, or one it needs is not: {reason}.")


def _engine(path: Path) -> AsyncEngine:
    # Connections come back to the pool with no transaction open: closing one ends it, so the
    # pool's own rollback would only be one more round trip.
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        hide_parameters=True,
        connect_args={"timeout": BUSY_S},
        pool_reset_on_return=None,
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
                # The switch does not wait for another opener's; `ready`'s deadline bounds this.
                if "locked" not in str(error):
                    raise
                await asyncio.sleep(0.01)
            else:
                return
