"""A web page that a program in a machine serves, shown to its owner: a proxy to one port of it.

    browser ─▶ this server ─ sandbox.ports ─▶ 127.0.0.1:port in the machine, and nowhere else

Nothing here opens a socket, so no answer of the guest's can make this server reach another host: a
redirect is an answer like any other. Of a request only the headers that a page needs go in, never a
cookie or a key of ours. Of an answer only those that describe its body come out, so it sets no
cookie and asks for no password. A page is caged: its policy gives it no origin, so what it does in
a browser it does as nobody, and no address but this server's. Head, body and waits are bounded.
`preview_socket` has the same for WebSockets.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import h11
from fastapi import Request
from starlette.responses import StreamingResponse

from forge.errors import PortUnreachable
from forge.sandbox.base import Sandbox
from forge.sandbox.ports import PortConnection

HEAD_BYTES = 32 * 1024

MOST_INTERIM = 8
"""How many `1xx` answers may come before the answer."""

INWARD = frozenset(
    {
        "accept", "accept-encoding", "accept-language", "cache-control", "content-encoding",
        "content-type", "if-match", "if-modified-since", "if-none-match", "if-range",
        "if-unmodified-since", "last-event-id", "range", "user-agent", "x-requested-with",
    }
)  # fmt: skip
OUTWARD = frozenset(
    {
        "accept-ranges", "content-disposition", "content-encoding", "content-language",
        "content-range", "content-type", "etag", "last-modified", "retry-after", "vary",
    }
)  # fmt: skip

CAGE = {
    "Content-Security-Policy": (
        "sandbox allow-scripts allow-forms allow-modals; "
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'self'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
    # A page without an origin is another site to its own pictures and scripts.
    "Cross-Origin-Resource-Policy": "cross-origin",
}


class Bounds(NamedTuple):
    """How long the program may take to accept a piece, to begin its answer and to go on with it, in
    seconds; and how many bytes its answer may have.
    """

    wait_s: float = 30.0
    body: int = 256 << 20


async def previewed(
    sandbox: Sandbox, port: int, path: str, request: Request, base: str, bounds: Bounds
) -> StreamingResponse:
    """What the program on a port of the machine answers to this request for `path`.

    Args:
        sandbox: the machine.
        port: the port.
        path: the path that the program is asked for, without its first slash.
        request: what the browser sent.
        base: where the program's root is on this server, without a slash at its end.
        bounds: how long it may take and how much it may answer.

    Raises:
        PortUnreachable: nothing answers there, or not as HTTP has it.
        ForgeError: as in `forge.sandbox.ports.Ports.connect`.
    """
    exchange = _Exchange(await sandbox.ports.connect(port), bounds)
    try:
        await exchange.ask(_asked(port, path, request), request)
        head = await exchange.head()
        body = exchange.body()
        first = await anext(body, b"")
    except BaseException:
        exchange.close()
        raise
    answer = StreamingResponse(_whole(first, body), head.status_code, headers=CAGE)
    for name, value in _answered(head, port, base):
        answer.headers[name] = value
    return answer


class _Exchange:
    """One request and its answer, on a connection of its own that `close` ends."""

    def __init__(self, connection: PortConnection, bounds: Bounds) -> None:
        self._connection, self._bounds = connection, bounds
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)

    def close(self) -> None:
        """Break it off. Calling it again does nothing."""
        self._connection.close()

    async def ask(self, head: h11.Request, request: Request) -> None:
        """Send the request; one that the program does not want to the end is not an error."""
        await self._send(head)
        try:
            async for piece in request.stream():
                if piece:
                    await self._send(h11.Data(data=piece))
            await self._send(h11.EndOfMessage())
        except PortUnreachable:
            return  # it may have answered already

    async def head(self) -> h11.Response:
        """The answer's head. All of it has one deadline: it could come byte by byte."""
        async with _deadline(self._bounds.wait_s):
            return await self._head()

    async def _head(self) -> h11.Response:
        for _ in range(MOST_INTERIM + 1):
            event = await self._event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                break
        raise PortUnreachable("The program on this port gave no answer.")

    async def body(self) -> AsyncGenerator[bytes, None]:
        """The answer's body; the connection ends with it."""
        size = 0
        try:
            while isinstance(event := await self._event(), h11.Data):
                size += len(event.data)
                if size > self._bounds.body:
                    raise PortUnreachable(
                        f"The program answered more than {self._bounds.body} bytes."
                    )
                yield bytes(event.data)
        finally:
            self.close()

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            async with _deadline(self._bounds.wait_s):
                await self._connection.write(data)

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            try:
                event = self._http.next_event()
                if event is not h11.NEED_DATA:
                    return event  # type: ignore[return-value]  # NEED_DATA is taken care of
                async with _deadline(self._bounds.wait_s):
                    self._http.receive_data(await self._connection.read())
            except h11.RemoteProtocolError as error:
                raise PortUnreachable(f"The program does not speak HTTP: {error}.") from error


@asynccontextmanager
async def _deadline(wait_s: float) -> AsyncGenerator[None, None]:
    try:
        async with asyncio.timeout(wait_s):
            yield
    except TimeoutError as error:
        raise PortUnreachable(f"The program did nothing for {wait_s:g} s.") from error


async def _whole(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    try:
        yield first
        async for piece in rest:
            yield piece
    finally:
        await rest.aclose()


def target_of(path: str, query: str) -> str:
    """What the program is asked for."""
    target = "/" + quote(path, safe="/~!$&'()*+,;=:@-._")
    return target + ("?" + quote(query, safe="/~!$&'()*+,;=:@-._?%") if query else "")


def _asked(port: int, path: str, request: Request) -> h11.Request:
    target = target_of(path, request.url.query)
    headers = [("Host", f"localhost:{port}"), ("Connection", "close")]
    headers += [(name, value) for name, value in request.headers.items() if name in INWARD]
    length = request.headers.get("content-length")
    if length is not None:
        headers.append(("Content-Length", length))
    elif "transfer-encoding" in request.headers:
        headers.append(("Transfer-Encoding", "chunked"))
    return h11.Request(
        method=request.method,
        target=target,
        headers=[
            (name.encode("ascii"), value.encode("latin-1", "replace")) for name, value in headers
        ],
    )


def _answered(head: h11.Response, port: int, base: str) -> list[tuple[str, str]]:
    found = []
    for raw_name, raw_value in head.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        if name in OUTWARD:
            found.append((name, value))
        elif name == "location" and (there := _within(value, port, base)) is not None:
            found.append((name, there))
    return found


def _within(location: str, port: int, base: str) -> str | None:
    """Where a redirect leads on this server; None where it leads out of the machine."""
    try:
        there = urlsplit(location)
        host, wanted = there.hostname, there.port
    except ValueError:
        return None
    own = host in ("localhost", "127.0.0.1") and there.scheme == "http" and wanted == port
    if there.scheme or there.netloc:
        if not own:
            return None
    elif not there.path.startswith("/"):
        return quote(location, safe="/~!$&'()*+,;=:@-._?%#") if "\\" not in location else None
    rest = there.path + (f"?{there.query}" if there.query else "")
    return base + "/" + quote(rest.lstrip("/\\"), safe="/~!$&'()*+,;=:@-._?%")
