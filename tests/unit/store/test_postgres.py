"""What a PostgreSQL server does to us is said in words, never with the password, and outlived."""

import asyncio
import traceback

import pytest
from sqlalchemy import insert, text

from forge.errors import (
    DatabaseBusy,
    DatabaseRefused,
    DatabaseUnreachable,
    ForgeError,
    InputRefused,
    NoSpace,
    SettingsInvalid,
)
from forge.store.database import Database
from forge.store.postgres import PostgresBackend
from forge.store.tables import RUNS
from forge.testing.postgres import Cluster, cluster

SECRET = "hunter2-hunter2"
RUN = {column.name: None for column in RUNS.columns} | {
    "id": "run_1",
    "created_at": "t",
    "owner": "o",
    "model": "m",
    "title": "t",
    "status": "running",
}


async def refusal(url: str) -> ForgeError:
    """How opening fails; neither its words nor its traceback hold the password."""
    with pytest.raises(ForgeError) as caught:
        async with Database.open(url):
            pass
    error = caught.value
    assert (
        SECRET not in f"{error.message} {error.hint} {''.join(traceback.format_exception(error))}"
    )
    return error


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://forge:{SECRET}@host/db",
        f"postgresql://forge:{SECRET}@host:port/db",
        f"://{SECRET}",
        f"postgresql+asyncpg://forge:{SECRET}@host/db",
    ],
)
async def test_a_url_of_something_else_is_refused(url: str):
    """It names the setting and its form."""
    error = await refusal(url)
    assert isinstance(error, SettingsInvalid)
    assert "FORGE_DATABASE_URL" in error.hint


async def test_a_server_that_is_not_there_is_unreachable():
    """Nothing listens on the port: it may be tried again."""
    error = await refusal(f"postgresql://forge:{SECRET}@127.0.0.1:1/forge")
    assert isinstance(error, DatabaseUnreachable)
    assert "127.0.0.1" in error.message
    assert error.retry


async def test_a_wrong_password_is_named(postgres: Cluster):
    """The server's own reason is there, and it is not to be tried again."""
    postgres.run("CREATE ROLE locked LOGIN PASSWORD 'right'")
    try:
        error = await refusal(postgres.url("postgres", user="locked", password=SECRET))
    finally:
        postgres.run("DROP ROLE locked")
    assert isinstance(error, DatabaseRefused)
    assert "password authentication failed" in error.message
    assert not error.retry


async def test_a_database_that_is_not_there_is_named(postgres: Cluster):
    """So is an option that the driver does not know."""
    error = await refusal(postgres.url("none", password=SECRET))
    assert isinstance(error, DatabaseRefused)
    assert '"none" does not exist' in error.message
    error = await refusal(postgres.url("postgres", password=SECRET) + "&pgbouncer=true")
    assert "pgbouncer" in error.message


async def test_a_user_who_may_not_make_tables_is_told_so(postgres: Cluster):
    """The hint says what to grant."""
    with postgres.database(empty=True) as url:
        postgres.run("CREATE ROLE guest LOGIN")
        try:
            error = await refusal(url.replace("forge@", f"guest:{SECRET}@", 1))
        finally:
            postgres.run("DROP ROLE guest")
    assert isinstance(error, DatabaseRefused)
    assert "permission denied for schema public" in error.message
    assert "granted CREATE" in error.hint


async def test_a_database_that_cannot_hold_every_text_is_refused(postgres: Cluster):
    """The encoding is checked before a table is made."""
    postgres.run("CREATE DATABASE latin ENCODING latin1 LOCALE_PROVIDER libc TEMPLATE template0")
    try:
        error = await refusal(postgres.url("latin"))
    finally:
        postgres.run("DROP DATABASE latin")
    assert isinstance(error, DatabaseRefused)
    assert "LATIN1" in error.message


async def test_connections_that_were_cut_while_idle_are_replaced_unseen(postgres: Cluster):
    """After the server has ended them all, reading, writing and inserting go on."""
    with postgres.database() as url:
        async with Database.open(url) as database:
            for use in (read, write, put):
                await read(database)
                cut(postgres, url)
                await use(database)


async def test_a_connection_that_is_cut_in_the_middle_is_told_so(postgres: Cluster):
    """The transaction fails as unreachable, the next one goes."""
    with postgres.database() as url:
        async with Database.open(url) as database:

            async def cut_off() -> None:
                async with database.writing() as connection:
                    await connection.execute(text("SELECT 1"))
                    cut(postgres, url)
                    await connection.execute(text("SELECT 1"))

            with pytest.raises(DatabaseUnreachable) as caught:
                await cut_off()
            assert not caught.value.outcome_known
            await read(database)


async def test_an_insert_that_is_cancelled_leaves_a_connection_that_works(postgres: Cluster):
    """A hundred cancelled inserts later the pool is as good as new."""
    with postgres.database() as url:
        async with Database.open(url) as database:
            for number in range(100):
                row = RUN | {"id": f"run_{number}"}
                task = asyncio.ensure_future(database.insert(RUNS, row))
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
            await database.insert(RUNS, RUN | {"id": "run_last"})
            async with asyncio.TaskGroup() as group:
                for _ in range(32):
                    group.create_task(read(database))


async def test_a_restarted_server_is_used_again():
    """Stopped, it is unreachable; started, everything goes on without opening again."""
    with cluster() as server, server.database() as url:
        async with Database.open(url) as database:
            await put(database)
            server.stop()
            with pytest.raises(DatabaseUnreachable):
                await read(database)
            server.start()
            await read(database)
            with pytest.raises(ForgeError, match="already"):
                await put(database)


async def test_a_text_that_postgresql_cannot_keep_is_refused(database: Database):
    """NUL in a text is the input's fault on PostgreSQL; SQLite keeps it."""
    row = RUN | {"title": "a\0b"}
    if database.dialect == "sqlite":
        await database.insert(RUNS, row)
        return
    with pytest.raises(InputRefused, match="NUL"):
        await database.insert(RUNS, row)
    with pytest.raises(InputRefused, match="NUL"):
        async with database.writing() as connection:
            await connection.execute(insert(RUNS).values(row))
    await put(database)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("53100", NoSpace),
        ("53300", DatabaseUnreachable),
        ("57P01", DatabaseUnreachable),
        ("55P03", DatabaseBusy),
        ("40P01", DatabaseBusy),
        ("57014", DatabaseBusy),
        ("42501", DatabaseRefused),
    ],
)
async def test_what_a_server_refuses_has_its_word(
    postgres: Cluster, state: str, kind: type[ForgeError]
):
    """A real server raises each state; a full disk among them says whose disk it is."""
    with postgres.database() as url:
        async with Database.open(url) as database:
            with pytest.raises(kind) as caught:
                async with database.writing() as connection:
                    await connection.execute(
                        text(f"DO $$ BEGIN RAISE EXCEPTION 'it' USING ERRCODE = '{state}'; END $$")
                    )
            assert "it" in caught.value.message
            assert kind is not NoSpace or "server" in caught.value.hint


def test_the_label_has_no_secret():
    """Neither the password nor one among the options is in what people are shown."""
    backend = PostgresBackend(f"postgres://forge:{SECRET}@db.example:5432/forge?password={SECRET}")
    assert backend.label == "The PostgreSQL database 'forge' on db.example"


async def read(database: Database) -> None:
    async with database.reading() as connection:
        await connection.execute(text("SELECT count(*) FROM runs"))


async def write(database: Database) -> None:
    async with database.writing() as connection:
        await connection.execute(text("UPDATE runs SET status = 'done'"))


async def put(database: Database) -> None:
    await database.insert(RUNS, RUN)


def cut(server: Cluster, url: str) -> None:
    """End every connection to a database, as a restart or a firewall would."""
    name = url.split("/")[3].split("?")[0]
    server.run(
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
    )
