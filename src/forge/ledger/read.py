"""Reading the ledger: lists of runs, a run's records, and the check of its chain.

Every read checks what it reads: a record whose hash does not follow from its bytes and the record
before it is never returned. Readers hold nothing open between calls and never wait for writers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError
from sqlalchemy import Row, Select, func, select
from sqlalchemy.exc import DBAPIError

from forge.clock import stamp
from forge.errors import LedgerCorrupt, RunNotFound
from forge.events import EVENT, Record, RunFinished, RunStatus
from forge.ids import ConversationId, RunId, UserId
from forge.ledger.chain import GENESIS, link
from forge.store.database import Database
from forge.store.tables import EVENTS, RUNS

ViewStatus = RunStatus | Literal["running"]


class RunSummary(NamedTuple):
    """A run in a list. `title` is the beginning of its prompt."""

    id: RunId
    created_at: datetime
    owner: str
    model: str
    title: str
    status: ViewStatus
    finished_at: datetime | None
    user_id: UserId | None = None
    conversation_id: ConversationId | None = None


class Verdict(NamedTuple):
    """Whether a run's chain is whole. `head` is the hash of its last record, which vouches for all
    of them; `broken_at` the number of the first record that is not right, where that is known.
    """

    intact: bool
    records: int | None = None
    head: str | None = None
    broken_at: int | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are wanted; what is left out is any. `since` and `until` are of the beginning,
    `until` not counted; `text` is in the title, in whatever case.
    """

    user_id: UserId | None = None
    status: ViewStatus | None = None
    model: str | None = None
    conversation_id: ConversationId | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""

    def narrowed(self, query: Select[Any]) -> Select[Any]:
        """A query of runs, narrowed to these."""
        for column, value in (
            (RUNS.c.user_id, self.user_id),
            (RUNS.c.status, self.status),
            (RUNS.c.model, self.model),
            (RUNS.c.conversation_id, self.conversation_id),
        ):
            if value is not None:
                query = query.where(column == value)
        if self.since is not None:
            query = query.where(RUNS.c.created_at >= stamp(self.since))
        if self.until is not None:
            query = query.where(RUNS.c.created_at < stamp(self.until))
        said = " ".join(self.text.split())  # as a title is written
        return query.where(RUNS.c.title.icontains(said, autoescape=True)) if said else query


class Page(NamedTuple):
    """Some of a run's records, and its status."""

    status: str
    records: tuple[Record, ...]


class LedgerReader:
    """Reads; never writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def runs(
        self,
        *,
        limit: int = 50,
        before: RunId | None = None,
        wanted: RunFilter | None = None,
    ) -> tuple[RunSummary, ...]:
        """The newest runs first, at most `limit`; `before` goes on after a page's last id."""
        query = select(RUNS).order_by(RUNS.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(RUNS.c.id < before)
        return await self._summaries((wanted or RunFilter()).narrowed(query))

    async def running(self) -> tuple[RunSummary, ...]:
        """The runs that have no last event yet, oldest first."""
        return await self._summaries(
            select(RUNS).where(RUNS.c.status == "running").order_by(RUNS.c.id)
        )

    async def count_open(self, user_id: UserId | None = None) -> int:
        """How many runs have no last event yet: one's own, or all."""
        query = select(func.count()).select_from(RUNS).where(RUNS.c.status == "running")
        if user_id is not None:
            query = query.where(RUNS.c.user_id == user_id)
        async with self._database.reading() as connection:
            return int(await connection.scalar(query) or 0)

    async def find(self, prefix: str, *, user_id: UserId | None = None) -> RunSummary:
        """The one run whose id is, or begins with, `prefix`; `run_` may be left out. With
        `user_id` another's is not found.

        Raises:
            RunNotFound: there is none, or more than one.
        """
        wanted = prefix if prefix.startswith("run_") else f"run_{prefix}"
        query = select(RUNS).where(RUNS.c.id.startswith(wanted, autoescape=True)).limit(2)
        if user_id is not None:
            query = query.where(RUNS.c.user_id == user_id)
        found = await self._summaries(query)
        exact = [run for run in found if run.id == wanted]
        if exact or len(found) == 1:
            return (exact or found)[0]
        if found:
            raise RunNotFound(f"More than one run's id begins with {prefix[:80]!r}.")
        raise RunNotFound(f"There is no run {prefix[:80]!r}.")

    async def run(self, run_id: RunId) -> RunSummary:
        """The run of this very id.

        Raises:
            RunNotFound: there is none.
        """
        found = await self._summaries(select(RUNS).where(RUNS.c.id == run_id))
        if not found:
            raise RunNotFound(f"There is no run {run_id[:80]!r}.")
        return found[0]

    async def records(
        self, run_id: RunId, *, after: int = 0, limit: int | None = None
    ) -> tuple[Record, ...]:
        """A run's records numbered above `after`, in order and at most `limit`, each checked
        against the one before.

        Raises:
            RunNotFound: there is no such run.
            LedgerCorrupt: they do not match their chain; says which record.
        """
        return (await self.page(run_id, after=after, limit=limit)).records

    async def page(self, run_id: RunId, *, after: int = 0, limit: int | None = None) -> Page:
        """The same, with the run's status as it was no later than the records.

        Raises:
            RunNotFound, LedgerCorrupt: as in `records`.
        """
        status, rows = await self._fetch(run_id, after, limit)
        return Page(status, _checked(run_id, after, rows))

    async def verify(self, run_id: RunId) -> int:
        """Check a run's whole chain and its end; returns how many records it has.

        Raises:
            RunNotFound: there is no such run.
            LedgerCorrupt: a record was changed, left out, or cut off the end.
        """
        status, rows = await self._fetch(run_id, 0)
        records = _checked(run_id, 0, rows)
        over = bool(records) and isinstance(records[-1].event, RunFinished)
        if not records or over != (status != "running"):
            raise LedgerCorrupt(
                f"The run {run_id} is listed as {status}, but its ledger ends at record "
                f"{len(records)}.",
                seq=len(records) + 1,
            )
        return len(records)

    async def verdict(self, run_id: RunId) -> Verdict:
        """The same as a value: is the chain whole, or where does it break.

        Raises:
            RunNotFound: there is no such run.
        """
        try:
            count = await self.verify(run_id)
        except LedgerCorrupt as error:
            return Verdict(intact=False, broken_at=error.seq, why=error.message)
        _, (last, *_) = await self._fetch(run_id, count, 0)
        return Verdict(intact=True, records=count, head=last.hash)

    async def verify_all(self) -> int:
        """Check the chain of every run; returns how many runs there are.

        Raises:
            LedgerCorrupt: as in `verify`.
        """
        count, page = 0, await self.runs()
        while page:
            for run in page:
                await self.verify(run.id)
            count += len(page)
            page = await self.runs(before=page[-1].id)
        return count

    async def _fetch(
        self, run_id: RunId, after: int, limit: int | None = None
    ) -> tuple[str, Sequence[Row[Any]]]:
        """The run's status and its rows from `after` on, that one and `limit` more, as they are at
        one moment.
        """
        query = (
            select(EVENTS)
            .where(EVENTS.c.run_id == run_id, EVENTS.c.seq >= after)
            .order_by(EVENTS.c.seq)
        )
        if limit is not None:
            query = query.limit(limit + (after > 0))
        async with self._database.reading() as connection:
            status = await connection.scalar(select(RUNS.c.status).where(RUNS.c.id == run_id))
            if status is None:
                raise RunNotFound(f"There is no run {run_id[:80]!r}.")
            try:
                return status, (await connection.execute(query)).all()
            except DBAPIError as error:  # text that is no text any more, among others
                raise LedgerCorrupt(
                    f"A record of the run {run_id} cannot be read: {error.orig}"
                ) from error

    async def _summaries(self, query: Select[Any]) -> tuple[RunSummary, ...]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(
            RunSummary(
                id=RunId(row.id),
                created_at=datetime.fromisoformat(row.created_at),
                owner=row.owner,
                model=row.model,
                title=row.title,
                status=row.status,
                finished_at=datetime.fromisoformat(row.finished_at) if row.finished_at else None,
                user_id=row.user_id,
                conversation_id=row.conversation_id,
            )
            for row in rows
        )


def _checked(run_id: RunId, after: int, rows: Sequence[Row[Any]]) -> tuple[Record, ...]:
    """The records above `after`; the row at `after` itself, where given, anchors the chain."""
    records: list[Record] = []
    seq, prev = (0, GENESIS) if after == 0 else (after - 1, None)
    for row in rows:
        seq += 1
        if row.seq != seq:
            raise LedgerCorrupt(f"The run {run_id} has no record {seq}.", seq=seq)
        if prev is not None and row.prev != prev:
            raise LedgerCorrupt(
                f"Record {seq} of the run {run_id} does not follow the one before.", seq=seq
            )
        if link(run_id, seq, row.at, row.body, row.prev) != row.hash:
            raise LedgerCorrupt(f"Record {seq} of the run {run_id} was changed.", seq=seq)
        prev = row.hash
        if seq > after:
            records.append(_record(run_id, row))
    return tuple(records)


def _record(run_id: RunId, row: Row[Any]) -> Record:
    try:
        event, at = EVENT.validate_json(row.body), datetime.fromisoformat(row.at)
    except (ValidationError, ValueError) as error:
        raise LedgerCorrupt(
            f"Record {row.seq} of the run {run_id} holds what this version of Forge cannot read.",
            hint="Use the version of Forge that wrote it.",
            seq=row.seq,
        ) from error
    if event.type != row.type or stamp(at) != row.at:
        raise LedgerCorrupt(f"Record {row.seq} of the run {run_id} was changed.", seq=row.seq)
    return Record(run_id=run_id, seq=row.seq, at=at, event=event, prev=row.prev, hash=row.hash)
