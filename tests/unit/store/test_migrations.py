"""A database of any earlier version is brought forward with every row in it as it was."""

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    create_engine,
    select,
)
from sqlalchemy.pool import NullPool

from forge.clock import SystemClock
from forge.events import Caps, RunStarted
from forge.ids import new_run_id
from forge.ledger.append import LedgerWriter
from forge.ledger.read import LedgerReader
from forge.store.database import Database
from forge.store.migrate import MIGRATIONS, migrate


def revisions() -> list[str]:
    """Every revision, oldest first."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][
        ::-1
    ]


def value_of(column: Column[object]) -> object:
    """Something of the column's type, the same in all columns of a type, so that keys meet."""
    match column.type:
        case Boolean():
            return True
        case Integer():
            return 1
        case LargeBinary():
            return b"x\0\xff"
        case _:
            return "é"


def tables_of(connection: Connection) -> list[Table]:
    """What Forge keeps at this revision, parents first."""
    metadata = MetaData()
    metadata.reflect(
        connection,
        only=lambda name, _: name != "alembic_version" and not name.startswith("search_index"),
    )
    return metadata.sorted_tables


def rows_of(connection: Connection, tables: list[Table]) -> dict[str, list[dict[str, object]]]:
    return {
        table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
        for table in tables
    }


@pytest.mark.parametrize("revision", revisions())
async def test_rows_of_every_version_are_kept(empty_place: Path | str, revision: str):
    """Each table of the revision has a row; opened by this version, each value is as it was, and
    runs can be written.
    """
    url = f"sqlite:///{empty_place}"
    if isinstance(empty_place, str):
        url = empty_place.replace("postgresql:", "postgresql+psycopg:", 1)
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        migrate(connection, revision)
        tables = tables_of(connection)
        for table in tables:
            row = {column.name: value_of(column) for column in table.columns}
            connection.execute(table.insert().values(row))
        before = rows_of(connection, tables)
    assert all(len(rows) == 1 for rows in before.values())

    async with Database.open(empty_place) as database:
        with engine.connect() as connection:
            assert rows_of(connection, tables) == before
        clock = SystemClock()
        run_id = new_run_id(clock.now())
        started = RunStarted(prompt="go", model="m:m", template="base", caps=Caps())
        await LedgerWriter(database, clock).begin(run_id, "owner", started)
        assert await LedgerReader(database).verify(run_id) == 1
