"""A run's ledger as Server-Sent Events: the same from the start, the middle, live or long over.

Each record is one event whose id is its number in the ledger and whose data is the record. A
browser that lost the connection sends the last id it saw, and goes on after it: nothing is lost or
repeated, whoever cut it. After `run.finished` the stream ends. A reader that does not keep up is
dropped and may come back the same way; the run never waits for one. Where a run cannot be followed
any more, an event `problem` says why, as an error would, and the stream ends. One that is not to be
live ends with an event `end` after what there is now.
"""

import asyncio
import json
import logging
from contextlib import aclosing
from typing import Annotated

from fastapi import Header, Query
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from forge.errors import ForgeError, InputRefused, SlowReader
from forge.ids import RunId
from forge.server.problems import fields_of
from forge.server.state import State
from forge.tasks import together

LOG = logging.getLogger(__name__)

KEEPALIVE = b": still here\n\n"

RETRY_MS = 500
"""How soon a browser should come back; a restart of the server takes about this long."""


def place(
    last_event_id: Annotated[str | None, Header()] = None,
    after: Annotated[int, Query(ge=0, le=10**9)] = 0,
) -> int:
    """The number after which a reader wants to go on: the header's, else the query's, else 0.

    Raises:
        InputRefused: it is no number of a record.
    """
    if last_event_id is None or last_event_id == "":
        return after
    if not (last_event_id.isascii() and last_event_id.isdecimal()) or len(last_event_id) > 12:
        raise InputRefused(
            f"The Last-Event-ID {last_event_id[:40]!r} is not the number of an event.",
            hint="Send the id of the last event you saw, or leave the header out.",
        )
    return int(last_event_id)


class EventStream(Response):
    """The answer that streams a run's records after `after`, then what follows.

    It is ASGI by hand: one task reads and sends, so that a reader who leaves ends the reading at
    once, wherever it is. A record is put into its bytes once, for all who follow the run.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        state: State,
        run_id: RunId,
        after: int,
        first: bytes = b"",
        *,
        live: bool = True,
        status_code: int = 200,  # read by FastAPI for the description of the API
    ) -> None:
        super().__init__(
            status_code=status_code,
            media_type=self.media_type,
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
        del self.headers["content-length"]
        self._runs, self._measures = state.runs, state.measures
        self._keepalive_s = state.config.keepalive_s
        self._run_id, self._after, self._live = run_id, after, live
        self._first = first + b": run %s after %d\nretry: %d\n\n" % (
            run_id.encode(),
            after,
            RETRY_MS,
        )
        self._quiet = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, until the run is over or the reader has left."""
        del scope
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        self._measures.streams.inc()
        try:
            async with together() as tasks:
                leaving = tasks.create_task(_left(receive))
                beating = tasks.create_task(self._keep_alive(send))
                feeding = tasks.create_task(self._feed(send))
                await asyncio.wait({leaving, feeding}, return_when=asyncio.FIRST_COMPLETED)
                over = feeding.done()
                for task in (leaving, beating, feeding):
                    task.cancel()
            if over:
                await send(_body(b"", more=False))
        finally:
            self._measures.streams.dec()

    async def _feed(self, send: Send) -> None:
        await send(_body(self._first))
        try:
            following = self._runs.follow(
                self._run_id, after=self._after, outside=True, live=self._live
            )
            async with aclosing(following) as records:
                async for record in records:
                    await send(_body(record.event_bytes))
                    self._quiet = False
            if not self._live:
                await send(_body(event("end", "{}")))
        except SlowReader:
            self._measures.dropped.inc()
        except ForgeError as error:
            LOG.warning("a stream of the run %s ended: %s", self._run_id, error.message)
            # The answer has begun, so its status cannot say it any more.
            await send(_body(event("problem", json.dumps(fields_of(error)))))

    async def _keep_alive(self, send: Send) -> None:
        """Say something where nothing happens, or proxies would cut the connection."""
        while True:
            self._quiet = True
            await asyncio.sleep(self._keepalive_s)
            if self._quiet:
                await send(_body(KEEPALIVE))


def event(name: str, data: str) -> bytes:
    """An event that is not of the ledger, and so has no id."""
    return f"event: {name}\ndata: {data}\n\n".encode()


def _body(piece: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": piece, "more_body": more}


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
