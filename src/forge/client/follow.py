"""One run, followed to its end across lost connections: each record once, in order.

    stream ─ lost ─ wait ─ stream after the last record ─ … ─ run.finished

Whoever cut the connection, what follows is asked for after the last record that arrived. That a
server repeats, leaves out or mixes up records is found out: numbers have no gaps, and each record
names the hash of the one before it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from pydantic import ValidationError

from forge.client.problems import of_answer
from forge.client.sse import Message, Parser
from forge.client.wire import Wire, never_sent
from forge.errors import ForgeError, ServerForeign, ServerUnreachable
from forge.events import Record, RunFinished
from forge.ids import is_id

PATIENCE_S = 120.0
"""How long nothing may arrive before a lost server is given up: a restart takes seconds, and one
that has a backup to put back or a host that restarts takes a minute or two."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 5.0
"""Between two tries; doubled each time. A server that restarts is back within a second."""

Notify = Callable[[str], None]


async def messages(pieces: AsyncIterator[bytes]) -> AsyncGenerator[Message, None]:
    """The events of a stream.

    Raises:
        ServerForeign: one is too long.
    """
    parser = Parser()
    async for piece in pieces:
        for message in parser.feed(piece):
            yield message


class Following:
    """A run as it happens. `last` is the number of the last record that arrived; `run_id` may be
    the beginning of one until the first has. With `after` it begins after that record.
    """

    def __init__(
        self,
        wire: Wire,
        run_id: str,
        notify: Notify,
        *,
        after: Record | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.run_id = run_id
        self.last, self._hash = (after.seq, after.hash) if after else (0, "")
        self._wire, self._notify, self._patience_s = wire, notify, patience_s

    async def records(
        self, first: AsyncGenerator[Message, None] | None = None
    ) -> AsyncGenerator[Record, None]:
        """What happens from here on, to the run's end; `first` is a stream that is open already.

        Raises:
            ServerUnreachable: the server was lost and did not come back in time.
            ServerForeign: what it sends is not this run's ledger.
            ForgeError: the server says that it cannot be followed.
        """
        async with aclosing(self._taken(first or self._again(), live=True)) as records:
            async for record in records:
                yield record
                if isinstance(record.event, RunFinished):
                    return

    async def recorded(self) -> AsyncGenerator[Record, None]:
        """What has happened up to now; a run that was resumed has more than one end in it.

        Raises:
            ForgeError: as in `records`.
        """
        async with aclosing(self._taken(self._again(live=False), live=False)) as records:
            async for record in records:
                yield record

    async def _taken(
        self, stream: AsyncGenerator[Message, None], *, live: bool
    ) -> AsyncGenerator[Record, None]:
        loop = asyncio.get_running_loop()
        until, wait = loop.time() + self._patience_s, FIRST_WAIT_S
        while True:
            failure: ForgeError = ServerUnreachable("The server ended the stream before the run.")
            try:
                async with aclosing(stream):
                    async for message in stream:
                        if message.name == "end" and not live:
                            return
                        if (record := self._record(message)) is None:
                            continue
                        yield record
                        until, wait = loop.time() + self._patience_s, FIRST_WAIT_S
            except ForgeError as error:
                failure = error
            asked_in_vain = not live and not self.last and never_sent(failure)
            if not failure.retry or asked_in_vain or loop.time() + wait > until:
                raise failure
            if wait > FIRST_WAIT_S:
                self._notify(f"Lost the server ({failure.message}) Trying again …")
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_S)
            stream = self._again(live=live)

    async def _again(self, *, live: bool = True) -> AsyncGenerator[Message, None]:
        headers = {"last-event-id": str(self.last)} if self.last else {}
        query = {} if live else {"live": "false"}
        path = f"/api/runs/{self.run_id}/events"
        async with (
            self._wire.stream("GET", path, headers=headers, query=query) as pieces,
            aclosing(messages(pieces)) as found,
        ):
            async for message in found:
                yield message

    def _record(self, message: Message) -> Record | None:
        if message.name == "problem":
            raise of_answer(500, message.data)
        if message.name != "message":
            return None
        try:
            record = Record.model_validate_json(message.data)
        except ValidationError as error:
            raise ServerForeign("The server sent what is no record of a ledger.") from error
        if not self.last and is_id(record.run_id, "run"):
            begins = self.run_id if self.run_id.startswith("run_") else f"run_{self.run_id}"
            self.run_id = record.run_id if record.run_id.startswith(begins) else self.run_id
        place = (record.run_id, record.seq, record.prev, message.id)
        if place != (self.run_id, self.last + 1, self._hash, str(record.seq)):
            raise ServerForeign(
                f"The server sent a record that does not follow number {self.last} of the run."
            )
        self.last, self._hash = record.seq, record.hash
        return record
