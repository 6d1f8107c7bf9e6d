"""The host's side of every verb, against a guest that answers, refuses, lies, hangs or dies."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from forge.errors import (
    ContextNotFound,
    FileNotFound,
    GuestRefused,
    GuestViolation,
    InputRefused,
    PathRefused,
    QuotaExceeded,
    SandboxDied,
    SandboxError,
    SandboxStopped,
    SandboxUnresponsive,
)
from forge.sandbox.agent import deadlines
from forge.sandbox.code import ContextInfo
from forge.sandbox.commands import Command, ExecResult
from forge.sandbox.output import Display, Output
from forge.testing.guest import FakeGuest, Verb, fake_guest, never, received
from forge_guest.wire.frames import HEADER, MAX_PAYLOAD, Type, encode
from forge_guest.wire.session import MAX_STREAMS, WINDOW
from talking import Wired

DONE = {"exit_code": 0, "signal": None, "timed_out": False, "duration_ms": 1.0}
OK = {"status": "ok", "duration_ms": 1.0}
ENTRY = {"path": "/home/user/a", "kind": "file", "size": 1, "mode": 0o644, "modified": 1.0}


@dataclass
class Told:
    """An agent, its guest, and what the owner of the machine was told."""

    agent: Wired
    guest: FakeGuest
    broken: list[SandboxError] = field(default_factory=list)
    shown: list[Output | Display] = field(default_factory=list)

    async def sink(self, item: Output | Display) -> None:
        self.shown.append(item)

    @property
    def stdout(self) -> bytes:
        return b"".join(
            item.data for item in self.shown if isinstance(item, Output) and item.stream == "stdout"
        )

    async def exec(self, *argv: str, deadline_s: float = 5.0, stdin: bytes = b"") -> ExecResult:
        command = Command(argv or ("true",), deadline_s=deadline_s, stdin=stdin)
        return await self.agent.commands.run(command, self.sink)

    async def code(self, code: str = "1", *, deadline_s: float = 5.0, context: str = "default"):
        return await self.agent.code.run(code, self.sink, deadline_s=deadline_s, context=context)


@asynccontextmanager
async def talking(verbs: Mapping[str, Verb]) -> AsyncIterator[Told]:
    async with asyncio.timeout(60), fake_guest(verbs) as guest:
        broken: list[SandboxError] = []
        agent = Wired(guest.fd, broken.append)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(agent.run())
            try:
                yield Told(agent, guest, broken)
            finally:
                agent.close()


@pytest.fixture
def impatient(monkeypatch):
    """Every wait of the agent's own is a tenth of a second."""
    for name in ("MARGIN_S", "QUICK_S", "STALL_S", "PREPARE_S", "CONTEXT_S"):
        monkeypatch.setattr(deadlines, name, 0.1)


async def passed(seconds: float) -> None:
    """Time itself: what a slow guest or caller takes."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, over.set)
    await over.wait()


async def content(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def read(told: Told, path: str = "a", *, limit: int = 1_000_000) -> bytes:
    return b"".join([piece async for piece in told.agent.files.read(path, limit=limit)])


def says(*messages: dict[str, object]) -> Verb:
    """A verb that sends messages, the last of them with the end."""

    async def verb(stream):
        for value in messages[:-1]:
            await stream.message(value)
        await stream.message(messages[-1], fin=True)

    return verb


def refuses(code: str, message: str = "no") -> Verb:
    async def verb(stream):
        stream.reset(code, message)

    return verb


# -- each verb, as it should be ----------------------------------------------------------------


async def test_a_command_streams_its_output_and_ends():
    """Request, input, both lanes live, and the result."""

    async def verb(stream):
        await stream.message({"pid": 7})
        await stream.send(1, b"out:" + await received(stream))
        await stream.send(2, b"err")
        await stream.message(DONE | {"exit_code": 3}, fin=True)

    async with talking({"exec": verb}) as told:
        command = Command(("a", "b"), 5.0, cwd="sub", env={"K": "v"}, user="root", stdin=b"in")
        result = await told.agent.commands.run(command, told.sink)
        assert result == ExecResult(3, None, timed_out=False, duration_ms=1.0)
        assert told.shown == [Output("stdout", b"out:in"), Output("stderr", b"err")]
        assert told.guest.requests == [
            {
                "verb": "exec",
                "argv": ["a", "b"],
                "cwd": "/home/user/sub",
                "env": {"K": "v"},
                "user": "root",
                "pty": None,
                "tag": "",
                "deadline_s": 5.0,
            }
        ]
        assert told.broken == []


async def test_code_shows_displays_in_order_with_its_output():
    """A display that comes in pieces is put together where it belongs."""
    record = json.dumps({"data": {"text/plain": "2"}, "main": True}).encode()
    record = len(record).to_bytes(4, "big") + record

    async def verb(stream):
        code = await received(stream)
        await stream.send(1, code)
        await stream.send(3, record[:5])
        await stream.send(3, record[5:])
        await stream.send(1, b"after")
        await stream.message(OK, fin=True)

    async with talking({"code": verb}) as told:
        result = await told.code("1 + 1 # \ud800é", context="other")
        assert result.status == "ok"
        assert told.shown == [
            Output("stdout", "1 + 1 # \ud800é".encode("utf-8", "surrogatepass")),
            Display({"text/plain": "2"}, main=True),
            Output("stdout", b"after"),
        ]
        assert told.guest.requests[0]["context"] == "other"


CONTEXT = {"id": "a", "language": "python", "cwd": "/", "cells": 0, "busy": False}


@pytest.mark.parametrize(
    "lie",
    [
        {"contexts": None},
        {"contexts": [1]},
        *(
            {"contexts": [CONTEXT | wrong]}
            for wrong in (
                {"id": "../x"},
                {"id": ""},
                {"id": "x" * 65},
                {"id": 5},
                {"language": "cobol"},
                {"language": ["python"]},
                {"cwd": ""},
                {"cwd": "x" * 513},
                {"cells": -1},
                {"cells": True},
                {"busy": "yes"},
            )
        ),
    ],
)
async def test_a_guest_that_lies_about_its_contexts_is_found_out(lie):
    """A context is a name, a known language, a folder, a count and a flag; all else ends it."""

    async def verb(stream):
        await stream.message(lie, fin=True)

    async with talking({"contexts": verb}) as told:
        with pytest.raises(GuestViolation):
            await told.agent.code.contexts()


async def test_contexts_are_made_told_and_ended():
    """Each request says what it is about; a context without a name is given one by the host."""

    async def told_of(stream):
        await stream.message(CONTEXT, fin=True)

    async def busy(stream):
        await stream.message({"busy": True}, fin=True)

    verbs = {"create_context": told_of, "restart_context": told_of, "interrupt_context": busy}
    async with talking(verbs | {"remove_context": busy}) as told:
        code = told.agent.code
        assert (await code.create()).id == "a"
        assert await code.restart("a") == ContextInfo("a", "python", "/", 0, busy=False)
        assert await code.interrupt("a") is True
        await code.remove("a")
        assert len(told.guest.requests[0]["context"]) == 16
        assert [each["context"] for each in told.guest.requests[1:]] == ["a"] * 3


async def test_a_file_is_written_read_and_listed():
    """Pieces of any size arrive whole, both ways."""
    kept = b""

    async def write(stream):
        nonlocal kept
        kept = await received(stream)
        await stream.message({"size": len(kept)}, fin=True)

    async def send(stream):
        await stream.message({"size": len(kept)})
        await stream.send(1, kept)
        await stream.message({}, fin=True)

    async def entries(stream):
        lines = [json.dumps(ENTRY | {"path": path}) for path in ("/b", "/a/x", "/a")]
        await stream.send(1, "".join(f"{line}\n" for line in lines).encode())
        await stream.message({"count": 3}, fin=True)

    async with talking({"write": write, "read": send, "list": entries}) as told:
        assert await told.agent.files.write("a", content(b"x" * 600_000, b"", b"end")) == 600_003
        assert await read(told) == b"x" * 600_000 + b"end"
        assert [each.path for each in await told.agent.files.list(".", depth=2)] == [
            "/a",
            "/a/x",
            "/b",
        ]
        assert told.broken == []


async def test_a_machine_is_greeted_prepared_and_given_its_facts():
    """The verbs that come before anyone uses the machine."""
    verbs = {
        "ping": says({"version": 1}),
        "prepare": says({"failures": ["plotly: none"]}),
        "restore": says({"restored": True}),
    }
    async with talking(verbs) as told:
        await told.agent.handshake(5.0)
        assert await told.agent.prepare(("plotly",), {}, 64, interpreter=True) == ("plotly: none",)
        await told.agent.restore("name", 1, {})
        await told.agent.restore("name", 2, {})
        first, second = told.guest.requests[2:]
        assert first["entropy"] != second["entropy"]
        assert first["machine_id"] != second["machine_id"]


# -- what the guest refuses --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("refused", GuestRefused),
        ("not_found", FileNotFound),
        ("quota", QuotaExceeded),
        ("x", GuestRefused),
    ],
)
async def test_a_refusal_has_its_error_and_the_machine_goes_on(code, expected):
    """Each refusal is named; nothing is broken by it."""
    verb = refuses(code, "for a reason")
    async with talking(dict.fromkeys(("exec", "code", "read", "list"), verb)) as told:
        for call in (told.exec, told.code, lambda: read(told), lambda: told.agent.files.list("a")):
            named = ContextNotFound if (call, expected) == (told.code, FileNotFound) else expected
            with pytest.raises(named) as caught:
                await call()
            assert type(caught.value) is named
        assert told.broken == []


async def test_a_write_that_is_refused_midway_ends_at_once():
    """A full disk is learnt of while pieces are still being sent; the source is left alone."""

    async def verb(stream):
        await stream.receive()
        stream.reset("quota", "")

    taken = 0

    async def endless():
        nonlocal taken
        while True:
            taken += 1
            yield bytes(30_000)

    async with talking({"write": verb}) as told:
        with pytest.raises(QuotaExceeded):
            await told.agent.files.write("a", endless())
        assert taken < 100
        assert told.broken == []


async def test_writing_below_what_is_no_folder_is_a_refusal():
    """`not_found` makes no sense for a write, so it is not passed on as such."""
    async with talking({"write": refuses("not_found")}) as told:
        with pytest.raises(GuestRefused):
            await told.agent.files.write("a/b", content(b""))


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 4097, "é" * 2049, "\ud800"])
async def test_a_malformed_path_is_refused_without_asking_the_guest(path):
    """Empty, NUL, more than 4096 bytes, or text that is no path."""
    async with talking({}) as told:
        for call in (
            lambda: told.agent.files.write(path, content()),
            lambda: read(told, path),
            lambda: told.agent.files.list(path),
            lambda: told.agent.commands.run(Command(("true",), 1.0, cwd=path), told.sink),
        ):
            with pytest.raises(PathRefused):
                await call()
        assert told.guest.requests == []


async def test_a_path_of_any_bytes_that_fit_is_asked_for():
    """4096 bytes are legal, and so are bytes that are no UTF-8."""
    async with talking({"read": refuses("not_found")}) as told:
        for path in ("x" * 4096, "name\udcff"):
            with pytest.raises(FileNotFound):
                await read(told, path)
        assert told.guest.requests[1]["path"] == "name\udcff"


@pytest.mark.parametrize(
    "command",
    [
        Command((), 1.0),
        Command(("a\0b",), 1.0),
        Command(("a",), 1.0, env={"A\0": "b"}),
        Command(("a",), 1.0, env={"A": "b\0"}),
        Command(("a",), 1.0, env={"A=B": "c"}),
        Command(("a",), 1.0, env={"": "c"}),
        Command(("x" * MAX_PAYLOAD,), 1.0),
    ],
)
async def test_a_command_that_cannot_be_sent_is_refused(command):
    """No program, NUL, impossible variables, or more than one frame holds."""
    async with talking({}) as told:
        with pytest.raises(InputRefused):
            await told.agent.commands.run(command, told.sink)
        assert told.guest.requests == []


async def test_too_many_calls_at_once_are_refused_and_harm_nobody():
    """The wire's limit is the host's to keep; the calls under way go on."""
    async with talking({"exec": never}) as told, asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(told.exec()) for _ in range(MAX_STREAMS)]
        await told.guest.until(lambda guest: len(guest.requests) == MAX_STREAMS)
        with pytest.raises(GuestRefused, match="too many"):
            await told.exec()
        assert told.broken == []
        for call in calls:
            call.cancel()


# -- input that the guest does not take --------------------------------------------------------


async def test_a_command_may_answer_while_its_input_is_still_coming():
    """A filter like `cat` gets more than a window of input and gives as much back."""

    async def verb(stream):
        while (item := await stream.receive()) is not None:
            await stream.send(1, item.data)
        await stream.message(DONE, fin=True)

    data = bytes(range(256)) * 8_192
    async with talking({"exec": verb}) as told:
        assert (await told.exec(stdin=data)).ok
        assert told.stdout == data


async def test_a_command_need_not_read_its_input():
    """It ends while most of its input is unsent; the stream is gone on both sides."""
    async with talking({"exec": says(DONE), "ping": says({"version": 1})}) as told:
        for _ in range(MAX_STREAMS + 10):
            assert (await told.exec(stdin=bytes(2 * WINDOW))).ok
        await told.agent.ping()
        assert told.guest.channel.session._streams == {}
        assert told.agent._channel.session._streams == {}


# -- deadlines ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "call",
    [
        lambda told: told.exec(deadline_s=0.05),
        lambda told: told.exec(deadline_s=0.05, stdin=bytes(3 * WINDOW)),
        lambda told: told.code(deadline_s=0.05),
        lambda told: told.agent.files.write("a", content(bytes(3 * WINDOW))),
        lambda told: told.agent.files.write("a", content()),
        read,
        lambda told: told.agent.files.list("a"),
        lambda told: told.agent.handshake(0.1),
        lambda told: told.agent.ping(),
        lambda told: told.agent.restore("name", 1, {}),
        lambda told: told.agent.prepare((), {}, 1, interpreter=False),
    ],
)
async def test_a_guest_that_never_answers_is_destroyed(call):
    """Every verb has a deadline; once it has passed, the machine is not used again."""
    verbs = ("exec", "code", "write", "read", "list", "ping", "restore", "prepare")
    async with talking(dict.fromkeys(verbs, never)) as told:
        with pytest.raises(SandboxUnresponsive):
            await call(told)
        assert [type(error) for error in told.broken] == [SandboxUnresponsive]
        with pytest.raises(SandboxStopped):
            await told.agent.ping()


@pytest.mark.usefixtures("impatient")
async def test_a_guest_that_reads_nothing_is_destroyed():
    """Even opening a stream has its deadline when the line is full."""
    async with talking({"write": never}) as told, asyncio.TaskGroup() as tasks:
        told.guest.stop_reading()
        calls = [
            tasks.create_task(outcome(told.agent.files.write("a", content(bytes(3 * WINDOW)))))
            for _ in range(20)
        ]
    errors = {type(call.result()) for call in calls}
    assert errors <= {SandboxUnresponsive, SandboxStopped}
    assert [type(error) for error in told.broken] == [SandboxUnresponsive]


@pytest.mark.usefixtures("impatient")
async def test_opening_a_call_has_its_deadline_too():
    """Callers that gave up may leave a line so full that not even a request fits."""
    async with talking({}) as told, asyncio.TaskGroup() as tasks:
        told.guest.stop_reading()
        await passed(0)
        calls = [
            tasks.create_task(told.agent.files.write("a", content(bytes(WINDOW - 20_000))))
            for _ in range(8)
        ]
        for _ in range(100):
            await passed(0)
        for call in calls:
            call.cancel()
        assert told.broken == []
        with pytest.raises(SandboxUnresponsive):
            await told.agent.ping()


async def outcome(awaitable) -> object:
    try:
        return await awaitable
    except SandboxError as error:
        return error


@pytest.mark.usefixtures("impatient")
async def test_time_that_the_sink_takes_is_not_held_against_the_guest():
    """A caller may hold output back for longer than the deadline."""

    async def verb(stream):
        for _ in range(40):
            await stream.send(1, bytes(30_000))
        await stream.message(DONE, fin=True)

    async with talking({"exec": verb}) as told:

        async def slow(item):
            await passed(0.02)
            await told.sink(item)

        assert (await told.agent.commands.run(Command(("true",), 0.05), slow)).ok
        assert len(told.stdout) == 40 * 30_000
        assert told.broken == []


@pytest.mark.usefixtures("impatient")
async def test_output_without_end_does_not_keep_a_call_alive():
    """A guest that never stops printing is overdue, though it never makes the host wait."""

    async def verb(stream):
        while True:
            await stream.send(1, bytes(30_000))

    async with talking({"exec": verb}) as told:

        async def slow(item):
            await passed(0.002)

        with pytest.raises(SandboxUnresponsive):
            await told.agent.commands.run(Command(("yes",), 0.05), slow)


@pytest.mark.usefixtures("impatient")
async def test_a_trickle_does_not_keep_a_call_alive():
    """A byte now and then does not start the deadline anew."""

    async def verb(stream):
        while True:
            await passed(0.02)
            await stream.send(1, b".")

    async with talking({"exec": verb}) as told:
        with pytest.raises(SandboxUnresponsive):
            await told.exec(deadline_s=0.05)
        assert 0 < len(told.stdout) < 50


@pytest.mark.usefixtures("impatient")
async def test_a_file_may_take_long_as_long_as_it_moves():
    """The deadline of a file is for each piece, not for the whole."""

    async def verb(stream):
        await stream.message({"size": 25})
        for _ in range(5):
            await passed(0.05)
            await stream.send(1, b"piece")
        await stream.message({}, fin=True)

    async with talking({"read": verb}) as told:
        assert await read(told) == b"piece" * 5


@pytest.mark.usefixtures("impatient")
async def test_a_second_call_waits_for_its_context_without_a_deadline():
    """One call at a time per context; waiting for the first is not the guest's fault."""
    release, order, turn = asyncio.Event(), [], asyncio.Lock()

    async def verb(stream):
        code = await received(stream)
        if code == b"other":
            return await stream.message(OK, fin=True)
        async with turn:
            order.append(code)
            if code == b"first":
                await release.wait()
            return await stream.message(OK, fin=True)

    async with talking({"code": verb}) as told, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(told.code("first", deadline_s=5.0))
        await told.guest.until(lambda guest: len(guest.requests) == 1)
        second = tasks.create_task(told.code("second", deadline_s=0.01))
        assert (await told.code("other", context="other")).status == "ok"
        asyncio.get_running_loop().call_later(0.3, release.set)
        assert (await first).status == "ok"
        assert (await second).status == "ok"
        assert order == [b"first", b"second"]
        assert told.broken == []


# -- lies --------------------------------------------------------------------------------------


def piece(lane: int, data: bytes, *, fin: bool = False) -> bytes:
    return encode(Type.DATA, 1, bytes((lane,)) + data, fin=fin)


def message(value: object, *, fin: bool = True) -> bytes:
    return encode(Type.MESSAGE, 1, json.dumps(value).encode(), fin=fin)


@pytest.mark.parametrize(
    ("verb", "lie"),
    [
        ("exec", [message({})]),
        ("exec", [message(DONE | {"exit_code": 999})]),
        ("exec", [message(DONE | {"duration_ms": 10**400})]),
        ("exec", [piece(1, b"", fin=True)]),
        ("exec", [piece(1, b"x", fin=True)]),
        ("exec", [piece(1, b"")]),
        ("exec", [piece(9, b"x")]),
        ("exec", [message({}, fin=False)] * 20),
        ("exec", [piece(3, b"\0\0\0\2{}")]),
        ("code", [piece(3, b"\xff\xff\xff\xff")]),
        ("code", [piece(3, b"\0\0\0\2[]")]),
        ("code", [message({"status": "error", "duration_ms": 1})]),
        ("code", [message({"status": "done", "duration_ms": 1})]),
        ("read", [piece(1, bytes(60))]),
        ("read", [piece(2, b"x")]),
        ("read", [piece(1, b"")]),
        ("read", [piece(1, b"x", fin=True)]),
        ("read", [message({}, fin=False)] * 20),
        ("list", [piece(1, b"no json\n"), message({})]),
        ("list", [piece(1, b"{}"), message({})]),
        ("list", [piece(1, json.dumps(ENTRY | {"path": "a"}).encode() + b"\n"), message({})]),
        ("list", [piece(7, b"x")]),
        ("write", [message({"size": -1})]),
        ("write", [message({})]),
        ("ping", [message({"version": 2})]),
        ("ping", [message({"version": [[[]]]})]),
        ("restore", [message({"restored": "yes"})]),
        ("restore", [encode(Type.RESET, 1, b'{"code":"refused","message":"no"}')]),
        ("prepare", [message({"failures": 7})]),
        ("prepare", [message({"failures": [7]})]),
    ],
)
async def test_a_guest_that_lies_is_found_out(verb, lie):
    """Each answer that is not what its verb promises destroys the machine, and says so."""
    calls = {
        "exec": lambda told: told.exec(),
        "code": lambda told: told.code(),
        "read": lambda told: read(told, limit=50),
        "list": lambda told: told.agent.files.list("a"),
        "write": lambda told: told.agent.files.write("a", content()),
        "ping": lambda told: told.agent.handshake(5.0),
        "restore": lambda told: told.agent.restore("name", 1, {}),
        "prepare": lambda told: told.agent.prepare((), {}, 1, interpreter=False),
    }
    async with talking({verb: b"".join(lie)}) as told:
        with pytest.raises(GuestViolation):
            await calls[verb](told)
        assert [type(error) for error in told.broken] == [GuestViolation]
        with pytest.raises(SandboxStopped):
            await told.agent.ping()


async def test_a_listing_without_end_is_cut_short(monkeypatch):
    """What a guest lists is bounded in bytes, whatever it claims."""
    monkeypatch.setattr("forge.sandbox.agent.answers.MAX_LISTING", 100_000)

    async def verb(stream):
        while True:
            await stream.send(1, bytes(30_000))

    async with talking({"list": verb}) as told:
        with pytest.raises(GuestViolation):
            await told.agent.files.list("a")


@pytest.mark.parametrize(
    "frame",
    [
        HEADER.pack(0, 1, 77, 0),
        HEADER.pack(MAX_PAYLOAD + 1, 1, Type.DATA, 0),
        HEADER.pack(0, 1, Type.DATA, 9),
        encode(Type.DATA, 1, b""),
        encode(Type.DATA, 5, b"\1x"),
        encode(Type.MESSAGE, 1, b"[]"),
        encode(Type.MESSAGE, 1, b"[" * 60_000),
        encode(Type.OPEN, 2, b"{}"),
        encode(Type.HELLO, 0, b"\0\1"),
        encode(Type.CREDIT, 1, b"\xff\xff\xff\xff"),
        encode(Type.RESET, 1, b'{"code":{}}'),
        message(DONE) + piece(1, b"after the end"),
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
async def test_what_breaks_the_wire_ends_the_machine_with_its_name(frame):
    """Calls under way raise `GuestViolation` or end; later ones raise `SandboxStopped`."""
    async with talking({"exec": never, "code": frame}) as told:
        async with asyncio.TaskGroup() as tasks:
            code = tasks.create_task(outcome(told.code()))
            await told.guest.until(lambda guest: guest.requests != [])
            bystander = tasks.create_task(outcome(told.exec()))
        assert isinstance(code.result(), GuestViolation) or code.result().status == "ok"
        assert isinstance(bystander.result(), (GuestViolation, SandboxStopped))
        assert [type(error) for error in told.broken] == [GuestViolation]
        with pytest.raises(SandboxStopped, match="broke the wire"):
            await told.exec()


# -- ends --------------------------------------------------------------------------------------


async def test_a_machine_that_dies_says_so_once():
    """A call under way raises `SandboxDied`, later ones `SandboxStopped`; the owner hears once."""

    async def verb(stream):
        told.guest.hang_up()

    async with talking({"exec": verb}) as told:
        with pytest.raises(SandboxDied):
            await told.exec()
        with pytest.raises(SandboxStopped):
            await told.exec()
        assert [type(error) for error in told.broken] == [SandboxDied]


async def test_output_before_a_death_is_still_shown():
    """What arrived before the end reaches the sink."""

    async def verb(stream):
        await stream.send(1, b"last words")
        told.guest.hang_up()

    async with talking({"exec": verb}) as told:
        with pytest.raises(SandboxDied):
            await told.exec()
        assert told.stdout == b"last words"


async def test_stopping_is_no_death():
    """A machine that its owner stops raises `SandboxStopped` for what was under way."""
    async with talking({"exec": never}) as told, asyncio.TaskGroup() as tasks:
        call = tasks.create_task(outcome(told.exec()))
        await told.guest.until(lambda guest: guest.requests != [])
        told.agent.close()
        told.agent.close()
        assert isinstance(await call, SandboxStopped)
        assert told.broken == []


@pytest.mark.parametrize("verb", ["exec", "code", "write", "read", "list"])
async def test_cancelling_a_call_gives_its_stream_up(verb):
    """The guest is told at once, so that it ends what it was doing; the machine goes on."""

    async def stuck():
        yield b"first"
        await asyncio.Event().wait()

    calls = {
        "exec": lambda told: told.exec(),
        "code": lambda told: told.code(),
        "write": lambda told: told.agent.files.write("a", stuck()),
        "read": read,
        "list": lambda told: told.agent.files.list("a"),
    }
    verbs = {verb: never, "ping": says({"version": 1})}
    async with talking(verbs) as told, asyncio.TaskGroup() as tasks:
        call = tasks.create_task(calls[verb](told))
        await told.guest.until(lambda guest: guest.requests != [])
        call.cancel()
        await told.guest.until(lambda guest: guest.given_up == [(verb, "cancelled")])
        await told.agent.ping()
        assert told.agent._channel.session._streams == {}
        assert told.broken == []


async def test_a_reader_that_stops_early_gives_its_stream_up():
    """Closing the iterator ends the guest's sending."""

    async def verb(stream):
        await stream.message({"size": 1 << 40})
        while True:
            await stream.send(1, bytes(30_000))

    async with talking({"read": verb}) as told:
        pieces = told.agent.files.read("a", limit=1 << 40)
        await anext(pieces)
        await pieces.aclose()
        await told.guest.until(lambda guest: guest.given_up == [("read", "cancelled")])
        assert told.broken == []


async def test_a_sink_that_fails_ends_the_call_with_its_own_error():
    """What the caller's sink raises comes back as it was; the guest is told to stop."""

    async def failing(item):
        raise LookupError("the disk of the host is full") from OSError("ENOSPC")

    async def verb(stream):
        while True:
            await stream.send(1, b"x")

    async with talking({"exec": verb}) as told:
        with pytest.raises(LookupError, match="the disk of the host") as caught:
            await told.agent.commands.run(Command(("yes",), 5.0), failing)
        assert isinstance(caught.value.__cause__, OSError)
        await told.guest.until(lambda guest: guest.given_up == [("exec", "cancelled")])
        assert told.broken == []


async def test_a_source_that_fails_leaves_no_file():
    """A write whose content fails is given up, not finished."""

    async def failing():
        yield b"half"
        raise LookupError("no more")

    async with talking({"write": never}) as told:
        with pytest.raises(LookupError):
            await told.agent.files.write("a", failing())
        await told.guest.until(lambda guest: guest.given_up == [("write", "cancelled")])
