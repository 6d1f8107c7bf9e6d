"""A program in a machine has a WebSocket for a browser: whatever it sends, it harms nobody else."""

import asyncio
import struct
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from previewing import Talk, talking

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, str], Awaitable[None]]


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, first: int = 0) -> bytes:
    """A frame as a server sends it; `first` are bits that should not be there."""
    head = bytes([(0x80 if fin else 0) | first | opcode])
    if len(data) < 126:
        return head + bytes([len(data)]) + data
    if len(data) < 65_536:
        return head + b"\x7e" + struct.pack("!H", len(data)) + data
    return head + b"\x7f" + struct.pack("!Q", len(data)) + data


async def masked(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """A small frame as a client sends it."""
    opcode, size = await reader.readexactly(2)
    mask = await reader.readexactly(4)
    data = await reader.readexactly(size & 0x7F)
    return opcode & 15, bytes(each ^ mask[at % 4] for at, each in enumerate(data))


def accepted(head: str, *more: str) -> bytes:
    """The right answer to a handshake."""
    key = next(x for x in head.split("\r\n") if x.lower().startswith("sec-websocket-key: "))[19:]
    proof = b64encode(sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {proof.decode()}", *more, "", ""]).encode()


@asynccontextmanager
async def program(talk: Talk, serve: Serve) -> AsyncIterator[list[str]]:
    """A program that is given each connection after its head; gives the heads it saw."""
    heads: list[str] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            await serve(reader, writer, heads[-1])
        except (ConnectionError, asyncio.IncompleteReadError):
            heads.append("(cut off)")
        finally:
            writer.close()

    async with await asyncio.start_server(one, "127.0.0.1", 0) as listener:
        talk.guest.port = listener.sockets[0].getsockname()[1]
        yield heads


def sending(*pieces: bytes, more: tuple[str, ...] = ()) -> Serve:
    """A program that accepts, sends these bytes and then waits for the other side to leave."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        writer.write(accepted(head, *more))
        for piece in pieces:
            writer.write(piece)
        await writer.drain()
        while await reader.read(65_536):
            continue

    return serve


async def signed(talk: Talk, path: str = "", seconds: int = 60) -> str:
    """The address of a WebSocket for a frame."""
    link = (await talk.client.post(f"{talk.base}/link?seconds={seconds}")).json()["url"]
    return talk.server.url.replace("http", "ws") + link.removeprefix(talk.server.config.url) + path


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Talk]:
    async with talking(tmp_path, preview_wait_s=2.0, preview_message=100_000) as talk:
        yield talk


async def flooded(browser: Any) -> None:
    """Send more than sockets hold, and wait for the end."""
    for _ in range(30):
        await browser.send(bytes(900_000))
    await browser.recv()


async def closed(address: str, **more: Any) -> tuple[int | None, list[Any]]:
    """How a WebSocket was closed, and what came until then."""
    came: list[Any] = []
    async with websockets.connect(address, **more) as browser, asyncio.timeout(20):
        try:
            while True:
                came.append(await browser.recv())
        except ConnectionClosed as error:
            return (error.rcvd.code if error.rcvd else None), came


async def test_messages_go_both_ways_and_our_keys_stay_out(talk: Talk):
    """Text and bytes, in pieces too; the program is asked as its own page would ask it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        writer.write(accepted(head, "Sec-WebSocket-Protocol: b", "Set-Cookie: forge_session=x"))
        for _ in range(2):
            opcode, data = await masked(reader)
            writer.write(frame(opcode, data[:2], fin=False) + frame(9, b"ping"))
            assert await masked(reader) == (10, b"ping")
            writer.write(frame(0, data[2:]))
        writer.write(frame(8, struct.pack("!H", 4001) + b"enough"))
        assert (await masked(reader))[0] == 8

    async with program(talk, serve) as heads:
        browser = websockets.connect(
            await signed(talk, "live?x=1"),
            subprotocols=["a", "b"],  # type: ignore[list-item]  # plain words will do
            origin="null",  # type: ignore[arg-type]
            additional_headers={"Cookie": "forge_session=secret", "Authorization": "Bearer fgk_x"},
        )
        async with browser as socket:
            assert socket.subprotocol == "b"
            assert "set-cookie" not in socket.response.headers  # type: ignore[union-attr]
            await socket.send("hällo")
            assert await socket.recv() == "hällo"
            await socket.send(b"\0\xff\xfe")
            assert await socket.recv() == b"\0\xff\xfe"
            with pytest.raises(ConnectionClosed) as ended:
                await socket.recv()
            assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (4001, "enough")  # type: ignore[union-attr]
    assert heads[0].startswith("GET /live?x=1 HTTP/1.1\r\nHost: localhost:8000\r\n")
    assert "\r\norigin: http://localhost:8000\r\n" in heads[0].lower()
    for secret in ("cookie", "authorization", "fgk_", "permessage-deflate", "forwarded"):
        assert secret not in heads[0].lower()
    assert talk.guest.opened[0].closed


async def test_only_whoever_may_opens_one(talk: Talk):
    """The owner with a login, or whoever has a signed address that is good; no other site's page
    with the owner's cookie.
    """
    async with program(talk, sending(frame(1, b"hello"))):
        place = talk.server.url.replace("http", "ws") + talk.base + "/"
        owner = dict(talk.client.headers)
        key = {"Authorization": owner["authorization"]}
        async with websockets.connect(place, additional_headers=key) as browser:
            assert await browser.recv() == "hello"
        good = await signed(talk)
        refused = [
            (place, {}),
            (place, {"origin": "null"}),
            (good.replace("/8000/", "/22/"), {}),
            (good.replace(talk.id, "conv_other"), {}),
        ]
        for address, more in refused:
            with pytest.raises(InvalidStatus) as error:
                async with websockets.connect(address, **more):
                    pass
            assert error.value.response.status_code == 403, address
    assert talk.guest.asked == [8000]


NO_HANDSHAKES = (
    b"",
    b"SSH-2.0-x\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 302 Found\r\nLocation: ws://evil.example/\r\nContent-Length: 0\r\n\r\n",
    (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
    ),
    b"HTTP/1.1 101 Switching Protocols\r\n" + b"X: " + b"a" * 100_000,
    b"HTTP/1.1 101 Switching Protocols\r\n" + b"X-A: b\r\n" * 10_000,
)


async def test_a_handshake_that_is_none_opens_nothing(talk: Talk):
    """Other protocols, redirects, endless heads: the browser is refused, and nobody else asked."""
    answers = list(NO_HANDSHAKES)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        writer.write(answers.pop())
        await writer.drain()

    async with program(talk, serve):
        while answers:
            with pytest.raises(InvalidStatus) as refused:
                async with websockets.connect(await signed(talk)):
                    pass
            assert refused.value.response.status_code == 403
    assert len(talk.guest.opened) == len(NO_HANDSHAKES)
    assert all(each.closed for each in talk.guest.opened)
    assert set(talk.guest.asked) == {8000}


async def test_an_extension_that_nobody_offered_is_refused(talk: Talk):
    """Nothing is unpacked here, so nothing blows up; nor a subprotocol of its own choice."""
    for header in ("Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Protocol: x"):
        async with program(talk, sending(more=(header,))):
            with pytest.raises(InvalidStatus):
                async with websockets.connect(await signed(talk)):
                    pass


NO_FRAMES = (
    (frame(1, b"x", first=0x40), 1011),
    (frame(3, b"x"), 1011),
    (b"\x81\x81aaaa\x00", 1011),
    (frame(0, b"x"), 1011),
    (frame(9, b"x", fin=False), 1011),
    (frame(1, b"x", fin=False) + frame(1, b"y"), 1011),
    (frame(1, b"\xff\xfe"), 1007),
    (b"\x82\x7f" + struct.pack("!Q", 1 << 62), 1009),
    (frame(2, bytes(100_001)), 1009),
    (frame(2, bytes(60_000), fin=False) + frame(0, bytes(60_000)), 1009),
    (frame(8, struct.pack("!H", 1005)), 1011),
    (frame(8, b"x"), 1011),
    (frame(8), 1001),
)


async def test_a_frame_that_is_none_ends_it(talk: Talk):
    """What came before arrives; nothing malformed or too large reaches the browser."""
    for bad, code in NO_FRAMES:
        async with program(talk, sending(frame(1, b"first"), bad, frame(1, b"after"))):
            ended = await closed(await signed(talk), max_size=None)
            assert ended == (code, ["first"]), bad[:20]
        assert talk.guest.opened[-1].closed


async def test_a_browser_sends_no_more_than_it_may(talk: Talk):
    """Nor does the program get a part of it."""
    address = await signed(talk)
    async with program(talk, sending()) as heads, websockets.connect(address) as browser:
        await browser.send(bytes(200_000))
        with pytest.raises(ConnectionClosed) as ended:
            await browser.recv()
        assert ended.value.rcvd.code == 1009  # type: ignore[union-attr]
        assert len(heads) == 1


async def test_it_ends_with_its_address_and_after_its_total(tmp_path: Path):
    """However lively it is."""
    async with talking(tmp_path, preview_limit=200_000) as talk:
        flood = frame(2, bytes(50_000)) * 40
        async with program(talk, sending(flood)):
            code, came = await closed(await signed(talk))
            assert (code, len(came)) == (1008, 4)
        async with program(talk, sending(frame(1, b"x"))):
            assert await closed(await signed(talk, seconds=1)) == (1001, ["x"])


async def test_a_flood_of_small_frames_stops_no_other_request(talk: Talk):
    """They are taken at a pace; meanwhile the server answers."""
    address = await signed(talk)
    async with program(talk, sending(frame(9) * 300_000)), asyncio.timeout(60):
        async with websockets.connect(address):
            for _ in range(10):
                assert (await talk.client.get("/healthz")).status_code == 200
        await talk.guest.opened[0].over.wait()


async def test_a_program_that_takes_nothing_is_given_up(tmp_path: Path):
    """And one that leaves without a word closes the browser's."""
    held = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        writer.write(accepted(head))
        await held.wait()

    async def leaving(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str
    ) -> None:
        writer.write(accepted(head))

    async with talking(tmp_path, preview_wait_s=0.5) as talk:
        async with program(talk, deaf):
            address = await signed(talk)
            async with websockets.connect(address, close_timeout=0.2) as browser:
                with pytest.raises(ConnectionClosed) as ended:
                    await flooded(browser)
                assert ended.value.rcvd is None or ended.value.rcvd.code == 1011
            held.set()
        async with program(talk, leaving):
            assert await closed(await signed(talk)) == (1011, [])
