"""Everything the terminal asks a server for, by name. Made by `open_client`.

What comes back is checked before it is believed: ids are ids, records are this run's, files have
the size and digest that the ledger says.

A question whose answer was lost is sent again under the same key, which the server carries out
once; then its run is followed. One that never reached a server was not asked, and is not.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
)
from dataclasses import dataclass
from typing import Any

import httpx2

from forge.client.files import Files
from forge.client.follow import FIRST_WAIT_S, LONGEST_WAIT_S, Following, Notify, messages
from forge.client.said import Accepted, Diff, RunLine, RunPage, checked, run_part
from forge.client.sse import Message
from forge.client.talks import Talks
from forge.client.wire import Find, Wire, never_sent, open_wire
from forge.errors import ForgeError, ServerForeign, ServerUnreachable
from forge.events import Record
from forge.ids import ConversationId, RunId

RESEND_S = 60.0
"""How long a question whose answer was lost is sent again: a restart takes seconds. Longer than
that a person would rather be told than wait for what may not have been asked."""

ASK = "/api/chat"


@dataclass(frozen=True, slots=True)
class Asked:
    """A run that goes on, and its records as they happen."""

    run_id: RunId
    conversation_id: ConversationId | None
    records: AsyncGenerator[Record, None]


class Client:
    """Asks one server. `talks` and `files` are what it asks about those."""

    def __init__(self, wire: Wire, notify: Notify) -> None:
        self._wire, self._notify = wire, notify
        self.talks, self.files = Talks(wire), Files(wire)

    @asynccontextmanager
    async def ask(self, wanted: Mapping[str, Any], path: str = ASK) -> AsyncIterator[Asked]:
        """Begin a run and follow it; leaving the block does not end it. `wanted` is the body of
        `POST /api/chat`, or of the other address that begins one.

        Raises:
            ServerUnreachable: the server does not answer. Whether the run began is not known,
                unless it could not be reached at all.
            ServerForeign: it answers as no server of Forge does.
            ForgeError: what the server says is wrong.
        """
        async with AsyncExitStack() as stack:
            begun, stream = await self._accepted(stack, path, wanted)
            following = Following(self._wire, begun.run_id, self._notify)
            records = await stack.enter_async_context(aclosing(following.records(stream)))
            yield Asked(begun.run_id, begun.conversation_id, records)

    async def _accepted(
        self, stack: AsyncExitStack, path: str, wanted: Mapping[str, Any]
    ) -> tuple[Accepted, AsyncGenerator[Message, None]]:
        """The first event of the stream, and the stream; sent until one comes."""
        key = {"idempotency-key": secrets.token_urlsafe(24)}
        loop = asyncio.get_running_loop()
        until, wait, sent = loop.time() + RESEND_S, FIRST_WAIT_S, False
        while True:
            try:
                async with AsyncExitStack() as attempt:
                    asking = self._wire.stream("POST", path, body=wanted, headers=key)
                    pieces = await attempt.enter_async_context(asking)
                    stream = await attempt.enter_async_context(aclosing(messages(pieces)))
                    begun = await _first(stream)
                    stack.push_async_exit(attempt.pop_all())
                    return begun, stream
            except ForgeError as error:
                sent = sent or not never_sent(error)
                if not sent or not error.retry or loop.time() + wait > until:
                    raise
                self._notify(f"The answer was lost ({error.message}) Asking the same again …")
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_S)

    def again(self, run_id: str, wanted: Mapping[str, Any]) -> AbstractAsyncContextManager[Asked]:
        """Ask what a run was asked once more, and follow it. `wanted` is what is to differ.

        Raises:
            ForgeError: as in `ask`.
        """
        return self.ask(wanted, f"/api/runs/{run_part(run_id)}/rerun")

    @asynccontextmanager
    async def resumed(self, last: Record, body: Mapping[str, Any]) -> AsyncIterator[Asked]:
        """Let a run go on after its last record, and follow it from there. `body` has its caps.

        Raises:
            RunOver: it goes on already, or it ended otherwise than by a cap or an interruption.
            ForgeError: the server refuses, or cannot be reached.
        """
        await self.tell(last.run_id, "resume", body)
        following = Following(self._wire, last.run_id, self._notify, after=last)
        async with aclosing(following.records()) as records:
            yield Asked(last.run_id, None, records)

    def follow(self, run_id: RunId) -> AsyncGenerator[Record, None]:
        """A run's records from its beginning to its end. The caller closes it.

        Raises:
            ForgeError: as in `forge.client.follow.Following.records`.
        """
        return Following(self._wire, run_id, self._notify).records()

    async def recorded(self, run_id: str) -> list[Record]:
        """The records that a run has now, all of them; `run_id` may be the beginning of its id.

        Raises:
            RunNotFound: there is no such run, or more than one.
            ForgeError: the server refuses, or cannot be reached.
        """
        following = Following(self._wire, run_part(run_id), self._notify)
        async with aclosing(following.recorded()) as records:
            return [record async for record in records]

    async def stop(self, run_id: RunId) -> None:
        """End a run; its last record follows.

        Raises:
            ForgeError: the server refuses, or cannot be reached.
        """
        await self._wire.ask("POST", f"/api/runs/{run_part(run_id)}/stop")

    async def tell(self, run_id: RunId, what: str, body: Mapping[str, Any]) -> None:
        """Tell a run something: `steer`, `approve`, `deny` or `resume`, with its body.

        Raises:
            ForgeError: the server refuses, or cannot be reached.
        """
        await self._wire.ask("POST", f"/api/runs/{run_part(run_id)}/{what}", body=body)

    async def runs(self, limit: int) -> list[RunLine]:
        """The newest runs.

        Raises:
            ForgeError: the server refuses, or cannot be reached.
        """
        found: list[RunLine] = []
        cursor: str | None = ""
        while cursor is not None and len(found) < limit:
            query = {
                "limit": min(100, limit - len(found)),
                **({"cursor": cursor} if cursor else {}),
            }
            page = checked(RunPage, await self._wire.text("GET", "/api/runs", query=query))
            found += page.items
            cursor = page.next if page.items else None
        return found[:limit]

    async def diff(self, one: str, other: str) -> Diff:
        """How a run differs from another.

        Raises:
            ForgeError: the server refuses, or cannot be reached.
        """
        path = f"/api/runs/{run_part(one)}/diff/{run_part(other)}"
        return checked(Diff, await self._wire.text("GET", path))


async def _first(stream: AsyncGenerator[Message, None]) -> Accepted:
    try:
        first = await anext(stream)
    except StopAsyncIteration:
        raise ServerUnreachable("The server ended the stream before it began.") from None
    if first.name != "accepted":
        raise ServerForeign("The server did not say which run it began.")
    return checked(Accepted, first.data)


@asynccontextmanager
async def open_client(
    find: Find,
    notify: Notify,
    transport: httpx2.AsyncBaseTransport | None = None,
    *,
    local: bool = False,
) -> AsyncIterator[Client]:
    """A client until the block is left.

    Args:
        find: where the server is, asked before each request.
        notify: told, in words, when a server was lost.
        transport: leads into an app of this process; None for the network.
        local: nothing is between here and the server: no proxy of the environment is asked.
    """
    async with open_wire(find, transport, local=local) as wire:
        yield Client(wire, notify)
