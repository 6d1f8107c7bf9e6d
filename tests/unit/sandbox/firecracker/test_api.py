"""The API's client against servers that a taken-over VMM might be: real HTTP over a real socket."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from answering import answering
from forge.errors import SandboxDied
from forge.sandbox.firecracker.api import MAX_ANSWER, Api, pinned
from forge.sandbox.firecracker.config import Call

CALL = Call("PUT", "/vsock", {"guest_cid": 3})
CHUNK = b"10000\r\n" + b" " * 65536 + b"\r\n"
HEAD = b"HTTP/1.1 200 \r\nContent-Type: application/json\r\n"


@contextlib.asynccontextmanager
async def served(folder: Path, *pieces: bytes, end: bool = True) -> AsyncIterator[Api]:
    """An API whose every request gets these bytes, whatever it was."""
    loop = asyncio.get_running_loop()

    async def answer(connection: socket.socket) -> None:
        heard = await loop.sock_recv(connection, 65536)
        (folder / "heard").write_bytes(heard)
        for piece in pieces:
            await loop.sock_sendall(connection, piece)
        if not end:
            await loop.sock_recv(connection, 1)

    async with answering(folder / "api.sock", answer):
        api = Api(pinned(folder / "api.sock"), deadline_s=1.0)
        try:
            yield api
        finally:
            await api.close()


def sized(content: bytes) -> bytes:
    return HEAD + f"Content-Length: {len(content)}\r\n\r\n".encode() + content


async def test_an_answer_comes_back_as_what_it_says(tmp_path: Path) -> None:
    """JSON, asked for with the method, the path and the length of the body."""
    async with served(tmp_path, sized(b'{"state": "Running"}')) as api:
        assert await api.ask(CALL) == {"state": "Running"}
    request = (tmp_path / "heard").read_bytes()
    assert request.startswith(b"PUT /vsock HTTP/1.1\r\n")
    assert f"content-length: {len(json.dumps(CALL.body))}".encode() in request.lower()


async def test_no_content_is_none(tmp_path: Path) -> None:
    """What Firecracker says when it did as it was told."""
    async with served(tmp_path, b"HTTP/1.1 204 \r\n\r\n") as api:
        assert await api.ask(CALL) is None


async def test_a_refusal_is_quoted_and_clipped(tmp_path: Path) -> None:
    """Why, in Firecracker's own words, and not the whole of a lie of any length."""
    fault = json.dumps({"fault_message": "no such device " * 1000}).encode()
    head = b"HTTP/1.1 400 \r\n" + f"Content-Length: {len(fault)}\r\n\r\n".encode()
    async with served(tmp_path, head + fault) as api:
        with pytest.raises(SandboxDied, match="refused PUT /vsock: no such device") as caught:
            await api.ask(CALL)
    assert len(caught.value.message) < 600


@pytest.mark.parametrize("said", [b"[]", b"null", b'"x"', b"", b'{"fault_message": 7}'])
async def test_a_refusal_that_says_nothing_is_a_refusal(tmp_path: Path, said: bytes) -> None:
    """Whatever stands where the reason should."""
    head = b"HTTP/1.1 500 \r\n" + f"Content-Length: {len(said)}\r\n\r\n".encode()
    async with served(tmp_path, head + said) as api:
        with pytest.raises(SandboxDied, match="refused"):
            await api.ask(CALL)


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD + b"Content-Length: 9999999999\r\n\r\n", *[b"[" * 65536] * 4],
        [
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
            *[b"10000\r\n" + b" " * 65536 + b"\r\n"] * 4,
        ],
        [HEAD + b"\r\n", *[b"x" * 65536] * 4],
        [b"HTTP/1.1 200 \r\n", *[b"X-More: " + b"x" * 65000 + b"\r\n"] * 40],
    ],
    ids=["announced", "chunked", "until the end", "headers"],
)
async def test_an_answer_without_end_is_cut_off(tmp_path: Path, pieces: list[bytes]) -> None:
    """However it is framed, no more than the limit is kept."""
    assert MAX_ANSWER == 65536
    async with served(tmp_path, *pieces, end=False) as api:
        with pytest.raises(SandboxDied, match=r"has no end|did not carry out"):
            await api.ask(CALL)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 \r\nContent-Length: 50\r\n\r\n{",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 \r\nContent-Length: -1\r\n\r\n",
        sized(b"{not json"),
        sized(b"[" * 60000),
        sized(b"\xff\xfe"),
    ],
    ids=range(7),
)
async def test_what_is_no_answer_is_named(tmp_path: Path, said: bytes) -> None:
    """Hung up, cut short, not HTTP, not JSON, nested too deep: the one error, at once."""
    async with served(tmp_path, said) as api:
        with pytest.raises(SandboxDied):
            await api.ask(CALL)


async def test_silence_ends_at_the_deadline(tmp_path: Path) -> None:
    """A VMM that takes a call and never answers does not hold its caller."""
    async with served(tmp_path, end=False) as api:
        with pytest.raises(SandboxDied, match="did not answer PUT /vsock within 1 s"):
            await api.ask(CALL)


async def test_a_trickle_ends_at_the_deadline(tmp_path: Path) -> None:
    """The deadline is the whole call's: a byte now and then does not move it."""
    loop = asyncio.get_running_loop()

    async def answer(connection: socket.socket) -> None:
        await loop.sock_sendall(connection, HEAD + b"Content-Length: 60000\r\n\r\n")
        while True:
            await loop.sock_sendall(connection, b" ")
            await asyncio.sleep(0.05)

    async with answering(tmp_path / "api.sock", answer):
        api = Api(pinned(tmp_path / "api.sock"), deadline_s=0.5)
        with pytest.raises(SandboxDied, match="within"):
            await api.ask(CALL)
        await api.close()


async def test_a_link_in_the_sockets_place_is_not_followed(tmp_path: Path) -> None:
    """A taken-over VMM could point it at a socket of somebody else's, for Forge to talk to."""
    with socket.socket(socket.AF_UNIX) as others:
        others.bind(str(tmp_path / "others"))
        (tmp_path / "api.sock").symlink_to(tmp_path / "others")
        with pytest.raises(SandboxDied, match=r"something else in the place of api\.sock"):
            pinned(tmp_path / "api.sock")
        (tmp_path / "api.sock").unlink()
        os.mkfifo(tmp_path / "api.sock")
        with pytest.raises(SandboxDied):
            pinned(tmp_path / "api.sock")


async def test_a_path_too_long_for_a_socket_is_none(tmp_path: Path) -> None:
    """A home folder far down a tree works as any other: 108 bytes are a socket's own limit."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    async with served(deep, sized(b'{"a": 1}')) as api:
        assert await api.get("/version") == {"a": 1}


async def test_closing_frees_every_descriptor(tmp_path: Path) -> None:
    """After a call and a close as many are open as before."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    async with served(tmp_path, sized(b"{}")) as api:
        await api.ask(CALL)
        await api.close()
    await asyncio.sleep(0)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
