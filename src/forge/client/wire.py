"""Requests to a server, over a connection or straight into an app of this process.

Where the server is may change while Forge asks: one of this computer that was started again has
another port and key. So the place is looked up for every request. No redirect is followed: a key
would go with it. Nothing is decompressed: a few bytes could become gigabytes.
"""

import ipaddress
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx2
from pydantic_core import from_json

from forge.client.problems import of_answer
from forge.errors import ForgeError, ServerForeign, ServerUnreachable

CONNECT_S = 10.0
"""How long a server may take to be reached: seconds, on a bad network."""

READ_S = 60.0
"""How long it may say nothing: a stream says something every 15 seconds."""

LONGEST = 32 << 20
"""How long an answer may be, in bytes, that is no stream and no file."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is, and what it is asked with. `local`: on this computer, past any proxy."""

    url: str
    key: str = field(default="", repr=False)
    local: bool = False

    @property
    def exposes_key(self) -> bool:
        """Whether the key would be sent where others on the way can read it: over plain HTTP, to
        another computer.
        """
        url = httpx2.URL(self.url)
        return bool(self.key) and url.scheme != "https" and not _is_near(url.host)


Find = Callable[[], Place | None]
"""Where the server is now; None where it is down."""


class Wire:
    """Sends requests. Made by `open_wire`."""

    def __init__(self, http: httpx2.AsyncClient, find: Find) -> None:
        self._http, self._find = http, find

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: AsyncIterator[bytes] | None = None,
    ) -> Any:
        """The answer to a request, read as JSON; None where it is empty.

        Raises:
            ServerUnreachable: the server does not answer.
            ServerForeign: it answers as no server of Forge does.
            ForgeError: what the server says is wrong.
        """
        raw = await self.text(method, path, query=query, body=body, content=content)
        try:
            return from_json(raw) if raw else None
        except ValueError as error:
            raise ServerForeign(f"The server's answer to {path} is not JSON.") from error

    async def text(self, method: str, path: str, **more: Any) -> bytes:
        """The answer to a request, as it is.

        Raises:
            ForgeError: as in `ask`.
        """
        async with self.stream(method, path, **more) as pieces:
            return await _whole(pieces)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The answer to a request, in pieces as they arrive.

        Raises:
            ForgeError: as in `ask`.
        """
        place = self._find()
        if place is None:
            raise ServerUnreachable("The server of this computer has ended.")
        sent = {"accept-encoding": "identity", **(headers or {})}
        if place.key:
            sent["authorization"] = f"Bearer {place.key}"
        if place.local:
            sent["host"] = "localhost"
        asking = self._http.stream(
            method, place.url + path, params=query, json=body, content=content, headers=sent
        )
        try:
            async with asking as response:
                if response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
                    raise of_answer(response.status_code, await _whole(_pieces(response, place)))
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise ServerForeign("The server sent what is compressed, which nobody asked.")
                yield _pieces(response, place)
        except httpx2.TransportError as error:
            raise _lost(place, error) from error
        except httpx2.InvalidURL as error:
            raise ServerUnreachable(f"{place.url} is not an address: {error}.") from error


@asynccontextmanager
async def open_wire(
    find: Find, transport: httpx2.AsyncBaseTransport | None = None, *, local: bool = False
) -> AsyncIterator[Wire]:
    """Requests until the block is left. `local` has no proxy of the environment in between."""
    limits = httpx2.Timeout(READ_S, connect=CONNECT_S)
    async with httpx2.AsyncClient(
        transport=transport, timeout=limits, trust_env=not local, follow_redirects=False
    ) as http:
        yield Wire(http, find)


async def _pieces(response: httpx2.Response, place: Place) -> AsyncIterator[bytes]:
    """An answer as it arrives; that the connection is lost is said in our own words wherever it is
    read.
    """
    try:
        async for piece in response.aiter_raw():
            yield piece
    except httpx2.TransportError as error:
        raise _lost(place, error) from error


def never_sent(error: ForgeError) -> bool:
    """Whether a request failed before anybody was reached, so that nothing was asked."""
    cause = error.__cause__
    return isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.InvalidURL)


def _is_near(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _lost(place: Place, error: httpx2.TransportError) -> ServerUnreachable:
    why = str(error) or type(error).__name__
    return ServerUnreachable(f"The server at {place.url} does not answer: {why}.")


async def _whole(pieces: AsyncIterator[bytes]) -> bytes:
    found = bytearray()
    async for piece in pieces:
        found += piece
        if len(found) > LONGEST:
            raise ServerForeign(f"The server's answer is longer than {LONGEST} bytes.")
    return bytes(found)
