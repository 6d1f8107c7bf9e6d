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
from sqlalchemy import Index, insert, select, text, update

from forge.errors import Conflict, HostUnfit, LedgerCorrupt, LedgerError, LedgerUnwritable
from forge.store.database import Database
from forge.store.migrate import HEAD, MIGRATIONS
from forge.store.tables import EVENTS, METADATA, RUNS

RUN = {
    "id": "run_1",
    "created_at": "t",
    "owner": "o",
    "model": "m",
    "title": "t",
    "status": "running",
}
EVENT = {
    "run_id": "run_1",
    "seq": 1,
    "at": "t",
    "type": "x",
    "body": "{}",
    "prev": "",
    "hash": "h",
}


def is_ours(item: object, name: str | None, *_: object) -> bool:
    """Whether Alembic can compare it: it knows neither the tables that FTS5 makes for its index,
    nor that an index is for one kind of database alone.
    """
    if isinstance(item, Index):
        return item._ddl_if is None
    return name is None or not name.startswith("search_index")


async def test_a_fresh_file_is_made_at_the_newest_revision_in_wal_mode(tmp_path: Path):
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


async def test_the_migrations_make_the_tables_the_code_believes_in(empty_place: Path | str):
    """Alembic finds no difference between the migrated database and `tables.METADATA`."""
    async with (
        Database.open(empty_place) as database,
        database.reading() as connection,
    ):
        differences = await connection.run_sync(
            lambda sync: compare_metadata(
                MigrationContext.configure(
                    sync, opts={"compare_type": True, "include_object": is_ours}
                ),
                METADATA,
            )
        )
    assert differences == []


async def test_opening_an_up_to_date_database_does_not_load_alembic(database_place: Path | str):
    """Alembic costs start-up time, so it is loaded only when there is something to migrate."""
    program = (
        "import asyncio, sys\n"
        "from forge.store.database import Database\n"
        "async def main():\n"
        f"    async with Database.open({str(database_place)!r}): pass\n"
        "asyncio.run(main())\n"
        "assert 'alembic' not in sys.modules\n"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], check=True, timeout=60)


async def test_many_openers_at_once_migrate_once(empty_place: Path | str):
    """Eight concurrent first opens all succeed and find one migrated database."""

    async def opened() -> str:
        async with (
            Database.open(empty_place) as database,
            database.reading() as connection,
        ):
            return str(await connection.scalar(text("SELECT version_num FROM alembic_version")))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(opened()) for _ in range(8)]
    assert {task.result() for task in tasks} == {HEAD}


async def test_a_database_of_a_newer_forge_is_refused_in_words(database_place: Path | str):
    """An unknown revision is not guessed at."""
    async with Database.open(database_place) as database, database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num='9999_later'"))
    with pytest.raises(LedgerError, match="9999_later"):
        async with Database.open(database_place):
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


async def test_the_ledgers_rows_can_be_neither_changed_nor_removed(database: Database):
    """The database itself refuses to rewrite events, one by one or all at once."""
    async with database.writing() as connection:
        await connection.execute(insert(RUNS).values(RUN))
        await connection.execute(insert(EVENTS).values(EVENT))
    statements = ["UPDATE events SET body='{1}'", "DELETE FROM events"]
    if database.dialect == "postgresql":
        statements += ["TRUNCATE events", "TRUNCATE runs CASCADE"]
    for statement in statements:
        with pytest.raises(LedgerUnwritable, match="append-only"):
            async with database.writing() as connection:
                await connection.execute(text(statement))


async def test_the_same_row_twice_is_a_conflict(database: Database):
    """In a transaction and alone; what the row holds is not told, and the next write may go."""
    row = dict.fromkeys(column.name for column in RUNS.columns) | RUN
    await database.insert(RUNS, row)
    with pytest.raises(Conflict, match="already"):
        await database.insert(RUNS, row)
    with pytest.raises(Conflict, match="already"):
        async with database.writing() as connection:
            await connection.execute(insert(RUNS).values(RUN | {"title": "told"}))
    with pytest.raises(Conflict, match="one it needs is not"):
        await database.insert(EVENTS, EVENT | {"run_id": "run_2"})
    await database.insert(EVENTS, EVENT)


async def test_an_error_inside_a_transaction_rolls_it_back(database: Database):
    """What was written before the error is not there afterwards, and the next writer may go."""

    async def breaks_off() -> None:
        async with database.writing() as connection:
            await connection.execute(insert(RUNS).values(RUN))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await breaks_off()
    async with database.writing() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM runs")) == 0


async def test_a_reader_sees_one_moment(database: Database):
    """What others commit while a block reads is not in it, and a reader can change nothing."""
    async with database.reading() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM runs")) == 0
        async with database.writing() as other:
            await other.execute(insert(RUNS).values(RUN))
        assert await connection.scalar(text("SELECT count(*) FROM runs")) == 0
    async with database.reading() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM runs")) == 1


async def test_whoever_reads_to_change_waits_for_the_other(database: Database):
    """Twenty tasks that each add one to what they read, asking for the row's lock, add twenty."""
    async with database.writing() as connection:
        await connection.execute(insert(RUNS).values(RUN | {"title": "0"}))

    async def add_one() -> None:
        async with database.writing() as connection:
            query = select(RUNS.c.title).where(RUNS.c.id == "run_1").with_for_update()
            seen = int(await connection.scalar(query) or 0)
            await connection.execute(update(RUNS).values(title=str(seen + 1)))

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(add_one())
    async with database.reading() as connection:
        assert await connection.scalar(select(RUNS.c.title)) == "20"
