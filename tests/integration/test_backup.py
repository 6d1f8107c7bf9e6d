"""A backup made while runs go on is whole, goes back anywhere, and lets nothing else in."""

import asyncio
import hashlib
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, insert, select
from sqlalchemy.pool import NullPool

from forge.clock import SystemClock
from forge.errors import (
    BackupRefused,
    Conflict,
    ForgeError,
    HostUnfit,
    LedgerCorrupt,
    LedgerError,
    LedgerUnwritable,
)
from forge.events import ArtifactSaved, Caps, ModelText, Notice, RunStarted
from forge.ids import RunId, new_run_id
from forge.ledger.append import Appender, LedgerWriter
from forge.ledger.read import LedgerReader
from forge.store import search
from forge.store.backup import MANIFEST, Manifest, back_up
from forge.store.blobs import BlobStore
from forge.store.database import Database
from forge.store.migrate import migrate
from forge.store.restore import restore
from forge.store.tables import EVENTS, METADATA, SECRETS, USERS

CLOCK = SystemClock()
STARTED = RunStarted(prompt="go", model="m:m", template="base", caps=Caps())
USER = {
    "id": "usr_1", "created_at": "t", "email": "ann@example.com", "name": "Ann é 😀",
    "role": "admin", "password": None, "disabled_at": None,
}  # fmt: skip
SECRET = {
    "scope": "usr_1", "name": "key", "key_id": "k", "wrapped": b"\0\xff", "sealed": b"",
    "updated_at": "t",
}  # fmt: skip


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def begin(database: Database) -> tuple[RunId, Appender]:
    run_id = new_run_id(CLOCK.now())
    appender, _ = await LedgerWriter(database, CLOCK).begin(run_id, "owner", STARTED)
    return run_id, appender


async def fill(database: Database, blobs: BlobStore) -> RunId:
    """A user, a secret, something said, and a run with a file."""
    run_id, appender = await begin(database)
    blob = await blobs.put(pieces(b"made" * 1000), limit=10_000)
    await appender.append(
        ArtifactSaved(name="made.txt", sha256=blob.sha256, size=blob.size, step=1),
        Notice(text="text with \0 and 😀"),
    )
    async with database.writing() as connection:
        await connection.execute(insert(USERS).values(USER))
        await connection.execute(insert(SECRETS).values(SECRET))
        await search.add(
            connection, user_id="usr_1", conversation_id="c", message_id="m", said="a café"
        )
    return run_id


async def saved(database: Database, blobs: BlobStore, path: Path) -> Manifest:
    return await back_up(database, blobs, path, version="0.1.0", now=CLOCK.now())


async def check(database: Database) -> None:
    await LedgerReader(database).verify_all()


async def rows(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Everything that is kept, but for what each database makes for itself."""
    kept = {}
    async with database.reading() as connection:
        for table in METADATA.sorted_tables:
            columns = [column for column in table.columns if column.name not in ("words", "number")]
            found = await connection.execute(select(*columns))
            kept[table.name] = sorted((tuple(row) for row in found), key=str)
    return kept


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None], *, signed: bool) -> Path:
    """The archive with members changed, its manifest made to fit where it is `signed` anew."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    if signed:
        manifest = json.loads(members[MANIFEST])
        manifest["members"] = {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            for name, content in members.items()
            if name != MANIFEST
        }
        members[MANIFEST] = json.dumps(manifest).encode()
    other = path.with_name("other.zip")
    with zipfile.ZipFile(other, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return other


async def test_a_backup_goes_back_to_either_kind_of_database(
    database: Database, empty_place: Path | str, tmp_path: Path, postgres
):
    """Every row and file is there again, on SQLite and on PostgreSQL; the ledger cannot be
    rewritten there, and what was said is found.
    """
    blobs = BlobStore(tmp_path / "blobs")
    run_id = await fill(database, blobs)
    await saved(database, blobs, tmp_path / "backup.zip")
    before = await rows(database)
    with postgres.database(empty=True) as url:
        for number, place in enumerate((tmp_path / "restored.db", url)):
            kept = BlobStore(tmp_path / f"blobs {number}")
            async with Database.open(place) as restored:
                await restore(tmp_path / "backup.zip", restored, kept, check)
                assert await rows(restored) == before
                reader = LedgerReader(restored)
                artifact = (await reader.records(run_id))[1].event
                assert isinstance(artifact, ArtifactSaved)
                assert await kept.verify(artifact.sha256) == 4000
                async with restored.reading() as connection:
                    assert (await search.search(connection, "usr_1", "cafe")).found
                with pytest.raises(LedgerUnwritable, match="append-only"):
                    async with restored.writing() as connection:
                        await connection.execute(EVENTS.delete())
                # What was going on goes on.
                head = (await reader.records(run_id))[-1]
                await LedgerWriter(restored, CLOCK).resume(run_id, head).append(Notice(text="on"))
                await reader.verify(run_id)


async def test_a_backup_is_of_one_moment_while_runs_go_on(database: Database, tmp_path: Path):
    """Four writers append as fast as they can during five backups; each holds whole chains, a
    beginning of what was written, and every file that its rows lead to.
    """
    blobs, stop = BlobStore(tmp_path / "blobs"), asyncio.Event()

    async def write(run_id: RunId, appender: Appender) -> RunId:
        for number in range(100_000):
            if stop.is_set():
                break
            blob = await blobs.put(pieces(f"{run_id} {number}".encode()), limit=100)
            await appender.append(
                ArtifactSaved(name="f", sha256=blob.sha256, size=blob.size, step=1),
                ModelText(step=1, text="word " * 50),
            )
        return run_id

    begun = [await begin(database) for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        writers = [group.create_task(write(*each)) for each in begun]
        made = []
        for number in range(5):
            made.append(await saved(database, blobs, tmp_path / f"{number}.zip"))
            await database_moved_on(database, writers[0])
        stop.set()
    written = {
        task.result(): await LedgerReader(database).records(task.result()) for task in writers
    }
    sizes = []
    for number, manifest in enumerate(made):
        assert manifest.missing == ()
        async with Database.open(tmp_path / f"{number}.db") as restored:
            kept = BlobStore(tmp_path / f"blobs {number}")
            await restore(tmp_path / f"{number}.zip", restored, kept, check)
            total = 0
            for run_id, records in written.items():
                there = await LedgerReader(restored).records(run_id)
                assert there == records[: len(there)]
                total += len(there)
            sizes.append(total)
    assert sizes == sorted(set(sizes))


async def database_moved_on(database: Database, writer: "asyncio.Task[RunId]") -> None:
    """Until there are more events than there were, so that two backups differ."""
    query = select(func.count()).select_from(EVENTS)
    async with database.reading() as connection:
        before = await connection.scalar(query) or 0
    while not writer.done():
        async with database.reading() as connection:
            if (await connection.scalar(query) or 0) > before:
                return


async def test_what_is_there_is_replaced_only_when_forced(database: Database, tmp_path: Path):
    """Not empty is refused and left as it was; forced, all of it goes, the ledger too."""
    blobs = BlobStore(tmp_path / "blobs")
    await fill(database, blobs)
    await saved(database, blobs, tmp_path / "backup.zip")
    backed_up = await rows(database)
    await begin(database)
    before = await rows(database)
    with pytest.raises(Conflict, match="not empty"):
        await restore(tmp_path / "backup.zip", database, blobs, check)
    assert await rows(database) == before
    await restore(tmp_path / "backup.zip", database, blobs, check, force=True)
    assert await rows(database) == backed_up
    with pytest.raises(LedgerUnwritable, match="append-only"):
        async with database.writing() as connection:
            await connection.execute(EVENTS.delete())


def name_a_path(members: dict[str, bytes]) -> None:
    members["../../etc/evil"] = b"x"


def name_a_table_path(members: dict[str, bytes]) -> None:
    members["tables/../../evil.jsonl"] = b"{}\n"


def lie_about_a_blob(members: dict[str, bytes]) -> None:
    name = next(name for name in members if name.startswith("blobs/"))
    members[name] = b"other"


def add_a_column(members: dict[str, bytes]) -> None:
    row = json.loads(members["tables/users.jsonl"]) | {"evil": "x"}
    members["tables/users.jsonl"] = json.dumps(row).encode()


def leave_out_a_parent(members: dict[str, bytes]) -> None:
    members["tables/runs.jsonl"] = b""


def write_no_json(members: dict[str, bytes]) -> None:
    members["tables/users.jsonl"] = b"{'a"


def write_a_list(members: dict[str, bytes]) -> None:
    members["tables/users.jsonl"] = b"[1]\n"


def nest_deeply(members: dict[str, bytes]) -> None:
    members["tables/users.jsonl"] = b"[" * 1_000_000


@pytest.mark.parametrize(
    "signed", [True, False], ids=["its manifest fits", "its manifest does not"]
)
@pytest.mark.parametrize(
    "change",
    [
        name_a_path, name_a_table_path, lie_about_a_blob, add_a_column, leave_out_a_parent,
        write_no_json, write_a_list, nest_deeply,
    ],
    ids=lambda change: change.__name__,
)  # fmt: skip
async def test_an_archive_that_was_changed_is_refused_and_changes_nothing(
    tmp_path: Path, change: Callable[[dict[str, bytes]], None], signed: bool
):
    """Also where whoever changed it made the manifest fit: names, digests and rows are checked."""
    home = tmp_path / "home"
    blobs = BlobStore(home / "blobs")
    async with Database.open(home / "forge.db") as database:
        await fill(database, blobs)
        await saved(database, blobs, tmp_path / "backup.zip")
    other = rewritten(tmp_path / "backup.zip", change, signed=signed)
    await refused(other, tmp_path / "fresh", BackupRefused)


async def refused(path: Path, fresh: Path, kind: type[ForgeError]) -> None:
    """The archive is refused, and nothing but an empty database is there afterwards."""
    async with Database.open(fresh / "forge.db") as restored:
        with pytest.raises(kind):
            await restore(path, restored, BlobStore(fresh / "blobs"), check)
        assert set(map(len, (await rows(restored)).values())) == {0}
    assert not (fresh / "blobs").exists()


async def test_a_ledger_that_was_changed_is_refused(tmp_path: Path):
    """A record changed inside an archive whose manifest fits breaks its chain."""

    def change(members: dict[str, bytes]) -> None:
        members["tables/events.jsonl"] = members["tables/events.jsonl"].replace(
            b"made.txt", b"evil"
        )

    blobs = BlobStore(tmp_path / "blobs")
    async with Database.open(tmp_path / "forge.db") as database:
        await fill(database, blobs)
        await saved(database, blobs, tmp_path / "backup.zip")
    other = rewritten(tmp_path / "backup.zip", change, signed=True)
    await refused(other, tmp_path / "fresh", LedgerCorrupt)


async def test_a_backup_of_a_newer_forge_is_named(tmp_path: Path):
    """Its revision is not guessed at."""

    def change(members: dict[str, bytes]) -> None:
        members[MANIFEST] = members[MANIFEST].replace(b"0008_search", b"9999_later")

    async with Database.open(tmp_path / "forge.db") as database:
        await saved(database, BlobStore(tmp_path / "blobs"), tmp_path / "backup.zip")
    await refused(
        rewritten(tmp_path / "backup.zip", change, signed=False), tmp_path / "fresh", LedgerError
    )


@pytest.mark.parametrize("cut", [0, 1, 100, -1, -30])
async def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, cut: int):
    """Empty, cut short, and not there at all."""
    async with Database.open(tmp_path / "forge.db") as database:
        await saved(database, BlobStore(tmp_path / "blobs"), tmp_path / "backup.zip")
    (tmp_path / "cut.zip").write_bytes((tmp_path / "backup.zip").read_bytes()[:cut])
    await refused(tmp_path / "cut.zip", tmp_path / "fresh", BackupRefused)
    await refused(tmp_path / "none.zip", tmp_path / "fresh", BackupRefused)


async def test_a_backup_of_an_earlier_version_is_brought_forward(tmp_path: Path):
    """Rows of the first revision go into a database of this one."""
    engine = create_engine(f"sqlite:///{tmp_path / 'old.db'}", poolclass=NullPool)
    async with Database.open(tmp_path / "forge.db") as database:
        run_id, _ = await begin(database)
        await saved(database, BlobStore(tmp_path / "blobs"), tmp_path / "backup.zip")
    with engine.begin() as connection:
        migrate(connection, "0001_run_ledger")

    def change(members: dict[str, bytes]) -> None:
        members[MANIFEST] = members[MANIFEST].replace(b"0008_search", b"0001_run_ledger")
        row = json.loads(members["tables/runs.jsonl"])
        members["tables/runs.jsonl"] = json.dumps(
            {
                name: value
                for name, value in row.items()
                if name not in ("user_id", "conversation_id")
            }
        ).encode()
        for name in list(members):
            if name.startswith("tables/") and name not in (
                "tables/runs.jsonl",
                "tables/events.jsonl",
            ):
                del members[name]

    old = rewritten(tmp_path / "backup.zip", change, signed=True)
    async with Database.open(tmp_path / "fresh.db") as restored:
        await restore(old, restored, BlobStore(tmp_path / "fresh"), check)
        assert await LedgerReader(restored).verify(run_id) == 1


async def test_a_backup_replaces_no_file_and_leaves_none_half_written(tmp_path: Path):
    """A file that is there stays; one that cannot be written is the host's fault."""
    (tmp_path / "backup.zip").write_text("mine")
    async with Database.open(tmp_path / "forge.db") as database:
        for path in (tmp_path / "backup.zip", tmp_path / "none" / "backup.zip"):
            with pytest.raises(HostUnfit, match="cannot be written"):
                await saved(database, BlobStore(tmp_path / "blobs"), path)
    assert (tmp_path / "backup.zip").read_text() == "mine"
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith("forge.db")}
    assert left == {"backup.zip"}


async def test_a_file_that_was_lost_before_is_told(tmp_path: Path):
    """The backup is made, and names what the rows lead to and is not there."""
    blobs = BlobStore(tmp_path / "blobs")
    async with Database.open(tmp_path / "forge.db") as database:
        await fill(database, blobs)
        (sha256,) = (await saved(database, blobs, tmp_path / "whole.zip")).members.keys() & {
            f"blobs/{hashlib.sha256(b'made' * 1000).hexdigest()}"
        }
        await blobs.delete(sha256.removeprefix("blobs/"))
        manifest = await saved(database, blobs, tmp_path / "backup.zip")
    assert manifest.missing == (sha256.removeprefix("blobs/"),)
