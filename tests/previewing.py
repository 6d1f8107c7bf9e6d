"""A machine in which one program answers a browser with what a test tells it to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from forge.errors import PortUnreachable
from served import Served, served


class Connection:
    """A connection to a program that is a socket of the test's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self.over = reader, writer, asyncio.Event()

    @property
    def closed(self) -> bool:
        return self.over.is_set()

    async def read(self) -> bytes:
        try:
            return await self._reader.read(65_536)
        except ConnectionError as error:
            raise PortUnreachable("The program broke off.") from error

    async def write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError as error:
            raise PortUnreachable("The program broke off.") from error

    async def finish(self) -> None:
        self._writer.write_eof()

    def close(self) -> None:
        self.over.set()
        self._writer.close()


class Guest:
    """The ports of a machine in which one program answers 8000 with what it was told to."""

    def __init__(self) -> None:
        self.answer: Any = b""
        self.heard: list[bytes] = []
        self.asked: list[int] = []
        self.opened: list[Connection] = []
        self.port = 0

    async def list(self) -> tuple[()]:
        return ()

    async def connect(self, port: int) -> Connection:
        self.asked.append(port)
        if port != 8000:
            raise PortUnreachable(f"Nothing listens on {port}.")
        self.opened.append(Connection(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self.opened[-1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heard.append(await reader.readuntil(b"\r\n\r\n"))
            async for piece in self._pieces():
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            self.heard.append(b"(cut off)")
        finally:
            writer.close()

    async def _pieces(self) -> AsyncIterator[bytes]:
        if isinstance(self.answer, bytes):
            yield self.answer
            return
        for _ in range(200_000):
            yield self.answer[0]


class Talk:
    """A conversation with a machine, and a browser that looks at it."""

    def __init__(self, server: Served, guest: Guest, client: Any, conversation_id: str) -> None:
        self.server, self.guest, self.client, self.id = server, guest, client, conversation_id
        self.base = f"/api/sandbox/{conversation_id}/ports/8000"


@asynccontextmanager
async def talking(folder: Path, **config: Any) -> AsyncIterator[Talk]:
    guest = Guest()
    listener = await asyncio.start_server(guest.serve, "127.0.0.1", 0)
    guest.port = listener.sockets[0].getsockname()[1]
    async with listener, served(folder, single_user=False, **config) as server:
        key = await server.person("ada")
        async with server.client(key) as client:
            made = (await client.post("/api/conversations", json={})).json()
            await client.post(f"/api/sandbox/{made['id']}/start")
            server.home.provider.made[-1].ports = guest  # type: ignore[assignment]
            yield Talk(server, guest, client, made["id"])


def page(*headers: str, status: str = "200 OK", body: bytes = b"hello") -> bytes:
    head = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode() + body
