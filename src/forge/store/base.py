"""What a kind of database is to the store: an engine, how to be ready, and words for its failures.

There are two, `sqlite.py` and `postgres.py`, chosen by `Database.open`. Rows mean the same on both:
what one kind does differently (how a transaction begins, what its driver raises) stays in its file.
"""

from collections.abc import Mapping
from typing import Literal, Protocol

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from forge.errors import ForgeError

Dialect = Literal["sqlite", "postgresql"]

OPEN_S = 30
"""How long opening may take in all; a migration of a large ledger is the longest part."""

BUSY_S = 10
"""How long a writer waits for another: far longer than any of our transactions lasts."""

RowValues = Mapping[str, str | int | bool | bytes | None]
"""A row by its columns."""


class Backend(Protocol):
    """One kind of database, not connected yet. Its engine is the caller's to dispose of."""

    dialect: Dialect
    label: str
    """What messages call the database. It holds no password."""
    engine: AsyncEngine
    failures: tuple[type[Exception], ...]
    """What its driver and SQLAlchemy raise, all of which `named` has words for."""

    async def ready(self) -> None:
        """Make and migrate the database where needed, within `OPEN_S`.

        Raises:
            TimeoutError: it took longer.
            LedgerError: a newer Forge wrote it.
            Exception: one of `failures`.
        """
        ...

    async def begin(self, connection: AsyncConnection, *, write: bool) -> AsyncConnection:
        """Say how the connection's next transaction begins; it is not begun yet."""
        ...

    async def insert(self, connection: AsyncConnection, table: Table, row: RowValues) -> None:
        """Write one row as a transaction of its own, in as few round trips as the driver can."""
        ...

    def named(self, error: Exception) -> ForgeError:
        """Forge's own error for one of `failures`."""
        ...
