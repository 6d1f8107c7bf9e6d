"""Carrying out a step: what goes down the connection, when, and how it ends.

Both formats are sequences of events, so whether a step is truncated, overloaded or hangs is the
same for either; a `Wire` says how one is written. Every answer runs beside a watch for the
client's going away, which ends it at once.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from starlette.types import Receive, Send

from forge.testing.providers import anthropic_wire, openai_wire
from forge.testing.providers.received import ProviderName, Received
from forge.testing.providers.script import Fail, Hang, Overload, Raw, Reply, Step, Truncate


@dataclass(frozen=True, slots=True)
class Wire:
    """How a provider writes events and errors; `done` follows a whole reply's last event."""

    events: Callable[[Reply, Received], Iterator[dict[str, Any]]]
    encode: Callable[[dict[str, Any]], bytes]
    error_body: Callable[[int, str], dict[str, Any]]
    error_event: Callable[[str, str], dict[str, Any]]
    done: bytes = b""


WIRES: dict[ProviderName, Wire] = {
    "anthropic": Wire(
        anthropic_wire.events,
        anthropic_wire.encode,
        anthropic_wire.error_body,
        anthropic_wire.error_event,
    ),
    "openai": Wire(
        openai_wire.events,
        openai_wire.encode,
        openai_wire.error_body,
        openai_wire.error_event,
        openai_wire.DONE,
    ),
}


async def perform(step: Step, received: Received, receive: Receive, send: Send) -> None:
    """Answer `received` with `step`, and mark it if the client goes away before the end."""
    async with asyncio.TaskGroup() as group:
        working = group.create_task(_Answer(received, send).give(step))
        watching = group.create_task(_gone(receive))
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            received.disconnected.set()
        working.cancel()
        watching.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        """Whatever else arrives is not an end."""


@dataclass(frozen=True, slots=True)
class _Answer:
    received: Received
    send: Send

    @property
    def wire(self) -> Wire:
        return WIRES[self.received.provider]

    async def give(self, step: Step) -> None:
        match step:
            case Reply():
                await self._start()
                await self._events(step)
                await self._body(self.wire.done, more=False)
            case Truncate():
                await self._start()
                await self._events(step.reply, step.after_events)
                # Without the end of the body, uvicorn drops the connection.
                await self._body(b"", more=not step.clean)
            case Overload():
                await self._start()
                await self._events(step.reply, step.after_events)
                event = self.wire.error_event(step.error_type, step.message)
                await self._body(self.wire.encode(event), more=False)
            case Hang():
                await self._hang(step)
            case Fail():
                await self._fail(step)
            case Raw():
                await self._start(content_type=step.content_type)
                await self._body(step.body, more=False)

    async def _hang(self, step: Hang) -> None:
        if step.after_events:
            await self._start()
            await self._events(step.reply, step.after_events)
        await asyncio.sleep(step.at_most_s)

    async def _fail(self, step: Fail) -> None:
        headers = dict(step.headers or {})
        if step.retry_after is not None:
            headers["retry-after"] = step.retry_after
        content_type, body = "text/html", step.body
        if body is None:
            content_type = "application/json"
            body = json.dumps(self.wire.error_body(step.status, step.message))
        await self._start(step.status, content_type, headers)
        await self._body(body.encode(), more=False)

    async def _start(
        self,
        status: int = 200,
        content_type: str = "text/event-stream; charset=utf-8",
        headers: dict[str, str] | None = None,
    ) -> None:
        pairs = {"content-type": content_type, "request-id": "req_test"} | (headers or {})
        encoded = [(name.encode(), value.encode()) for name, value in pairs.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": encoded})

    async def _events(self, reply: Reply, at_most: int | None = None) -> None:
        for event in islice(self.wire.events(reply, self.received), at_most):
            await self._body(self.wire.encode(event))
            await asyncio.sleep(reply.delay_s)

    def _body(self, body: bytes, *, more: bool = True) -> Awaitable[None]:
        return self.send({"type": "http.response.body", "body": body, "more_body": more})
