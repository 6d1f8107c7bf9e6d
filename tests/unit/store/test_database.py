"""The database opens whole, migrates once however many open it, and keeps its promises."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from forge.errors import HostUnfit, LedgerCorrupt, LedgerError, LedgerUnwritable
from forge.store.database import Database
from forge.store.migrate import HEAD, MIGRATIONS
from forge.store.tables import METADATA


async def test_a_fresh_database_is_made_at_the_newest_revision_in_wal_mode(tmp_path: Path):
    """Opening a path that is not there makes folder, file and tables."""
    async with (
        Database.open(tmp_path / "deep" / "forge.db") as database,
        database.reading() as connection,
    ):
        assert await connection.scalar(text("SELECT version_num FROM alembic_version")) == HEAD
        assert await connection.scalar(text("PRAGMA journal_mode")) == "wal"
    assert (tmp_path / "deep" / "forge.db").stat().st_mode & 0o777 == 0o600


def test_head_is_the_newest_migration_file():
    """The constant that spares importing Alembic does not lag behind the files."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_the_migrations_make_the_tables_the_code_believes_in(tmp_path: Path):
    """Alembic finds no difference between the migrated database and `tables.METADATA`."""
    async with (
        Database.open(tmp_path / "forge.db") as database,
        database.reading() as connection,
    ):
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), METADATA)
        )
    assert differences == []


async def test_opening_an_up_to_date_database_does_not_load_alembic(tmp_path: Path):
    """Alembic costs start-up time, so it is loaded only when there is something to migrate."""
    path = tmp_path / "forge.db"
    async with Database.open(path):
        pass
    program = (
        "import asyncio, sys, pathlib\n"
        "from forge.store.database import Database\n"
        "async def main():\n"
        f"    async with Database.open(pathlib.Path({str(path)!r})): pass\n"
        "asyncio.run(main())\n"
        "assert 'alembic' not in sys.modules\n"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], check=True, timeout=60)


async def test_many_openers_at_once_migrate_once(tmp_path: Path):
    """Eight concurrent first opens all succeed and find one migrated database."""

    async def opened() -> str:
        async with (
            Database.open(tmp_path / "forge.db") as database,
            database.reading() as connection,
        ):
            return str(await connection.scalar(text("SELECT version_num FROM alembic_version")))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(opened()) for _ in range(8)]
    assert {task.result() for task in tasks} == {HEAD}


async def test_a_database_of_a_newer_forge_is_refused_in_words(tmp_path: Path):
    """An unknown revision is not guessed at."""
    path = tmp_path / "forge.db"
    async with Database.open(path) as database, database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num='9999_later'"))
    with pytest.raises(LedgerError, match="9999_later"):
        async with Database.open(path):
            pass


async def test_a_file_that_is_no_database_is_named_corrupt(tmp_path: Path):
    """Garbage is answered with LedgerCorrupt, not with a driver's exception."""
    path = tmp_path / "forge.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(LedgerCorrupt, match=r"forge\.db"):
        async with Database.open(path):
            pass


async def test_a_folder_that_cannot_be_made_is_the_hosts_fault(tmp_path: Path):
    """A file where a folder is wanted gives HostUnfit with the path."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(HostUnfit, match="cannot be made"):
        async with Database.open(tmp_path / "file" / "forge.db"):
            pass


async def test_the_ledgers_rows_can_be_neither_changed_nor_removed(tmp_path: Path):
    """The database itself refuses to rewrite events."""
    async with Database.open(tmp_path / "forge.db") as database:
        async with database.writing() as connection:
            await connection.execute(
                text("INSERT INTO runs VALUES ('run_1','t','o','m','t','running',NULL,NULL,NULL)")
            )
            await connection.execute(
                text("INSERT INTO events VALUES ('run_1',1,'t','x','{}','','h')")
            )
        for statement in ("UPDATE events SET body='{1}'", "DELETE FROM events"):
            with pytest.raises(LedgerUnwritable, match="append-only"):
                async with database.writing() as connection:
                    await connection.execute(text(statement))


async def test_an_error_inside_a_transaction_rolls_it_back(tmp_path: Path):
    """What was written before the error is not there afterwards, and the next writer may go."""

    async def breaks_off(database: Database) -> None:
        async with database.writing() as connection:
            await connection.execute(
                text("INSERT INTO runs VALUES ('run_1','t','o','m','t','running',NULL,NULL,NULL)")
            )
            raise ZeroDivisionError

    async with Database.open(tmp_path / "forge.db") as database:
        with pytest.raises(ZeroDivisionError):
            await breaks_off(database)
        async with database.writing() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM runs")) == 0
