"""A guest that lies about its processes: their numbers, their lists, their endings, their silence.
Every lie ends the machine, and nothing else.
"""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from forge.errors import GuestViolation, SandboxError, SandboxStopped, SandboxUnresponsive
from forge.sandbox.agent import deadlines
from forge.sandbox.commands import Command, Size
from forge.sandbox.output import Output
from forge.testing.guest import fake_guest, never
from talking import Heard, Wired

DONE = {"exit_code": 0, "signal": None, "timed_out": False, "duration_ms": 1}
PROCESS = {
    "pid": 5, "argv": ["a"], "tag": "", "cwd": "/", "user": "user", "pty": False,
    "background": True, "started": 1.0,
}  # fmt: skip


async def attempt(call) -> SandboxError | None:
    try:
        await call
    except SandboxError as error:
        return error
    return None


@asynccontextmanager
async def lying(verb: str, *answers: object, final: dict | None = None):
    """A guest that answers one verb with messages and bytes as they are."""

    async def answer(stream):
        for each in answers:
            if isinstance(each, bytes):
                await stream.send(1, each)
            else:
                await stream.message(each)
        if final is not None:
            await stream.message(final, fin=True)
        else:
            await stream.given_up()

    async with (
        asyncio.timeout(30),
        fake_guest({verb: answer}) as guest,
        asyncio.TaskGroup() as all_,
    ):
        agent = Wired(guest.fd, lambda _: None)
        all_.create_task(agent.run())
        try:
            yield agent
        finally:
            agent.close()


@pytest.fixture
def impatient(monkeypatch):
    for name in ("MARGIN_S", "QUICK_S", "WATCH_S"):
        monkeypatch.setattr(deadlines, name, 0.2)


@pytest.mark.parametrize("pid", [0, -1, True, 2**22 + 1, 2**70, 1.5, "7", None, [7]])
async def test_a_number_that_is_none_is_a_lie(pid):
    """A process that cannot be ends the machine."""
    async with lying("start", final={"pid": pid}) as agent:
        with pytest.raises(GuestViolation):
            await agent.commands.start(Command(("a",), 1))


LISTINGS = {
    "no line": b"x",
    "no end": b'{"pid": 5}',
    "no object": b"[]\n",
    "no fields": b"{}\n",
    "twice": None,
    "deep": b"[" * 100_000 + b"\n",
    "many": b"\n" * 2000,
}


@pytest.mark.parametrize("kind", LISTINGS)
async def test_a_listing_that_lies_ends_the_machine(kind):
    """Broken, bottomless, repeated or without end."""
    row = json.dumps(PROCESS).encode() + b"\n"
    async with lying("processes", LISTINGS[kind] or row + row, final={}) as agent:
        with pytest.raises(GuestViolation):
            await agent.commands.list()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pid", 0), ("pid", "5"), ("argv", "a"), ("argv", [1]), ("argv", None), ("tag", 5),
        ("cwd", None), ("user", "admin"), ("pty", 1), ("background", "yes"),
        ("started", float("inf")), ("started", 10**400), ("started", None),
    ],
)  # fmt: skip
async def test_a_process_that_is_none_is_a_lie(key, value):
    """Every field is checked; the honest row passes."""
    async with lying("processes", json.dumps(PROCESS).encode() + b"\n", final={}) as agent:
        assert len(await agent.commands.list()) == 1
    row = json.dumps(PROCESS | {key: value}).encode() + b"\n"
    async with lying("processes", row, final={}) as agent:
        with pytest.raises(GuestViolation):
            await agent.commands.list()


@pytest.mark.parametrize(
    ("answers", "final"),
    [
        ([], DONE),
        ([b"early"], DONE),
        ([{}], DONE),
        ([{"dropped": -1}], DONE),
        ([{"dropped": True}], DONE),
        ([{"dropped": 0}], DONE | {"exit_code": 256}),
        ([{"dropped": 0}], DONE | {"signal": 9}),
        ([{"dropped": 0}], {}),
        ([{"dropped": 0}] * 20, DONE),
    ],
)
async def test_an_ending_that_lies_ends_the_machine(answers, final):
    """Output before its mark, marks that are none, endings in two ways or none."""
    async with lying("attach", *answers, final=final) as agent:
        with pytest.raises(GuestViolation):
            await agent.commands.attach(5, Heard())


async def test_a_mark_is_passed_on_once(impatient):
    """Also where nothing at all is left after it."""
    async with lying("attach", {"dropped": 7}, b"a", b"b", final=DONE) as agent:
        heard = Heard()
        await agent.commands.attach(5, heard)
        assert [each.dropped for each in heard.outputs] == [7, 0]
    async with lying("attach", {"dropped": 7}, final=DONE) as agent:
        heard = Heard()
        await agent.commands.attach(5, heard)
        assert heard.outputs == [Output("stdout", b"", 7)]


async def test_input_that_was_taken_and_was_not_is_a_lie():
    """The count must be of what was sent."""
    async with lying("send", final={"size": 4}) as agent:
        with pytest.raises(GuestViolation):
            await agent.commands.send(5, b"12345")


@pytest.mark.parametrize("verb", ["start", "processes", "send", "signal", "resize", "attach"])
async def test_a_guest_that_does_not_answer_is_destroyed(verb, impatient):
    """Every verb has its deadline."""
    async with lying(verb) as agent:
        commands = agent.commands
        calls = {
            "start": lambda: commands.start(Command(("a",), 1)),
            "processes": commands.list,
            "send": lambda: commands.send(5, b"x", deadline_s=0.1),
            "signal": lambda: commands.signal(5, 15),
            "resize": lambda: commands.resize(5, Size()),
            "attach": lambda: commands.attach(5, Heard()),
        }
        with pytest.raises(SandboxUnresponsive):
            await calls[verb]()


async def test_a_guest_that_falls_silent_under_a_listener_is_found_out(impatient):
    """An attach has no deadline, but the machine is asked whether it is there."""

    async def silent(stream):
        await stream.message({"dropped": 0})
        await stream.given_up()

    verbs = {"attach": silent, "ping": never}
    async with asyncio.timeout(30), fake_guest(verbs) as guest, asyncio.TaskGroup() as tasks:
        agent = Wired(guest.fd, lambda _: None)
        tasks.create_task(agent.run())
        assert isinstance(await attempt(agent.commands.attach(5, Heard())), SandboxError)
        assert isinstance(await attempt(agent.commands.list()), SandboxStopped)
        assert "ping" in [request["verb"] for request in guest.requests]
        agent.close()


async def test_a_guest_that_answers_may_be_silent_for_long(impatient):
    """A process that prints nothing is no fault: asked several times, it is left alone."""
    pings, release = 0, asyncio.Event()

    async def silent(stream):
        await stream.message({"dropped": 0})
        await release.wait()
        await stream.message(DONE, fin=True)

    async def answer(stream):
        nonlocal pings
        pings += 1
        if pings == 3:
            release.set()
        await stream.message({"version": 1}, fin=True)

    verbs = {"attach": silent, "ping": answer}
    async with asyncio.timeout(30), fake_guest(verbs) as guest, asyncio.TaskGroup() as tasks:
        agent = Wired(guest.fd, lambda _: None)
        tasks.create_task(agent.run())
        assert (await agent.commands.attach(5, Heard())).ok
        agent.close()
