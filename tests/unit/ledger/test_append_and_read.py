"""What is appended is durable, numbered, chained, and comes back equal or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from forge.clock import stamp
from forge.errors import LedgerCorrupt, LedgerUnwritable, RunNotFound
from forge.events import (
    Caps,
    ModelText,
    Notice,
    Record,
    RunFinished,
    RunStarted,
    ToolDisplayed,
    Totals,
)
from forge.ids import RunId, new_run_id
from forge.ledger.append import Appender, LedgerWriter
from forge.ledger.chain import canonical, link
from forge.ledger.read import LedgerReader
from forge.store.database import Database
from forge.testing.clock import FakeClock

STARTED = RunStarted(prompt="add  1\nand 2", model="offline:echo", template="base", caps=Caps())
FINISHED = RunFinished(status="done", answer="3", totals=Totals(wall_s=1.5))


async def begun(database: Database) -> tuple[RunId, Appender]:
    clock = FakeClock()
    run_id = new_run_id(clock.now())
    appender, _ = await LedgerWriter(database, clock).begin(run_id, "owner", STARTED)
    return run_id, appender


async def tampered(database: Database, statement: str, **values: Any) -> None:
    """Change rows as someone with the file in hand could: without the triggers."""
    async with database.writing() as connection:
        where = "" if database.dialect == "sqlite" else " ON events"
        for verb in ("update", "delete"):
            await connection.execute(text(f"DROP TRIGGER IF EXISTS events_no_{verb}{where}"))
        await connection.execute(text(statement), values)


async def test_records_are_numbered_from_one_and_chained(database: Database):
    """Each record's prev is the hash of the one before; the first has none."""
    run_id, appender = await begun(database)
    appended = await appender.append(Notice(text="a"), Notice(text="b"))
    records = await LedgerReader(database).records(run_id)
    assert [record.seq for record in records] == [1, 2, 3]
    assert records[1:] == appended
    assert [record.prev for record in records] == ["", records[0].hash, records[1].hash]
    assert await LedgerReader(database).records(run_id, after=2) == appended[1:]
    assert await LedgerReader(database).records(run_id, after=3) == ()


def test_the_hash_is_the_one_the_documentation_promises():
    """SHA-256 of RFC 8785 JSON of {at, event, prev, run_id, seq}, by the library alone."""
    import hashlib

    event = ToolDisplayed(step=1, call_id="c", data={"text/plain": 'é "\\ \u2028', "z": "\x01"})
    at = FakeClock().now()
    whole = {
        "run_id": "run_1",
        "seq": 7,
        "at": stamp(at),
        "event": event.model_dump(mode="json"),
        "prev": "ab",
    }
    assert (
        link(RunId("run_1"), 7, stamp(at), canonical(event).text, "ab")
        == hashlib.sha256(rfc8785.dumps(whole)).hexdigest()
    )


async def test_a_second_appender_of_the_same_run_is_refused(database: Database):
    """The loser of the race is told, the winner's record stands, the chain verifies."""
    run_id, first = await begun(database)
    reader = LedgerReader(database)
    second = LedgerWriter(database, FakeClock()).resume(run_id, (await reader.records(run_id))[-1])
    (kept,) = await first.append(Notice(text="first"))
    with pytest.raises(LedgerUnwritable, match="same row"):
        await second.append(Notice(text="second"))
    with pytest.raises(LedgerUnwritable):
        await second.append(Notice(text="again"))
    assert (await reader.records(run_id))[-1] == kept
    assert await reader.verify(run_id) == 2


async def test_nothing_follows_the_last_event(database: Database):
    """After run.finished the appender refuses, also one that resumes after it."""
    run_id, appender = await begun(database)
    (last,) = await appender.append(FINISHED)
    with pytest.raises(LedgerUnwritable):
        await appender.append(Notice(text="late"))
    resumed = LedgerWriter(database, FakeClock()).resume(run_id, last)
    with pytest.raises(LedgerUnwritable):
        await resumed.append(Notice(text="later"))
    summary = await LedgerReader(database).find(run_id)
    assert (summary.status, summary.finished_at) == ("done", last.at)
    assert summary.title == "add 1 and 2"


async def test_a_batch_is_kept_whole_or_not_at_all(database: Database):
    """An event that JSON cannot hold refuses its batch; the appender goes on."""
    run_id, appender = await begun(database)
    with pytest.raises(LedgerUnwritable, match=r"model\.responded|artifact\.saved|run\.finished"):
        await appender.append(
            Notice(text="x"), FINISHED.model_copy(update={"totals": Totals(wall_s=float("inf"))})
        )
    await appender.append(FINISHED)
    assert await LedgerReader(database).verify(run_id) == 2


async def test_text_that_utf8_cannot_hold_is_replaced_in_what_is_shown_too(database: Database):
    """A lone surrogate becomes U+FFFD in the record returned and in the record read."""
    run_id, appender = await begun(database)
    (shown,) = await appender.append(
        ToolDisplayed(step=1, call_id="c\udcff", data={"k\ud800": "a\ud83d\ude00b"})
    )
    assert isinstance(shown.event, ToolDisplayed)
    assert shown.event.call_id == "c\ufffd"
    assert list(shown.event.data.values()) == ["a\U0001f600b"]
    assert (await LedgerReader(database).records(run_id))[-1] == shown


async def test_a_ledger_that_cannot_be_written_says_so(database: Database):
    """A closed or broken database gives LedgerUnwritable, whatever the driver raised."""
    _, appender = await begun(database)
    async with database.writing() as connection:
        await connection.execute(text("DROP TABLE events"))
    with pytest.raises(LedgerUnwritable):
        await appender.append(Notice(text="x"))


async def test_a_prompt_that_no_text_column_can_hold_is_kept_in_the_ledger_whole(
    database: Database,
):
    """NUL, which PostgreSQL's text refuses, is in the event as it was, and not in the title."""
    clock = FakeClock()
    run_id, started = new_run_id(clock.now()), STARTED.model_copy(update={"prompt": "a\0b"})
    await LedgerWriter(database, clock).begin(run_id, "owner", started)
    reader = LedgerReader(database)
    assert (await reader.records(run_id))[0].event == started
    assert (await reader.find(run_id)).title == "a\ufffdb"


async def test_a_prefix_that_is_not_ambiguous_finds_its_run(database: Database):
    """Ids may be shortened and their run_ left out; wildcards are only letters."""
    run_id, _ = await begun(database)
    reader = LedgerReader(database)
    assert (await reader.find(run_id[:-2])).id == run_id
    assert (await reader.find(run_id.removeprefix("run_")[:-1])).id == run_id
    for unknown in ("run_zzz", "%", "_", "x" * 5000):
        with pytest.raises(RunNotFound):
            await reader.find(unknown)
    with pytest.raises(RunNotFound):
        await reader.records(RunId("run_none"))
    other = RunId(run_id[:-1] + ("0" if run_id[-1] != "0" else "1"))
    await LedgerWriter(database, FakeClock()).begin(other, "owner", STARTED)
    assert (await reader.find(run_id)).id == run_id
    with pytest.raises(RunNotFound, match="More than one"):
        await reader.find(run_id[:-1])


async def test_runs_are_listed_newest_first_and_in_pages(database: Database):
    """`before` takes up where a page ended; running runs are listed apart."""
    clock, ids = FakeClock(), []
    writer = LedgerWriter(database, clock)
    for number in range(5):
        clock.advance(1)
        ids.append(new_run_id(clock.now()))
        appender, _ = await writer.begin(ids[-1], f"owner {number}", STARTED)
        if number != 2:
            await appender.append(FINISHED)
    reader = LedgerReader(database)
    first = await reader.runs(limit=3)
    rest = await reader.runs(limit=3, before=first[-1].id)
    assert [run.id for run in (*first, *rest)] == ids[::-1]
    assert [run.owner for run in await reader.running()] == ["owner 2"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET body = replace(body, 'b', 'c') WHERE seq = 3",
        "UPDATE events SET body = body || ' ' WHERE seq = 3",
        "UPDATE events SET at = replace(at, '2030', '2031') WHERE seq = 3",
        "UPDATE events SET type = 'tool.output' WHERE seq = 3",
        "UPDATE events SET hash = prev WHERE seq = 3",
        "UPDATE events SET prev = '' WHERE seq = 3",
        "DELETE FROM events WHERE seq = 3",
        "DELETE FROM events WHERE seq = 1",
        "UPDATE events SET seq = 9 WHERE seq = 3",
        "DELETE FROM events WHERE seq > 3",
        "DELETE FROM events",
        "UPDATE runs SET status = 'running'",
    ],
)
async def test_whatever_is_changed_the_check_finds(database: Database, statement: str):
    """Any field changed, any record left out, and an end cut off a finished run, are found."""
    run_id, appender = await begun(database)
    await appender.append(Notice(text="a"), Notice(text="b"), Notice(text="c"), FINISHED)
    assert await LedgerReader(database).verify(run_id) == 5
    await tampered(database, statement)
    with pytest.raises(LedgerCorrupt, match=run_id):
        await LedgerReader(database).verify(run_id)


async def test_text_that_is_none_is_found(tmp_path: Path):
    """Bytes that are no UTF-8, which only SQLite would store as text, are named corrupt."""
    async with Database.open(tmp_path / "forge.db") as database:
        run_id, appender = await begun(database)
        await appender.append(Notice(text="a"), Notice(text="b"))
        await tampered(database, "UPDATE events SET body = CAST(x'7bff7d' AS TEXT) WHERE seq = 3")
        with pytest.raises(LedgerCorrupt, match=run_id):
            await LedgerReader(database).verify(run_id)


async def test_a_record_of_a_newer_forge_is_named_not_guessed(database: Database):
    """An event type this version does not know is refused with the record's number."""
    run_id, appender = await begun(database)
    (record,) = await appender.append(Notice(text="a"))
    body = rfc8785.dumps({"type": "later.event"}).decode()
    await tampered(
        database,
        "UPDATE events SET body = :body, type = 'later.event', hash = :hash WHERE seq = 2",
        body=body,
        hash=link(run_id, 2, stamp(record.at), body, record.prev),
    )
    with pytest.raises(LedgerCorrupt, match="Record 2"):
        await LedgerReader(database).records(run_id)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    texts=st.lists(st.text(st.characters(), max_size=60), min_size=1, max_size=6),
    number=st.floats(allow_nan=False, allow_infinity=False),
    position=st.integers(min_value=0),
    bit=st.integers(0, 6),
)
async def test_append_and_read_are_inverse_and_no_byte_changes_unseen(
    database: Database,
    texts: list[str],
    number: float,
    position: int,
    bit: int,
):
    """What is read equals what was appended; a flipped bit in a stored body is always found."""
    run_id, appender = await begun(database)
    events = [ModelText(step=1, text=words) for words in texts]
    last = FINISHED.model_copy(update={"totals": Totals(wall_s=number)})
    appended = await appender.append(*events, last)
    reader = LedgerReader(database)
    records = await reader.records(run_id)
    assert records[1:] == appended
    assert await reader.verify(run_id) == len(texts) + 2

    victim = records[position % len(records)]
    stored = canonical(victim.event).text.encode()
    place = position % len(stored)
    changed = stored[:place] + bytes([stored[place] ^ (1 << bit)]) + stored[place + 1 :]
    # PostgreSQL holds no text that is none, so there the change is what remains of it.
    body = changed if database.dialect == "sqlite" else changed.decode("utf-8", "replace")
    await tampered(
        database,
        "UPDATE events SET body = CAST(:body AS TEXT) WHERE run_id = :run_id AND seq = :seq",
        body=body.replace("\0", "") if isinstance(body, str) else body,
        run_id=run_id,
        seq=victim.seq,
    )
    with pytest.raises(LedgerCorrupt):
        await reader.verify(run_id)


def test_records_are_plain_json_for_other_programs(database: Database):
    """A record dumps to JSON with exactly the documented fields."""
    record = Record(
        run_id=RunId("run_1"), seq=1, at=FakeClock().now(), event=STARTED, prev="", hash="h"
    )
    assert set(json.loads(record.model_dump_json())) == {
        "run_id", "seq", "at", "event", "prev", "hash",
    }  # fmt: skip
