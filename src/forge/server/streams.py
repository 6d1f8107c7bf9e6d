"""A run's ledger as Server-Sent Events: the same from the start, the middle, live or long over.

Each record is one event whose id is its number in the ledger and whose data is the record. A
browser that lost the connection sends the last id it saw, and goes on after it: nothing is lost or
repeated, whoever cut it. After `run.finished` the stream ends. A reader that does not keep up is
dropped and may come back the same way; the run never waits for one.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import Header, Query
from fastapi.sse import ServerSentEvent

from forge.errors import InputRefused, SlowReader
from forge.ids import RunId
from forge.runs.service import RunService
from forge.server.measures import Measures

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


async def events(
    runs: RunService, run_id: RunId, after: int, measures: Measures
) -> AsyncIterator[ServerSentEvent]:
    """The run's records after `after`, then what follows, as events."""
    yield ServerSentEvent(comment=f"run {run_id} after {after}", retry=RETRY_MS)
    measures.streams.inc()
    try:
        async with aclosing(runs.follow(run_id, after=after)) as records:
            async for record in records:
                yield ServerSentEvent(raw_data=record.model_dump_json(), id=str(record.seq))
    except SlowReader:
        measures.dropped.inc()
    finally:
        measures.streams.dec()
