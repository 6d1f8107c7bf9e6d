"""A guest that is the enemy: whatever it sends, the host raises one of its named errors, keeps its
memory, and stays free for everybody else.

Each test speaks to the host's real agent over a real socket, from a thread-free raw peer that
knows the wire and abuses it.
"""

import asyncio
import json
import random
import socket
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from forge.errors import (
    GuestRefused,
    GuestViolation,
    SandboxDied,
    SandboxError,
    SandboxStopped,
    SandboxUnresponsive,
)
from forge.sandbox.agent import deadlines
from forge.sandbox.commands import Command
from forge.sandbox.output import Display, Output
from forge_guest.wire.frames import HEADER, MAX_PAYLOAD, Type, encode
from forge_guest.wire.greeting import hello
from talking import Wired

NAMED = (GuestViolation, SandboxDied, SandboxStopped, SandboxUnresponsive)
DONE = {"exit_code": 0, "signal": None, "timed_out": False, "duration_ms": 1}


@asynccontextmanager
async def machine(peer, on_broken=lambda _: None) -> AsyncIterator[Wired]:
    """An agent whose machine is `peer`, a function of the bare socket."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    agent = Wired(ours.detach(), on_broken)
    theirs.send(theirs.recv(len(hello(bytes(16)))))  # the greeting, answered
    with theirs:
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            tasks.create_task(agent.run())
            playing = tasks.create_task(play(peer, theirs))
            try:
                yield agent
            finally:
                agent.close()
                playing.cancel()


async def play(peer, side: socket.socket) -> None:
    try:
        await peer(side)
    except OSError:
        return  # the host closed the line on it, as it should


async def send(side: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(side, data)


async def asked(side: socket.socket) -> None:
    """Wait until the host has said anything after its HELLO."""
    await asyncio.get_running_loop().sock_recv(side, 65536)


async def nowhere(item: Output | Display) -> None:
    """A sink that keeps nothing."""


async def attempt(agent: Wired, deadline_s: float = 0.2) -> SandboxError | None:
    try:
        await agent.commands.run(Command(("true",), deadline_s), nowhere)
    except SandboxError as error:
        return error
    return None


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """No test waits for the margins of a slow host."""
    for name in ("MARGIN_S", "QUICK_S", "STALL_S"):
        monkeypatch.setattr(deadlines, name, 0.2)


def piece(lane: int, data: bytes) -> bytes:
    return encode(Type.DATA, 1, bytes((lane,)) + data)


@pytest.mark.parametrize("seed", range(40))
async def test_noise_ends_the_machine_with_a_named_error(seed):
    """Random bytes, and random frames with plausible headers."""
    rng = random.Random(seed)

    async def noise(side):
        while True:
            payload = rng.randbytes(rng.randrange(200))
            header = HEADER.pack(len(payload), rng.randrange(4), rng.randrange(7), rng.randrange(2))
            await send(side, (header if seed % 2 else b"") + payload)

    async with machine(noise) as agent:
        assert isinstance(await attempt(agent), NAMED)
        assert isinstance(await attempt(agent), SandboxStopped)


@pytest.mark.parametrize(
    "bomb",
    [
        b'{"exit_code":' + b"[" * 60_000,
        b'{"a":' * 12_000,
        b'{"exit_code": ' + b"9" * 60_000 + b"}",
        b'{"duration_ms": 1e999}',
        b'{"exit_code":0,"signal":null,"timed_out":false,"duration_ms":' + b"9" * 4_000 + b"}",
        b"\xff\xfe" + "{}".encode("utf-16-le"),
        b'{"exit_code": NaN}',
        b"{}" * 1_000,
    ],
    ids=["brackets", "braces", "digits", "infinity", "beyond-a-double", "utf-16", "nan", "many"],
)
async def test_a_bomb_in_json_is_a_violation(bomb):
    """Depth, digits and numbers that no double holds are refused by name."""

    async def peer(side):
        await asked(side)
        await send(side, encode(Type.MESSAGE, 1, bomb, fin=True))
        await asyncio.Event().wait()

    async with machine(peer) as agent:
        assert isinstance(await attempt(agent), GuestViolation)


@pytest.mark.parametrize(
    "flood",
    [
        encode(Type.CREDIT, 1, b"\0\0\0\1"),
        encode(Type.RESET, 1, b"{}"),
        encode(Type.MESSAGE, 1, b"{}"),
        piece(1, b""),
        piece(1, b"x"),
        piece(2, bytes(60_000)),
        piece(3, b"\0\0\0\2{}"),
        piece(3, b"\3\0\0\0" + bytes(60_000)),
        piece(200, b"x"),
        encode(Type.OPEN, 2, b"{}"),
    ],
    ids=lambda frame: f"{Type(frame[8]).name}-{len(frame)}",
)
async def test_a_flood_neither_fills_the_host_nor_stops_it(flood):
    """Frames without end: bounded memory, other tasks go on, and the call ends with a name."""

    async def peer(side):
        await asked(side)
        while True:
            await send(side, flood * max(1, 30_000 // len(flood)))

    turns = 0

    async def somebody_else():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    tracemalloc.start()
    try:
        async with machine(peer) as agent, asyncio.TaskGroup() as tasks:
            other = tasks.create_task(somebody_else())
            error = await attempt(agent)
            # A refusal is legal once; what follows it is not.
            assert isinstance(
                error if not isinstance(error, GuestRefused) else await attempt(agent), NAMED
            )
            other.cancel()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert turns > 0
    assert peak < 16 << 20


async def test_a_sink_that_waits_bounds_what_the_host_keeps():
    """While nobody takes the output, a guest that ignores its credit is found out in a window."""

    async def peer(side):
        await asked(side)
        while True:
            await send(side, piece(1, bytes(60_000)))

    async def stuck(item):
        await asyncio.Event().wait()

    tracemalloc.start()
    try:
        broken = asyncio.get_running_loop().create_future()
        async with machine(peer, broken.set_result) as agent, asyncio.TaskGroup() as tasks:
            call = tasks.create_task(agent.commands.run(Command(("true",), 5.0), stuck))
            assert isinstance(await broken, GuestViolation)
            call.cancel()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


async def test_an_endless_listing_is_bounded_in_memory(monkeypatch):
    """Lines without end are refused at the limit, not kept."""
    monkeypatch.setattr("forge.sandbox.agent.answers.MAX_LISTING", 1 << 20)

    async def peer(side):
        await asked(side)
        while True:
            await send(side, piece(1, b"{}\n" * 10_000))

    async with machine(peer) as agent:
        with pytest.raises((GuestViolation, SandboxDied)):
            await agent.files.list("a")


@pytest.mark.parametrize("path", ["../../etc/passwd", "a", "", "/a\0", "//", 7, None])
async def test_a_listing_cannot_smuggle_paths(path):
    """What a guest lists is absolute and whole, or the listing is refused."""
    entry = {"path": path, "kind": "file", "size": 1, "mode": 1, "modified": 1}

    async def peer(side):
        await asked(side)
        await send(side, piece(1, json.dumps(entry).encode() + b"\n"))
        await send(side, encode(Type.MESSAGE, 1, b"{}", fin=True))
        await asyncio.Event().wait()

    async with machine(peer) as agent:
        if path == "//":
            assert (await agent.files.list("a"))[0].path == "//"
        else:
            with pytest.raises(GuestViolation):
                await agent.files.list("a")


async def test_words_of_a_guest_cannot_steer_the_terminal():
    """Escapes, line ends and control characters of a refusal do not reach the person."""
    reason = json.dumps({"code": "refused", "message": "\x1b]0;owned\x07\r\n\x9b31m" * 100})

    async def peer(side):
        await asked(side)
        await send(side, encode(Type.RESET, 1, reason.encode()))
        await asyncio.Event().wait()

    async with machine(peer) as agent:
        error = await attempt(agent)
        assert error is not None
        assert error.message.isprintable()
        assert len(error.message) < 600


async def test_one_machine_cannot_harm_the_calls_of_another():
    """A violation in one machine leaves the next one's call to its own end."""

    async def hostile(side):
        await send(side, b"\xff" * MAX_PAYLOAD)

    async def honest(side):
        await asked(side)
        await send(side, encode(Type.MESSAGE, 1, json.dumps(DONE).encode(), fin=True))
        await asyncio.Event().wait()

    async with machine(honest) as good, machine(hostile) as bad:
        assert isinstance(await attempt(bad), NAMED)
        assert await attempt(good) is None


async def test_a_guest_that_says_nothing_holds_nobody_for_long():
    """A mute machine is destroyed at the deadline, and closing it is immediate."""

    async def mute(side):
        await asyncio.Event().wait()

    async with machine(mute) as agent:
        assert isinstance(await attempt(agent), SandboxUnresponsive)
