"""The wire in asyncio, over real socket pairs: back-pressure, resets, ends and cancellation."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from forge_guest.wire.channel import Channel, ChannelClosed, Stream, StreamReset
from forge_guest.wire.frames import FrameDecoder, Type, WireError, encode
from forge_guest.wire.greeting import hello
from forge_guest.wire.session import WINDOW, Data, Message, Session
from forge_guest.wire.transport import FdTransport

PATIENCE = 60.0
NONCE = bytes(16)
GREETED = hello(NONCE)[10:]


@dataclass
class Pair:
    host: Channel
    guest: Channel
    opened: asyncio.Queue[Stream]

    async def stream(self, *, fin: bool = False) -> tuple[Stream, Stream]:
        """The two ends of a new stream."""
        ours = await self.host.open({"verb": "x"}, fin=fin)
        return ours, await self.opened.get()


async def quiet(channel: Channel) -> None:
    try:
        await channel.run()
    except WireError as error:
        channel.close(error)


@asynccontextmanager
async def connected() -> AsyncIterator[Pair]:
    one, other = socket.socketpair()
    opened: asyncio.Queue[Stream] = asyncio.Queue()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        host = Channel(FdTransport(one.detach()), host=True)
        guest = Channel(FdTransport(other.detach()), host=False, on_open=opened.put_nowait)
        tasks.create_task(quiet(host))
        tasks.create_task(quiet(guest))
        try:
            yield Pair(host, guest, opened)
        finally:
            host.close(ChannelClosed("the test is over"))
            guest.close(ChannelClosed("the test is over"))


@asynccontextmanager
async def lone_host() -> AsyncIterator[tuple[Channel, socket.socket]]:
    """A host whose other side is a bare socket."""
    one, other = socket.socketpair()
    other.setblocking(False)
    with other:
        async with asyncio.timeout(PATIENCE):
            host = Channel(FdTransport(one.detach()), host=True)
            other.send(other.recv(len(hello(NONCE))))
            try:
                yield host, other
            finally:
                host.close(ChannelClosed("the test is over"))


class Scripted:
    """A transport that is full, or always has more to read, as the test says."""

    def __init__(self, *, full: bool = False, endless: bytes = b"") -> None:
        self.written = bytearray()
        self.closed = False
        self.full = full
        self._endless = endless

    async def read(self) -> bytes:
        return self._endless

    def write(self, data: bytes) -> None:
        self.written += data

    def discard(self) -> None:
        self.written.clear()

    async def drain(self) -> None:
        if self.full:
            await asyncio.Event().wait()

    def close(self) -> None:
        self.closed = True


async def settled() -> None:
    """Let everything happen that can happen without us."""
    for _ in range(200):
        await asyncio.sleep(0)


async def all_of(stream: Stream) -> bytes:
    received = b""
    while (item := await stream.receive()) is not None:
        assert isinstance(item, Data)
        received += item.data
    return received


async def test_a_conversation_goes_both_ways_and_leaves_nothing():
    """Request, data, messages and both ends; afterwards neither side remembers the stream."""
    async with connected() as pair:
        ours, theirs = await pair.stream()
        assert theirs.request == {"verb": "x"}
        await ours.send(3, b"abc")
        await ours.finish()
        assert await theirs.receive() == Data(1, 3, b"abc", fin=False, cost=68)
        assert await theirs.receive() is None
        await theirs.message({"answer": 1}, fin=True)
        item = await ours.receive()
        assert isinstance(item, Message)
        assert item.value == {"answer": 1}
        assert await ours.receive() is None
        for channel in (pair.host, pair.guest):
            assert channel._streams == {}
            assert channel.session._streams == {}


async def test_the_last_piece_ends_a_direction():
    """Data and its end travel in one frame; nothing at all can end a direction too."""
    async with connected() as pair:
        ours, theirs = await pair.stream()
        await ours.send(0, b"abc", fin=True)
        assert await theirs.receive() == Data(1, 0, b"abc", fin=True, cost=68)
        assert await theirs.receive() is None
        await theirs.send(1, b"", fin=True)
        assert await ours.receive() is None
        assert pair.host._streams == pair.guest._streams == {}


async def test_who_waits_for_something_else_is_told_of_an_early_end():
    """The call comes while the block runs, and `check` then says why."""
    async with connected() as pair:
        ours, theirs = await pair.stream()
        told = asyncio.Event()
        with theirs.calling(told.set):
            theirs.check()
            ours.reset("cancelled", "no longer wanted")
            await told.wait()
        with pytest.raises(StreamReset, match="no longer wanted"):
            theirs.check()


async def test_a_megabyte_arrives_whole_through_a_window_of_a_quarter():
    """Credit comes back as the receiver reads, so size has no limit."""
    data = os.urandom(1_000_000)
    async with connected() as pair, asyncio.TaskGroup() as tasks:
        ours, theirs = await pair.stream()

        async def send() -> None:
            await theirs.send(1, data)
            await theirs.finish()

        tasks.create_task(send())
        assert await all_of(ours) == data


async def test_who_does_not_read_stops_that_stream_and_no_other():
    """A sender waits once the window is full, in bounded memory, while another stream flows."""
    async with connected() as pair:
        slow, to_slow = await pair.stream()
        brisk, to_brisk = await pair.stream()
        async with asyncio.TaskGroup() as tasks:
            stuck = tasks.create_task(to_slow.send(1, bytes(4 * WINDOW)))
            await settled()
            await to_brisk.send(1, b"through")
            item = await brisk.receive()
            assert isinstance(item, Data)
            assert item.data == b"through"
            await settled()
            assert not stuck.done()
            held = sum(len(item.data) for item in slow._inbox if isinstance(item, Data))
            assert held <= WINDOW
            stuck.cancel()


async def test_a_slow_reader_gets_everything_in_the_end():
    """What waited in the window and what waited for credit arrive in order."""
    data = os.urandom(3 * WINDOW)
    async with connected() as pair, asyncio.TaskGroup() as tasks:
        ours, theirs = await pair.stream()
        tasks.create_task(theirs.send(1, data))
        received = b""
        while len(received) < len(data):
            await settled()
            item = await ours.receive()
            assert isinstance(item, Data)
            received += item.data
        assert received == data


@pytest.mark.parametrize("by_host", [True, False])
async def test_a_reset_reaches_the_other_side_with_its_reason(by_host):
    """Whoever gives up, the other is told why, and both forget the stream."""
    async with connected() as pair:
        ours, theirs = await pair.stream()
        giving_up, told = (ours, theirs) if by_host else (theirs, ours)
        giving_up.reset("quota", "the disk is full")
        with pytest.raises(StreamReset, match="the disk is full") as caught:
            await told.receive()
        assert caught.value.code == "quota"
        with pytest.raises(StreamReset):
            await told.send(1, b"more")
        with pytest.raises(StreamReset):
            await told.given_up()
        await settled()
        assert pair.host.session._streams == {}
        assert pair.guest.session._streams == {}


async def test_a_reset_wakes_whoever_waits_on_this_end():
    """A receiver and a sender without credit both end when their own side gives up."""
    async with connected() as pair:
        ours, theirs = await pair.stream()
        async with asyncio.TaskGroup() as tasks:
            waiting = [
                tasks.create_task(outcome(theirs.receive())),
                tasks.create_task(outcome(theirs.send(1, bytes(3 * WINDOW)))),
                tasks.create_task(outcome(theirs.given_up())),
            ]
            await settled()
            theirs.reset("cancelled", "enough")
        assert [type(task.result()) for task in waiting] == [ChannelClosed] * 3
        with pytest.raises(StreamReset):
            await ours.given_up()


async def outcome(awaitable) -> object:
    try:
        return await awaitable
    except (ChannelClosed, StreamReset) as error:
        return error


@pytest.mark.parametrize("by_host", [True, False])
async def test_closing_ends_every_stream_on_both_sides(by_host):
    """Receivers, senders and watchers of every stream are told; later calls too."""
    async with connected() as pair:
        ends = [end for _ in range(3) for end in await pair.stream()]
        async with asyncio.TaskGroup() as tasks:
            waiting = [
                tasks.create_task(outcome(call))
                for end in ends
                for call in (end.receive(), end.given_up(), end.send(1, bytes(2 * WINDOW)))
            ]
            await settled()
            (pair.host if by_host else pair.guest).close(ChannelClosed("over"))
        # What was received before the end may still be read.
        results = [task.result() for task in waiting]
        assert {type(each) for each in results if not isinstance(each, Data)} == {ChannelClosed}
        with pytest.raises(ChannelClosed):
            await pair.host.open({})


async def test_what_arrived_before_the_end_can_still_be_received():
    """The end of the connection does not eat what the other side said before."""
    async with connected() as pair:
        ours, theirs = await pair.stream()
        await theirs.send(1, bytes(WINDOW - 10_000))
        await settled()
        pair.guest.close(ChannelClosed("gone"))
        await settled()
        received = 0
        while isinstance(item := await outcome(ours.receive()), Data):
            received += len(item.data)
        assert isinstance(item, ChannelClosed)
        assert received == WINDOW - 10_000


async def test_a_cancelled_receiver_has_lost_nothing():
    """Cancelling at any point leaves every piece for the next receiver, in order."""
    data = os.urandom(2 * WINDOW)
    async with connected() as pair, asyncio.TaskGroup() as tasks:
        ours, theirs = await pair.stream()
        tasks.create_task(theirs.send(1, data))
        received, turn = b"", 0

        async def receive() -> None:
            nonlocal received
            item = await ours.receive()
            assert isinstance(item, Data)
            received += item.data

        while len(received) < len(data):
            task = tasks.create_task(receive())
            turn += 1
            for _ in range(turn % 4):
                await asyncio.sleep(0)
            task.cancel()
            await settled()
        assert received == data


async def test_a_cancelled_sender_leaves_the_channel_usable():
    """A sender cancelled while it waits for credit sent whole frames; other streams go on."""
    async with connected() as pair:
        ours, theirs = await pair.stream()
        async with asyncio.TaskGroup() as tasks:
            stuck = tasks.create_task(theirs.send(1, bytes(2 * WINDOW)))
            await settled()
            stuck.cancel()
        theirs.reset("cancelled", "")
        with pytest.raises(StreamReset):
            await all_of(ours)
        again, answering = await pair.stream()
        await answering.message({"still": "here"}, fin=True)
        assert (await again.receive()).value == {"still": "here"}


async def test_an_open_that_is_cancelled_gives_its_stream_up():
    """The request may have been sent already: the other side is told that nobody waits."""
    transport = Scripted(full=True)
    host = Channel(transport, host=True)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        opening = tasks.create_task(host.open({"verb": "late"}))
        await settled()
        assert not opening.done()
        opening.cancel()
    frames = list(FrameDecoder().feed(bytes(transport.written)))
    assert [frame.type for frame in frames] == [Type.HELLO, Type.OPEN, Type.RESET]
    assert host._streams == {}
    assert not host.session.alive(1)


async def test_a_final_message_that_is_cancelled_leaves_nothing_behind():
    """Its frame is on its way, so the stream is over, whoever waited for the line to drain."""
    transport = Scripted()
    host = Channel(transport, host=True)
    stream = await host.open({})
    for happening in host.session.feed(encode(Type.MESSAGE, 1, b"{}", fin=True)):
        host._dispatch(happening)
    transport.full = True
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        last = tasks.create_task(stream.message({}, fin=True))
        await settled()
        last.cancel()
    assert host._streams == {}
    assert host.session._streams == {}


async def drained(side: socket.socket) -> bytes:
    received = b""
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(side, 1 << 20):
        received += data
    return received


async def test_a_new_host_ends_what_the_former_left():
    """HELLO: handlers of the former host are told, and cannot touch the new host's streams."""
    one, other = socket.socketpair()
    opened: asyncio.Queue[Stream] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    with other:
        other.setblocking(False)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            guest = Channel(FdTransport(one.detach()), host=False, on_open=opened.put_nowait)
            tasks.create_task(quiet(guest))
            former = Session(host=True)
            request = former.open({"host": 1})[1]
            piece = former.data(1, 1, bytes(60_000))
            await loop.sock_sendall(other, hello(NONCE) + request + piece * 4)
            stale = await opened.get()
            await settled()
            current = Session(host=True)
            await loop.sock_sendall(other, hello(NONCE) + current.open({"host": 2})[1])
            fresh = await opened.get()
            assert fresh.number == stale.number
            for _ in range(4):
                assert isinstance(await stale.receive(), Data)
            assert isinstance(await outcome(stale.receive()), ChannelClosed)
            assert isinstance(await outcome(stale.message({"to": 1}, fin=True)), ChannelClosed)
            assert isinstance(await outcome(stale.send(1, b"x")), ChannelClosed)
            assert isinstance(await outcome(stale.given_up()), ChannelClosed)
            stale.reset("refused", "too late")
            await fresh.message({"to": 2}, fin=True)
            guest.close(ChannelClosed("over"))
        happened = current.feed((await drained(other)).partition(hello(NONCE) * 2)[2])
        assert [type(each) for each in happened] == [Message]
        assert happened[0].value == {"to": 2}


async def test_a_handler_that_ended_cannot_reset_a_new_hosts_stream():
    """A stream both sides were done with is forgotten; its number may be another's by now."""
    one, other = socket.socketpair()
    opened: asyncio.Queue[Stream] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    with other:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            other.setblocking(False)
            guest = Channel(FdTransport(one.detach()), host=False, on_open=opened.put_nowait)
            tasks.create_task(quiet(guest))
            former, current = Session(host=True), Session(host=True)
            await loop.sock_sendall(other, hello(NONCE) + former.open({}, fin=True)[1])
            stale = await opened.get()
            await stale.message({}, fin=True)
            await loop.sock_sendall(other, hello(NONCE) + current.open({})[1])
            fresh = await opened.get()
            stale.reset("refused", "an error after the answer")
            assert isinstance(await outcome(stale.send(1, b"x")), ChannelClosed)
            await fresh.message({"answer": 2}, fin=True)
            guest.close(ChannelClosed("over"))
        frames = list(FrameDecoder().feed(await drained(other)))
        assert [frame.payload for frame in frames] == [GREETED, b"{}", GREETED, b'{"answer":2}']


async def test_reading_without_end_leaves_turns_to_others():
    """A transport that never makes the reader wait does not keep the loop to itself."""
    transport = Scripted(endless=hello(NONCE))
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(Channel(transport, host=False).run())
        await settled()
        reading.cancel()
    assert transport.closed


async def test_what_comes_in_one_piece_is_all_delivered():
    """The last frame of a stream is not lost because the session has read it already."""
    async with lone_host() as (host, other):
        stream = await host.open({}, fin=True)
        pieces = [encode(Type.DATA, 1, b"\1" + bytes((n,))) for n in range(5)]
        other.send(b"".join(pieces) + encode(Type.MESSAGE, 1, b'{"last":1}', fin=True))
        other.shutdown(socket.SHUT_WR)
        await host.run()
        received = [await stream.receive() for _ in range(6)]
        assert [item.data for item in received[:5]] == [bytes((n,)) for n in range(5)]
        assert received[5].value == {"last": 1}
        assert await stream.receive() is None


async def test_a_violation_closes_the_connection_and_is_raised():
    """The reading task learns of it, every stream ends, and the socket is closed."""
    async with lone_host() as (host, other):
        stream = await host.open({})
        other.send(b"\xff" * 10)
        with pytest.raises(WireError):
            await host.run()
        with pytest.raises(ChannelClosed):
            await stream.receive()
        assert b'"verb"' not in await drained(other)


async def test_a_host_takes_no_requests():
    """A guest that opens a stream towards the host breaks the rules."""
    async with lone_host() as (host, other):
        other.send(encode(Type.OPEN, 2, b"{}"))
        with pytest.raises(WireError, match="takes no requests"):
            await host.run()


async def test_writing_after_the_end_does_nothing():
    """A closed transport swallows what is written, even when it had unsent bytes."""
    one, other = socket.socketpair()
    with other:
        transport = FdTransport(one.detach())
        transport.write(bytes(4_000_000))
        transport.close()
        transport.write(b"late")
        transport.close()
        async with asyncio.timeout(PATIENCE):
            await transport.drain()
            assert await transport.read() == b""


async def test_a_line_that_is_full_makes_writers_wait_until_it_is_read():
    """`drain` returns only once most of what was written has gone."""
    one, other = socket.socketpair()
    with other:
        other.setblocking(False)
        transport = FdTransport(one.detach())
        transport.write(bytes(2_000_000))
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            draining = tasks.create_task(transport.drain())
            await settled()
            assert not draining.done()
            received = 0
            while received < 2_000_000:
                received += len(await asyncio.get_running_loop().sock_recv(other, 1 << 20))
            await draining
        transport.close()


async def test_what_does_not_fit_is_sent_later_in_order():
    """Pieces of every size, more than a socket holds, arrive as the bytes that they were."""
    one, other = socket.socketpair()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
    other.setblocking(False)
    sizes = (0, 1, 10, 4_096, 32_767, 32_768, 32_769, 65_546, 200_000, 3)
    sent = b"".join(os.urandom(size) for size in sizes)
    with other:
        transport = FdTransport(one.detach())
        start = 0
        for size in sizes:
            transport.write(sent[start : start + size])
            start += size
        reading = FdTransport(os.dup(other.fileno()))
        found = b""
        async with asyncio.timeout(PATIENCE):
            while len(found) < len(sent):
                found += await reading.read()
            await transport.drain()
        reading.close()
        transport.close()
    assert found == sent


async def test_what_is_discarded_is_never_sent():
    """Whatever did not fit into a pipe is gone, and what is written next follows what did fit."""
    theirs, unused = os.pipe()
    reading, writing = os.pipe()
    transport = FdTransport(theirs, writing)
    transport.write(b"a" * 1_000_000)
    transport.discard()
    fitted = os.read(reading, 1_000_000)
    transport.write(b"b")
    async with asyncio.timeout(PATIENCE):
        await transport.drain()
        await asyncio.sleep(0)
    assert set(fitted) == {ord("a")}
    assert os.read(reading, 10) == b"b"
    transport.close()
    os.close(unused)
    os.close(reading)


async def test_bytes_written_after_the_other_side_left_are_dropped():
    """A broken pipe is no exception for whoever writes; the reader learns of the end."""
    one, other = socket.socketpair()
    transport = FdTransport(one.detach())
    other.close()
    transport.write(b"anyone?")
    async with asyncio.timeout(PATIENCE):
        await transport.drain()
        assert await transport.read() == b""
    transport.close()


async def test_a_line_that_is_held_says_one_thing_more_and_nothing_else():
    """After `hold` only its own request goes out; what follows comes after `release`, in order."""
    async with lone_host() as (host, other), asyncio.TaskGroup() as tasks:
        before = await host.open({"n": 1})
        asked = host.hold({"n": 2})
        assert host.streams == 2
        later = tasks.create_task(host.open({"n": 3}))
        before.reset("cancelled", "")
        await settled()
        assert not later.done()
        sent = list(FrameDecoder().feed(other.recv(1 << 16)))
        assert [(f.type, f.stream) for f in sent] == [(Type.OPEN, 1), (Type.OPEN, asked.number)]
        host.release()
        await later
        sent = list(FrameDecoder().feed(other.recv(1 << 16)))
        assert [(f.type, f.stream) for f in sent] == [(Type.RESET, 1), (Type.OPEN, 5)]


async def test_a_guest_that_is_greeted_drops_what_it_had_not_sent():
    """Half a frame for the former host is not finished before the answer to the new one."""
    transport = Scripted()
    guest = Channel(transport, host=False)
    transport.write(b"half a frame")
    for happening in guest.session.feed(hello(NONCE)):
        guest._dispatch(happening)
    assert bytes(transport.written) == hello(NONCE)
