"""The one database: SQLite by default, PostgreSQL by URL, the same rows and promises on both.

    async with Database.open(settings.home / "forge.db") as database:      # or "postgresql://…"
        async with database.writing() as connection:
            await connection.execute(insert(USERS).values(row))

`reading` is a consistent view that no writer notices. `writing` is a transaction: on SQLite it
holds the one write lock, on PostgreSQL it is READ COMMITTED, so whoever reads a row in order to
change it asks for the row's lock (`select(…).with_for_update()`, which SQLite does not need and
leaves out).
What is committed survives the death of this process; what more it survives is the database's own
word, which `sqlite.py` and `postgres.py` say.

`Database.open` owns the engine and every connection and thread behind it, and closes them all.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from forge.errors import DatabaseBusy
from forge.store.base import OPEN_S, Backend, Dialect, RowValues


class Database:
    """An open database. Made by `open`, which also closes it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @classmethod
    @asynccontextmanager
    async def open(cls, where: Path | str) -> AsyncIterator["Database"]:
        """Open, making and migrating the tables where needed; close it at the end.

        Args:
            where: the path of an SQLite file, or a PostgreSQL URL
                (`postgresql://user:password@host:5432/name`).

        Raises:
            SettingsInvalid: the URL is none of a PostgreSQL database.
            HostUnfit: the file or its folder cannot be made or written.
            DatabaseUnreachable: nothing answers at the URL.
            DatabaseRefused: it does not let us in, or not make tables.
            NoSpace: the disk is full.
            LedgerCorrupt: the file is not a database, or a damaged one.
            DatabaseBusy: another process held it locked for too long.
            LedgerError: a newer Forge wrote it.
        """
        database = cls(_backend(where))
        try:
            with database._translated():
                await database._ready()
            yield database
        finally:
            await database._backend.engine.dispose()

    @property
    def dialect(self) -> Dialect:
        """Which kind of database this is."""
        return self._backend.dialect

    @property
    def label(self) -> str:
        """What people call it: its path, or its name and host. No password is in it."""
        return self._backend.label

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A consistent view; takes no lock that a writer would notice.

        Raises:
            LedgerCorrupt, HostUnfit, DatabaseUnreachable, DatabaseRefused, DatabaseBusy: the
                database cannot be read.
        """
        with self._translated():
            async with self._backend.engine.connect() as plain:
                yield await self._backend.begin(plain, write=False)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end, rolled back on an error.

        Raises:
            Conflict: a row exists already, or one it needs does not; nothing was written.
            DatabaseBusy: another process held a lock for `BUSY_S`; nothing was written.
            LedgerUnwritable: it would have changed the ledger's past.
            InputRefused: a text holds what the database cannot keep (PostgreSQL: NUL).
            NoSpace, LedgerCorrupt, HostUnfit, DatabaseUnreachable, DatabaseRefused: the database
                cannot be written.
        """
        with self._translated():
            async with self._backend.engine.connect() as plain:
                connection = await self._backend.begin(plain, write=True)
                async with connection.begin():
                    yield connection

    async def insert(self, table: Table, row: RowValues) -> None:
        """Write one row with all of the table's columns, as a transaction of its own.

        A run makes hundreds of these, so it takes fewer round trips than `writing`.

        Raises:
            ForgeError: as in `writing`.
        """
        with self._translated():
            async with self._backend.engine.connect() as connection:
                await self._backend.insert(connection, table, row)

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(OPEN_S):
                await self._backend.ready()
        except TimeoutError as error:
            raise DatabaseBusy(f"{self.label} could not be opened within {OPEN_S} s.") from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what the database's driver raises into Forge's own errors."""
        try:
            yield
        except self._backend.failures as error:
            raise self._backend.named(error) from error


def _backend(where: Path | str) -> Backend:
    # Each loads its driver, so only the one that is used is loaded.
    if isinstance(where, str) and "://" in where:
        from forge.store.postgres import PostgresBackend

        return PostgresBackend(where)
    from forge.store.sqlite import SqliteBackend

    return SqliteBackend(Path(where))
