"""An app of this process, asked as a server is: no port, no socket, the same requests.

Each request is a task of the app's, and what it answers is handed over piece by piece, so that
streams stay streams: the app waits until a piece is taken. httpx2's own transport for this gathers
an answer until it is complete.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from forge.tasks import together

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


class Mounted(httpx2.AsyncBaseTransport):
    """A transport into an app. Made by `mounted`, whose block owns the requests' tasks."""

    def __init__(self, app: App, tasks: asyncio.TaskGroup) -> None:
        self._app, self._tasks = app, tasks

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Ask the app; returns once it has begun to answer."""
        exchange = _Exchange(request)
        self._tasks.create_task(exchange.carry_out(self._app))
        try:
            start = await exchange.next()
        except asyncio.CancelledError:
            exchange.leave()
            raise
        if start["type"] != "http.response.start":
            raise httpx2.ReadError("the app ended a request without an answer")
        return httpx2.Response(
            start["status"], headers=start.get("headers", []), stream=_Body(exchange)
        )


class _Exchange:
    """One request and its answer. The app goes no faster than its reader."""

    def __init__(self, request: httpx2.Request) -> None:
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        self._request, self._given = request, aiter(request.stream)
        self._sent = False
        self._gone = asyncio.Event()
        self._answer: asyncio.Queue[Message] = asyncio.Queue()

    async def carry_out(self, app: App) -> None:
        """Have the app answer."""
        try:
            await app(self._scope(), self._receive, self._send)
        finally:
            self._answer.put_nowait({"type": "ended"})

    async def next(self) -> Message:
        """The next thing that the app says."""
        message = await self._answer.get()
        self._answer.task_done()
        return message

    def leave(self) -> None:
        """The reader has gone: the app is told, and what it still says goes nowhere."""
        self._gone.set()
        while not self._answer.empty():
            self._answer.get_nowait()
            self._answer.task_done()

    def _scope(self) -> Message:
        url = self._request.url
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": self._request.method,
            "headers": [(name.lower(), value) for name, value in self._request.headers.raw],
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.split(b"?")[0],
            "query_string": url.query,
            "server": (url.host, url.port),
            "client": ("127.0.0.1", 0),
            "root_path": "",
        }

    async def _receive(self) -> Message:
        if self._sent:
            await self._gone.wait()
        if self._gone.is_set():
            return {"type": "http.disconnect"}
        try:
            return {"type": "http.request", "body": await anext(self._given), "more_body": True}
        except StopAsyncIteration:
            self._sent = True
            return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        if not self._gone.is_set():
            self._answer.put_nowait(message)
            await self._answer.join()


class _Body(httpx2.AsyncByteStream):
    """What the app answers, as it does."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._exchange.next()
            if message["type"] == "ended":
                raise httpx2.ReadError("the answer ended before it was complete")
            if body := message.get("body", b""):
                yield body
            more = message.get("more_body", False)

    async def aclose(self) -> None:
        self._exchange.leave()


@asynccontextmanager
async def mounted(app: App) -> AsyncIterator[Mounted]:
    """A transport into this app until the block is left, which ends what is being answered."""
    async with together() as tasks:
        transport = Mounted(app, tasks)
        yield transport
