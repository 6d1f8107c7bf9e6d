"""PostgreSQL by URL: for a server of several people, or a database that is kept elsewhere.

A commit is as durable as the server makes it; its default survives a power cut. Tables are made in
the first schema of the user's search path. Several processes of Forge may use one database: who
migrates it is settled by an advisory lock.

The server can go away at any moment, so a connection that has lain idle is looked at before it is
used: a closed one is replaced without anyone noticing. One that is lost in the middle of something
is `DatabaseUnreachable`, and whether its last commit is there is then unknown.

A URL holds a password. What is said about a database is made from its other parts, and what the
driver says is searched for it.
"""

import select
from functools import cache
from typing import Any

import psycopg
from sqlalchemy import Connection, Table, event, exc, insert, text
from sqlalchemy.dialects.postgresql.psycopg import dialect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from forge.errors import (
    Conflict,
    DatabaseBusy,
    DatabaseRefused,
    DatabaseUnreachable,
    ForgeError,
    InputRefused,
    LedgerCorrupt,
    LedgerUnwritable,
    NoSpace,
    SettingsInvalid,
)
from forge.store.base import BUSY_S, OPEN_S, Dialect, RowValues
from forge.store.migrate import HEAD, migrate, revision_of

CONNECT_S = 10
"""How long a server may take to let us in: a far one that wakes up takes seconds."""

SILENCE_S = 20
"""After how long without an acknowledgement a connection counts as lost."""

STATEMENT_S = 60
"""How long one statement may take; ours take milliseconds."""

CONNECTIONS = 16
"""How many connections one process keeps at most; servers allow about a hundred in all."""

MIGRATION_LOCK = 0x464F524745  # "FORGE"
"""The key of the advisory lock that whoever migrates holds."""

_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


class PostgresBackend:
    """A `Backend` on the database that a URL names."""

    dialect: Dialect = "postgresql"
    failures: tuple[type[Exception], ...] = (exc.DBAPIError, exc.TimeoutError, psycopg.Error)

    def __init__(self, url: str) -> None:
        parts = _parsed(url)
        self.label = _label(parts)
        self._password = parts.password or ""
        self.engine = _engine(parts)

    async def ready(self) -> None:
        """As in `Backend`."""
        async with self.engine.connect() as connection:
            if await connection.run_sync(revision_of) == HEAD:
                return
        async with self.engine.begin() as connection:
            await connection.run_sync(_migrate_alone)

    async def begin(self, connection: AsyncConnection, *, write: bool) -> AsyncConnection:
        """As in `Backend`: a reader sees one moment, as it does on SQLite."""
        if write:
            return connection
        return await connection.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    async def insert(self, connection: AsyncConnection, table: Table, row: RowValues) -> None:
        """As in `Backend`: one round trip, where BEGIN and COMMIT would make it three."""
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.set_autocommit(True)
        try:
            await driver.execute(_insertion(table), row)
        finally:
            if driver.closed:
                await connection.invalidate()
            else:
                await driver.set_autocommit(False)

    def named(self, error: Exception) -> ForgeError:
        """As in `Backend`."""
        cause = error.orig if isinstance(error, exc.DBAPIError) else error
        if not isinstance(cause, psycopg.Error):
            return DatabaseBusy(f"{self.label} had no connection free for {BUSY_S} s.")
        reason = " ".join((cause.diag.message_primary or str(cause)).split())
        if self._password:
            reason = reason.replace(self._password, "***")
        return _by_state(cause, self.label, reason)


def _by_state(error: psycopg.Error, label: str, reason: str) -> ForgeError:
    """By SQLSTATE, whose first two characters are its class."""
    state = error.sqlstate or ""
    kind, message = _KINDS.get(state) or _KINDS.get(state[:2]) or (None, "")
    if "append-only" in reason:
        kind, message = LedgerUnwritable, "{label} refused it: {reason}."
    elif isinstance(error, psycopg.DataError):
        kind, message = InputRefused, "{label} cannot keep this: {reason}."
    elif kind is None and isinstance(error, psycopg.OperationalError):
        kind, message = _of_connection(reason), "{label} cannot be used: {reason}."
    elif kind is None:
        kind, message = DatabaseRefused, "{label} refused it: {reason}."
    said = message.format(label=label, reason=reason.rstrip(".?"))
    if kind is NoSpace:
        return NoSpace(said, hint="Free some space on the database's server.")
    return kind(said)


_KINDS: dict[str, tuple[type[ForgeError], str]] = {
    "08": (DatabaseUnreachable, "The connection to {label} was lost: {reason}."),
    "23": (Conflict, "The same row is in {label} already, or one it needs is not: {reason}."),
    "28": (DatabaseRefused, "{label} does not let us in: {reason}."),
    "3D": (DatabaseRefused, "{label} does not let us in: {reason}."),
    "40": (DatabaseBusy, "Others changed the same rows of {label}: {reason}."),
    "42501": (DatabaseRefused, "{label} does not permit it: {reason}."),
    "53": (DatabaseUnreachable, "{label} has no room for us now: {reason}."),
    "53100": (NoSpace, "There is no space left in {label}: {reason}."),
    "55": (DatabaseBusy, "Another process kept rows of {label} locked: {reason}."),
    "57": (DatabaseUnreachable, "The connection to {label} was ended: {reason}."),
    "57014": (DatabaseBusy, "{label} took too long: {reason}."),
    "58": (DatabaseUnreachable, "The server of {label} is in trouble: {reason}."),
    "XX": (LedgerCorrupt, "{label} is damaged: {reason}."),
}


def _of_connection(reason: str) -> type[ForgeError]:
    """The driver keeps no SQLSTATE of a connection that was never made, so its words decide."""
    waits = ("starting up", "shutting down", "recovery mode", "too many", "slots are reserved")
    if "FATAL" in reason and not any(sign in reason for sign in waits):
        return DatabaseRefused
    return DatabaseUnreachable


def _parsed(url: str) -> URL:
    hint = "Give FORGE_DATABASE_URL as `postgresql://user:password@host:5432/name`."
    try:
        parts = make_url(url)
        if parts.drivername not in _SCHEMES:
            raise SettingsInvalid(
                f"The database's URL begins with {parts.drivername!r}, not with `postgresql`.",
                hint=hint,
            )
        return parts.set(drivername="postgresql+psycopg")
    except (exc.ArgumentError, ValueError):
        # What was raised quotes the URL, and the password in it.
        raise SettingsInvalid("The database's URL cannot be read.", hint=hint) from None


def _label(parts: URL) -> str:
    host = parts.host or parts.query.get("host") or "this computer"
    name = parts.database or parts.username or "postgres"
    return f"The PostgreSQL database {name!r} on {host if isinstance(host, str) else host[0]}"


def _engine(parts: URL) -> AsyncEngine:
    engine = create_async_engine(
        parts,
        hide_parameters=True,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=BUSY_S,
        connect_args={
            "connect_timeout": CONNECT_S,
            "tcp_user_timeout": SILENCE_S * 1000,
            "keepalives_idle": SILENCE_S,
            "application_name": "forge",
            "client_encoding": "utf8",
            **parts.query,
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(
            f"SET lock_timeout = '{BUSY_S}s'; SET statement_timeout = '{STATEMENT_S}s'; "
            f"SET idle_in_transaction_session_timeout = '{STATEMENT_S}s'"
        )
        cursor.close()
        connection.commit()

    @event.listens_for(engine.sync_engine, "checkout")
    def _taken(_connection: object, record: Any, _proxy: object) -> None:
        # An idle server says nothing: what can be read now is its goodbye, or the end.
        waiting = select.poll()
        waiting.register(record.driver_connection.fileno(), select.POLLIN)
        if waiting.poll(0):
            raise exc.InvalidatePoolError

    return engine


@cache
def _insertion(table: Table) -> str:
    named = dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves this one untyped
    return str(insert(table).compile(dialect=named))


def _check_encoding(connection: Connection) -> None:
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise DatabaseRefused(
            f"The database is encoded in {encoding}, which cannot hold every text.",
            hint="Make it with `createdb --encoding=UTF8 --template=template0`.",
        )


def _migrate_alone(connection: Connection) -> None:
    _check_encoding(connection)
    connection.execute(text(f"SET LOCAL lock_timeout = '{OPEN_S}s'"))
    connection.execute(text(f"SET LOCAL statement_timeout = '{OPEN_S}s'"))
    connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
    migrate(connection)
