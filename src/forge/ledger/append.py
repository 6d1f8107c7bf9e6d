"""Writing the ledger: one appender per run, held by the run's driver alone.

`append` returns when the records are durable (see `forge.store.database` for what that means), and
nothing may be shown to anyone before. Records are numbered from 1 without gaps. A second appender
for the same run finds its number taken and is refused: whoever lost is told, and nothing of the
winner's is overwritten. This is the fence between processes: whoever resumes a run first appends
`run.resumed`, and whoever carried it out until then cannot append any more. After `run.finished`
only `run.resumed` can follow.

An appender holds nothing open between calls. A call that is cancelled or fails leaves the appender
unusable, because whether its records are there is then unknown; let it end, in a task of its own.
"""

from typing import Final

from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from forge.clock import Clock, stamp
from forge.errors import ForgeError, LedgerUnwritable
from forge.events import AnyEvent, Record, RunFinished, RunResumed, RunStarted
from forge.ids import RunId, UserId
from forge.ledger.chain import GENESIS, canonical, link
from forge.store.database import Database
from forge.store.tables import EVENTS, RUNS

TITLE_LENGTH: Final = 200
RUNNING: Final = "running"
_ROW_EVENTS = (RunFinished, RunResumed)
"""Events that change the run's row too."""


class Appender:
    """The end of one run's chain. Made by `LedgerWriter`. Appending nothing does nothing."""

    def __init__(
        self, database: Database, clock: Clock, run_id: RunId, head: Record | None
    ) -> None:
        self._database = database
        self._clock = clock
        self._run_id = run_id
        self._seq = head.seq if head else 0
        self._hash = head.hash if head else GENESIS
        self._closed = False
        self._over = head is not None and isinstance(head.event, RunFinished)

    async def append(self, *events: AnyEvent) -> tuple[Record, ...]:
        """Make the events durable, in order and all or none; returns them in their places.

        Raises:
            LedgerUnwritable: they are not durable, the run is over, or another appender has
                written to this run; this appender is of no more use.
        """
        return await self._write(events, row=None)

    async def _write(
        self, events: tuple[AnyEvent, ...], row: dict[str, str | None] | None
    ) -> tuple[Record, ...]:
        if not events:
            return ()
        if self._closed or (self._over and not isinstance(events[0], RunResumed)):
            raise LedgerUnwritable(f"Nothing can be appended to the run {self._run_id} any more.")
        records, rows = self._chain(events)
        self._closed = True  # until the outcome is known
        last = records[-1]
        try:
            if len(rows) == 1 and row is None and not isinstance(last.event, _ROW_EVENTS):
                await self._database.insert(EVENTS, rows[0])
            else:
                async with self._database.writing() as connection:
                    await self._write_all(connection, records, rows, row)
        except LedgerUnwritable:
            raise
        except ForgeError as error:
            raise LedgerUnwritable(error.message, hint=error.hint) from error
        self._seq, self._hash = last.seq, last.hash
        self._closed, self._over = False, isinstance(last.event, RunFinished)
        return records

    async def _write_all(
        self,
        connection: AsyncConnection,
        records: tuple[Record, ...],
        rows: list[dict[str, str | int]],
        row: dict[str, str | None] | None,
    ) -> None:
        if row is not None:
            await connection.execute(insert(RUNS).values(row))
        await connection.execute(insert(EVENTS), rows)
        last = records[-1]
        if isinstance(last.event, RunFinished):
            changed: dict[str, str | None] = {
                "status": last.event.status,
                "finished_at": stamp(last.at),
            }
        elif isinstance(records[0].event, RunResumed):
            changed = {"status": RUNNING, "finished_at": None}
        else:
            return
        await connection.execute(update(RUNS).where(RUNS.c.id == self._run_id).values(changed))

    def _chain(
        self, events: tuple[AnyEvent, ...]
    ) -> tuple[tuple[Record, ...], list[dict[str, str | int]]]:
        records: list[Record] = []
        rows: list[dict[str, str | int]] = []
        seq, prev = self._seq, self._hash
        for event in events:
            seq, at = seq + 1, self._clock.now()
            kept, text = canonical(event)
            digest = link(self._run_id, seq, stamp(at), text, prev)
            rows.append(
                {
                    "run_id": self._run_id,
                    "seq": seq,
                    "at": stamp(at),
                    "type": event.type,
                    "body": text,
                    "prev": prev,
                    "hash": digest,
                }
            )
            records.append(
                Record(run_id=self._run_id, seq=seq, at=at, event=kept, prev=prev, hash=digest)
            )
            prev = digest
        return tuple(records), rows


def _title(prompt: str) -> str:
    """The beginning of a prompt on one line, without what a database cannot keep as text."""
    line = " ".join(prompt.split())[:TITLE_LENGTH]
    return line.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


class LedgerWriter:
    """Where appenders come from."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin(
        self, run_id: RunId, owner: str, started: RunStarted, user_id: UserId | None = None
    ) -> tuple[Appender, Record]:
        """Open a new run's ledger with its first event. `owner` is the process that carries the
        run out, `user_id` whose it is.

        Raises:
            LedgerUnwritable: it could not be made durable, or the run exists.
        """
        appender = Appender(self._database, self._clock, run_id, None)
        row: dict[str, str | None] = {
            "id": run_id,
            "created_at": stamp(self._clock.now()),
            "owner": owner,
            "model": started.model,
            "title": _title(started.prompt),
            "status": RUNNING,
            "user_id": user_id,
            "conversation_id": started.conversation_id,
        }
        records = await appender._write((started,), row)  # noqa: SLF001 - its own maker
        return appender, records[0]

    def resume(self, run_id: RunId, head: Record) -> Appender:
        """Go on after `head`, the last record read. If it is not the last any more, the first
        append is refused.
        """
        return Appender(self._database, self._clock, run_id, head)

    async def claim(self, run_id: RunId, old: str, new: str) -> bool:
        """Make `new` the owner of a run in place of `old`; False where `old` is not its owner any
        more, so of several who claim it one does.

        Raises:
            LedgerUnwritable, NoSpace, LedgerCorrupt, HostUnfit: as the database says.
        """
        async with self._database.writing() as connection:
            found = await connection.execute(
                update(RUNS).where(RUNS.c.id == run_id, RUNS.c.owner == old).values(owner=new)
            )
            return found.rowcount == 1
