"""Readers that take nothing: they are cut off, what waits for them is bounded, others go on."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from served import Served, served

TAKE_S = 0.4
MOST = 24 << 20
"""More than a system's buffers of both sides come to; less than is offered."""

OFFERED = 64 << 20
LOUD = "```python\nfor _ in range(400): print('x' * 20_000, flush=True)\n```"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, take_s=TAKE_S) as server:
        yield server


async def stalled(server: Served, request: str) -> socket.socket:
    """A connection that asked and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", server.port))
    await loop.sock_sendall(sock, f"{request} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return sock


async def cut(sock: socket.socket) -> int:
    """Wait until the server has cut the connection, reading nothing; then how much comes still."""
    loop, until = asyncio.get_running_loop(), time.monotonic() + 60
    while sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED:
        assert time.monotonic() < until, "the server holds on to a reader that takes nothing"
        await asyncio.sleep(0.05)
    came = 0
    try:
        while piece := await loop.sock_recv(sock, 1 << 20):
            came += len(piece)
    except ConnectionResetError:
        return came
    raise AssertionError("the server ended the answer in order")


ESTABLISHED = 1
"""The first byte of the kernel's `tcp_info`."""


async def test_a_download_that_nobody_takes_is_cut(server: Served):
    """Its memory is what the kernel's buffers hold, not the file."""
    async with server.client() as client:
        content = bytes(1 << 20) * (OFFERED >> 20)
        sent = await client.post("/api/upload", params={"name": "large"}, content=content)
        path = f"/api/artifacts/{sent.json()['id']}/content"
        with await stalled(server, f"GET {path}") as sock:
            assert await cut(sock) < MOST
        async with client.stream("GET", path) as response:
            assert sum([len(piece) async for piece in response.aiter_bytes()]) == OFFERED


async def test_a_stream_that_nobody_takes_is_cut_and_can_be_had_again(server: Served):
    """The run goes on meanwhile; whoever reads it afterwards gets every record once."""
    async with server.client() as client:
        await client.post("/api/chat", json={"message": LOUD})
        run_id = (await client.get("/api/runs")).json()["items"][0]["id"]
        path = f"/api/runs/{run_id}/events"
        with await stalled(server, f"GET {path}") as sock:
            await cut(sock)
        whole = (await client.get(path)).text
        numbers = [int(line[4:]) for line in whole.splitlines() if line.startswith("id: ")]
        assert numbers == list(range(1, len(numbers) + 1))
        async with asyncio.timeout(20):
            while "forge_streams 0.0" not in (await client.get("/metrics")).text:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.05)
