"""Bringing a database to the newest shape, at open, safely with others opening at once.

The caller holds a lock that no other opener gets (SQLite's write lock, an advisory lock of
PostgreSQL), so of several openers one migrates and the rest find it done. Alembic is imported only
when there is something to do: it takes longer to load than everything else about opening.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from forge.errors import LedgerError

HEAD = "0008_search"
"""The newest revision; a test compares it with the files."""

MIGRATIONS = Path(__file__).parent / "migrations"


def revision_of(connection: Connection) -> str | None:
    """The revision the database is at; None for a fresh one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return None if row is None else str(row[0])


def migrate(connection: Connection, to: str = HEAD) -> None:
    """Bring the database forward to a revision, inside the caller's transaction.

    Raises:
        LedgerError: the database was written by a newer Forge.
    """
    current = revision_of(connection)
    if current == to:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if unknown := {to, current} - known - {None}:
        raise LedgerError(
            f"The database is at revision {min(map(str, unknown))!r}, which this version of Forge "
            "does not know.",
            hint="Use the newer Forge that wrote it, or point FORGE_HOME at another folder.",
        )
    command.upgrade(config, to)
