"""A worker is trusted no more than a guest, and a machine never passes for its worker.

Each worker here is a real process (see `workers`): programs that print something else, end, flood,
say nothing or lie; and honest ones with machines that do.
"""

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from forge.errors import (
    ForgeError,
    GuestRefused,
    GuestViolation,
    ImageMissing,
    InputRefused,
    SandboxDied,
    SandboxStopped,
    SandboxUnresponsive,
    WorkerForeign,
    WorkerUnreachable,
)
from forge.sandbox.agent.call import Call
from forge.sandbox.base import SandboxSpec
from forge.sandbox.commands import Command
from forge.sandbox.records import stamp
from forge.sandbox.worker import deadlines
from forge.sandbox.worker.protocol import OURS, greeting
from forge.sandbox.worker.provider import WorkerProvider, open_provider
from forge.settings import environment_of_children
from talking import Heard
from workers import LIES, NOTE, command

LONG_S = 30.0
"""Far more than anything here takes; reaching it means that something hangs."""


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """Where a worker notes what it does."""
    return tmp_path / "note"


@pytest.fixture
def said() -> list[str]:
    """What was shown to the person."""
    return []


@pytest.fixture
def leading_to(note: Path, said: list[str]) -> Callable:
    """Opens a provider whose worker is behind a command."""

    @contextlib.asynccontextmanager
    async def opening(words: list[str]) -> AsyncIterator[WorkerProvider]:
        environment = environment_of_children() | {NOTE: str(note)}
        async with open_provider(words, environment, said.append) as provider:
            yield provider

    return opening


@pytest.fixture
def impatient(monkeypatch):
    """Every deadline of a worker, shortened to what a test can wait for."""
    for name in ("CONNECT_S", "PROBE_S", "CREATE_S", "STOP_S", "CLOSE_S"):
        monkeypatch.setattr(deadlines, name, 1.0)


async def noted(note: Path, word: str) -> None:
    """Wait until a worker has noted a word."""
    for _ in range(int(LONG_S / 0.02)):
        if note.exists() and word in note.read_text().split():
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"{word!r} was never noted")


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


async def refusal(leading_to: Callable, words: list[str]) -> ForgeError:
    async with leading_to(words) as provider:
        with pytest.raises(ForgeError) as refused:
            await provider.probe()
    return refused.value


async def test_a_program_that_is_not_there_is_named(leading_to):
    """Before anything is started."""
    error = await refusal(leading_to, ["no-such-program", "serve"])
    assert type(error) is WorkerUnreachable
    assert "no-such-program" in error.message


async def test_a_command_that_ends_is_reported_with_its_last_words(leading_to, said):
    """As ssh does where it cannot log in: what it says is what is wrong."""
    words = ["sh", "-c", "echo hello; echo 'Permission denied (publickey).' >&2; exit 255"]
    error = await refusal(leading_to, words)
    assert type(error) is WorkerUnreachable
    assert "ended with status 255" in error.message
    assert "Permission denied (publickey)." in error.message
    assert "It printed: hello" in error.message
    assert said == ["worker: Permission denied (publickey)."]


async def test_a_program_that_floods_is_no_worker(leading_to):
    """It is given up after little, and ended, though it would have gone on for ever."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = await refusal(leading_to, ["yes", "forge-worker"])
    assert type(error) is WorkerUnreachable
    assert "is no worker" in error.message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024


async def test_a_flood_of_words_is_neither_shown_nor_kept(leading_to, said):
    """Standard error is a courtesy: so many lines of so many characters, and none that steers."""
    flood = "import sys\nsys.stderr.write('\\x1b[2J' * 2_000_000 + '\\n')\n"
    flood += "for n in range(100_000): print('line', n, file=sys.stderr)"
    error = await refusal(leading_to, python(flood))
    assert "line 99999" in error.message
    assert len(error.message) < 6000
    assert len(said) <= 100
    assert all(len(line) < 400 and line.isprintable() for line in said)


@pytest.mark.usefixtures("impatient")
async def test_a_program_that_says_nothing_is_given_up(leading_to, note):
    """And ended: it holds nobody longer than the deadline."""
    words = ["sh", "-c", f"echo $$ > {note}; exec sleep 1000"]
    error = await refusal(leading_to, words)
    assert type(error) is WorkerUnreachable
    assert "within 1 s" in error.message
    assert stamp(int(note.read_text())) is None


@pytest.mark.usefixtures("impatient")
async def test_a_worker_that_ignores_its_end_is_killed(leading_to, note, said):
    """With whatever it started."""
    stubborn = f"trap '' TERM HUP; printf '%s' \"$0\"; sleep 1000 & echo $$ $! > {note}; wait"
    async with leading_to(["sh", "-c", stubborn, greeting().decode()]) as provider:
        with pytest.raises(SandboxUnresponsive):
            await provider.probe()
    assert [stamp(int(pid)) for pid in note.read_text().split()] == [None, None]
    assert said == []


@pytest.mark.parametrize("numbers", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
async def test_a_worker_of_another_version_is_refused(leading_to, numbers):
    """Before anything is asked of it."""
    newer = OURS._replace(
        worker=OURS.worker + numbers[0],
        wire=OURS.wire + numbers[1],
        agent=OURS.agent + numbers[2],
        forge="9.9",
    )
    error = await refusal(leading_to, ["printf", "%s", greeting(newer).decode()])
    assert type(error) is WorkerForeign
    assert "9.9" in error.message
    assert "update this computer" in error.hint


async def test_a_terminal_on_the_way_is_named(leading_to):
    """`ssh -t` would change the bytes."""
    error = await refusal(leading_to, ["printf", "%s\\r\\n", greeting().decode().strip()])
    assert type(error) is WorkerUnreachable
    assert "ssh -t" in error.message


async def test_a_banner_before_the_greeting_is_skipped(leading_to):
    """Shells and administrators print what they like when one logs in."""
    before = "echo 'Welcome to forge-worker 7!'", "head -c 20000 /dev/urandom", "echo"
    async with leading_to(command("honest", *before)) as provider:
        verdict = await provider.probe()
        assert verdict.provider == "worker"
        assert verdict.version == "1 (fake there)"


async def test_noise_after_the_greeting_is_a_violation(leading_to):
    """Bytes that are no frames end the connection with a named error."""
    assert type(await refusal(leading_to, command("garbage"))) is GuestViolation


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", sorted(set(LIES) - {"mute", "future"}))
async def test_an_answer_that_is_none_is_a_violation(leading_to, kind):
    """Legal on the wire, and not what was asked for."""
    assert type(await refusal(leading_to, command(kind))) is GuestViolation


async def test_an_error_of_the_future_is_an_error_of_ours(leading_to):
    """A code that no class of ours has imports nothing and steers no terminal."""
    error = await refusal(leading_to, command("future"))
    assert type(error) is ForgeError
    assert error.message.strip() == "[2Jm"


async def test_a_worker_that_never_answers_is_given_up(leading_to, monkeypatch):
    """Each verb has its deadline; the next call starts a new worker."""
    monkeypatch.setattr(deadlines, "PROBE_S", 0.5)
    async with leading_to(command("mute")) as provider:
        for _ in range(2):
            with pytest.raises(SandboxUnresponsive, match="did not answer probe"):
                await provider.probe()


async def test_a_host_that_is_to_be_mended_is_named(leading_to):
    """An error of the worker's host says that it is there, not here."""
    async with leading_to(command("bare")) as provider:
        with pytest.raises(ImageMissing) as refused:
            await provider.create(SandboxSpec())
    assert refused.value.hint == "At the worker: Build it."


# -- machines --------------------------------------------------------------------------------------


async def test_what_a_machine_echoes_comes_back_whole(leading_to):
    """More than every window on the way holds, in order, both ways at once."""
    sent = bytes(range(256)) * 8192
    async with leading_to(command("honest")) as provider:
        machine = await provider.create(SandboxSpec())
        heard = Heard()
        result = await machine.commands.run(Command(("cat",), 30.0, stdin=sent), heard)
        assert result.ok
        assert b"".join(output.data for output in heard.outputs) == sent


async def test_each_way_of_a_call_ends_by_itself(leading_to, note):
    """A machine that has said its last may still be told more, as a half-closed connection is."""
    async with leading_to(command("honest")) as provider:
        machine = await provider.create(SandboxSpec())
        stream = await machine.line.open({"verb": "half"}, fin=False)
        while await stream.receive() is not None:
            continue
        await stream.send(0, b"x" * 1_000_000)
        await stream.finish()
        await noted(note, "heard-1000000")


async def test_a_machine_cannot_pass_for_its_worker(leading_to):
    """A machine that says it died in the worker's words is refused, and goes on."""
    async with leading_to(command("honest")) as provider:
        machine = await provider.create(SandboxSpec())
        with pytest.raises(GuestRefused, match="says that I died"):
            await machine.files.list(".")
        heard = Heard()
        assert (await machine.commands.run(Command(("cat",), 30.0, stdin=b"on"), heard)).ok
        assert heard.text == "on"


async def test_who_does_not_read_holds_up_the_machine(leading_to, note):
    """What a machine sends without end is held back from end to end, and nothing else is."""
    async with leading_to(command("honest")) as provider:
        machine = await provider.create(SandboxSpec())
        async with contextlib.aclosing(machine.files.read("endless", limit=1 << 40)) as pieces:
            await anext(pieces)
            for _ in range(20):
                assert (await machine.commands.run(Command(("cat",), 30.0), Heard())).ok
            assert len(note.read_text().split()) - 1 <= 2  # mebibytes: two windows, two pipes
    await noted(note, "gone")


async def test_nobody_renews_a_machines_facts_through_a_worker(leading_to):
    """What only the owner of a machine's line may ask is not passed on."""
    async with leading_to(command("honest")) as provider:
        machine = await provider.create(SandboxSpec())
        for verb in ("restore", "prepare"):
            with pytest.raises(InputRefused):
                async with Call(machine.line, {"verb": verb}, LONG_S, fin=True) as call:
                    await call.final()


async def test_a_machine_that_is_given_up_while_it_is_made_is_not_made(leading_to, note):
    """Cancelling `create` cancels it at the worker."""
    async with leading_to(command("slow")) as provider:
        async with asyncio.TaskGroup() as tasks:
            making = tasks.create_task(provider.create(SandboxSpec()))
            await noted(note, "creating")
            making.cancel()
        await noted(note, "cancelled")


async def test_a_machine_that_does_not_answer_is_destroyed_at_the_worker(
    leading_to, note, monkeypatch
):
    """And only it: the worker and its other machines go on."""
    monkeypatch.setattr("forge.sandbox.agent.deadlines.MARGIN_S", 0.1)
    async with leading_to(command("honest")) as provider:
        machine, other = [await provider.create(SandboxSpec()) for _ in range(2)]
        with pytest.raises(SandboxUnresponsive, match="did not answer code"):
            await machine.code.run("1", Heard(), deadline_s=0.1)
        with pytest.raises(SandboxStopped):
            await machine.commands.run(Command(("cat",), 30.0), Heard())
        await noted(note, "stopped")
        assert (await other.commands.run(Command(("cat",), 30.0), Heard())).ok


async def test_a_worker_that_dies_takes_its_machines_and_says_why(leading_to, said):
    """Calls under way raise `SandboxDied` with its end, later ones `SandboxStopped`; the next
    machine is made by a new worker.
    """
    words = command("honest", "echo $$ >&2", "echo 'fare well' >&2")
    async with leading_to(words) as provider:
        machine = await provider.create(SandboxSpec())
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(_died(machine))
            await asyncio.sleep(0)
            os.kill(int(said[0].removeprefix("worker: ")), 9)
        assert "was killed by SIGKILL" in call.result().message
        assert "fare well" in call.result().message
        with pytest.raises(SandboxStopped):
            await machine.commands.run(Command(("cat",), 30.0), Heard())
        await machine.stop()
        another = await provider.create(SandboxSpec())
        assert (await another.commands.run(Command(("cat",), 30.0), Heard())).ok


async def _died(machine) -> SandboxDied:
    with pytest.raises(SandboxDied) as died:
        await machine.code.run("1", Heard(), deadline_s=LONG_S)
    return died.value


def test_a_worker_does_not_outlive_a_killed_client(tmp_path):
    """`kill -9` of whoever started it ends it, and its machines with it."""
    note = tmp_path / "note"
    program = (
        "import asyncio, sys\n"
        "from forge.sandbox.base import SandboxSpec\n"
        "from forge.sandbox.worker.provider import open_provider\n"
        "async def main():\n"
        "    async with open_provider(sys.argv[2:], dict([sys.argv[1].split('=')]), print) as p:\n"
        "        await p.create(SandboxSpec())\n"
        "        print('made', flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    words = command("honest", "echo $$ > " + str(note))
    with subprocess.Popen(
        [sys.executable, "-c", program, f"PATH={environment_of_children()['PATH']}", *words],
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout.readline() == "made\n"
        owner.kill()
    deadline = time.monotonic() + LONG_S
    worker = int(note.read_text())
    while time.monotonic() < deadline and stamp(worker):
        time.sleep(0.02)
    assert stamp(worker) is None
