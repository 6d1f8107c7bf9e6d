"""Records on their way from the drivers of this process to all who follow their runs.

    driver ─ append (durable) ─ publish ─┬─ line ─ follower
                                         ├─ line ─ follower
    ledger ─ replay ─────────────────────┴─ (and runs that another process carries out)

A run never waits for who follows it: a line holds `LINE` records, and a follower who lets it fill
is let go with `SlowReader` and can come back with the number of its last record. What is handed
over comes from the ledger until its end is reached, then from the line; a record is handed over
once, in order, and never before it is durable. A run that another process carries out has no line
here, so its ledger is looked at every `ELSEWHERE_S`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress

from forge.errors import ForgeError, SlowReader
from forge.events import Record, RunFinished
from forge.ids import RunId
from forge.ledger.read import LedgerReader

LINE = 1024
"""How many records may wait for a follower: seconds of the fastest run."""

PAGE = 500
"""How many records are read from the ledger at once: a slow follower holds no more in memory."""

ELSEWHERE_S = 0.2
"""How often the ledger of a run of another process is looked at; a person hardly notices."""

HERE_S = 5.0
"""The same for a run of this process, whose records come by themselves: only to be sure."""


class _Line:
    """The records that one follower has not taken yet."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[Record] = deque()
        self._news = asyncio.Event()
        self._full = False
        self._left = False
        self._error: ForgeError | None = None

    def put(self, record: Record) -> None:
        if len(self._waiting) >= self._size:
            self._full = True
            self._waiting.clear()
        if not self._full:
            self._waiting.append(record)
        self._news.set()

    def let_go(self) -> None:
        """This process ends, and whoever reads here comes back to the next one."""
        self._left = True
        self._news.set()

    def tell(self, error: ForgeError | None) -> None:
        """The driver left the run; `error` says why where that was not in order."""
        self._error = error
        self._news.set()

    def check(self, last: int) -> None:
        """Raise why there is nothing more to come by this line."""
        if self._full:
            raise SlowReader(
                f"More than {self._size} records of the run were waiting to be read.", after=last
            )
        if self._left:
            raise SlowReader("This server is stopping; the next one goes on.", after=last)
        if self._error is not None and not self._waiting:
            raise self._error

    async def wait(self, seconds: float) -> None:
        """Until there is news, or so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        self._news.clear()

    def take(self) -> tuple[Record, ...]:
        taken = tuple(self._waiting)
        self._waiting.clear()
        return taken


class Publisher:
    """One for each process. It holds the lines of whoever follows now, and no task."""

    def __init__(self, reader: LedgerReader, *, line: int = LINE) -> None:
        self._reader, self._size = reader, line
        self._lines: dict[RunId, set[_Line]] = {}
        self._here: set[RunId] = set()
        self._outside: set[_Line] = set()
        self._leaving = False

    @contextmanager
    def carrying(self, run_id: RunId) -> Iterator[None]:
        """While in this block, this process carries out the run; its followers are told how the
        block is left.
        """
        self._here.add(run_id)
        error: ForgeError | None = None
        try:
            yield
        except ForgeError as failed:
            error = failed
            raise
        finally:
            self._here.discard(run_id)
            for line in self._lines.get(run_id, ()):
                line.tell(error)

    def publish(self, record: Record) -> None:
        """Hand a durable record to all who follow its run. Never waits."""
        for line in self._lines.get(record.run_id, ()):
            line.put(record)

    def let_go(self) -> None:
        """Let all go who follow from outside this process, and whoever comes from now on."""
        self._leaving = True
        for line in self._outside:
            line.let_go()

    async def follow(
        self, run_id: RunId, *, after: int = 0, outside: bool = False, live: bool = True
    ) -> AsyncGenerator[Record, None]:
        """The records numbered above `after`, each once and in order, until the run is over; not
        `live`, those that there are now. The caller closes it. Who is `outside` this process is let
        go when it ends.

        Raises:
            RunNotFound: there is no such run.
            SlowReader: the follower read too slowly, or was let go; it can come back.
            LedgerError: the ledger cannot be read, or the run could not be written to it.
        """
        last = after
        while True:  # the ledger, at the follower's own pace
            page = await self._reader.page(run_id, after=last, limit=PAGE)
            for record in page.records:
                yield record
                last = record.seq
            if len(page.records) < PAGE:
                break
        if page.status != "running" or not live:
            return
        with self._line(run_id, outside=outside) as line:
            async with aclosing(self._live(run_id, last, line)) as following:
                async for record in following:
                    yield record

    async def _live(self, run_id: RunId, last: int, line: _Line) -> AsyncGenerator[Record, None]:
        """From the line, and from the ledger what did not come by it."""
        status, fresh = await self._reader.page(run_id, after=last)
        while True:
            for record in fresh:
                if record.seq > last:
                    yield record
                    last = record.seq
            if status != "running" or (fresh and isinstance(fresh[-1].event, RunFinished)):
                return
            line.check(last)
            await line.wait(HERE_S if run_id in self._here else ELSEWHERE_S)
            fresh = line.take()
            if not fresh:
                line.check(last)
            if not fresh or fresh[0].seq > last + 1:
                status, fresh = await self._reader.page(run_id, after=last)

    @contextmanager
    def _line(self, run_id: RunId, *, outside: bool) -> Iterator[_Line]:
        line = _Line(self._size)
        lines = self._lines.setdefault(run_id, set())
        lines.add(line)
        if outside:
            self._outside.add(line)
            if self._leaving:
                line.let_go()
        try:
            yield line
        finally:
            self._outside.discard(line)
            lines.discard(line)
            if not lines:
                self._lines.pop(run_id, None)
