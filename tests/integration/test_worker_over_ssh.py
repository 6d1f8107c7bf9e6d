"""A worker behind a real ssh server: what happens where the line is cut, or never comes about."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from forge.errors import SandboxDied, SandboxStopped, WorkerUnreachable
from forge.sandbox.base import SandboxSpec
from forge.sandbox.commands import Command
from forge.sandbox.images.store import Image
from forge.sandbox.worker.provider import open_provider
from forge.settings import environment_of_children
from forge.testing.sandbox_conformance.watching import Seen
from sshd import Server, ssh_server
from talking import shell

FORGE_HOME = Path.home() / ".local/share/forge"
GONE_S = 90.0
"""For a worker whose line was cut to stop its machines and exit."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An ssh server on loopback."""
    with ssh_server(tmp_path_factory.mktemp("ssh")) as running:
        yield running


def quiet(_: str) -> None:
    """What ssh says is in the errors, where it matters."""


def children(pid: int) -> list[int]:
    """The processes that a process started and that still live."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.vm
async def test_a_cut_line_ends_the_machines_on_both_sides(server: Server, base_image: Image):
    """Killing ssh's connection in the middle of a call raises `SandboxDied` with the reason; the
    worker stops its machines and exits; the next machine comes over a new connection.
    """
    assert base_image.name == "base"
    before = set((FORGE_HOME / "machines").glob("sbx_*"))
    async with open_provider(server.worker(), environment_of_children(), quiet) as provider:
        machine = await provider.create(SandboxSpec())
        folder = FORGE_HOME / "machines" / machine.facts.id
        assert folder.exists()
        heard = Seen()
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(_died(machine, heard))
            await heard.first.wait()
            (connection,) = children(server.process.pid)
            os.kill(connection, signal.SIGKILL)
        assert "ended with status 255" in call.result().message
        assert "closed" in call.result().message
        with pytest.raises(SandboxStopped):
            await shell(machine, "true")
        another = await provider.create(SandboxSpec())
        assert (await shell(another, "echo back"))[1] == "back\n"
    for _ in range(int(GONE_S / 0.05)):
        if set((FORGE_HOME / "machines").glob("sbx_*")) <= before:
            break
        await asyncio.sleep(0.05)
    assert not folder.exists()


async def _died(machine, heard) -> SandboxDied:
    with pytest.raises(SandboxDied) as died:
        await machine.commands.run(Command(("sh", "-c", "echo in; sleep 100"), 100.0), heard)
    return died.value


async def test_a_host_that_is_not_who_it_says_is_refused(server: Server, tmp_path: Path):
    """Ssh checks the host's key, and its words are in the error."""
    (tmp_path / "known").write_text("")
    words = server.worker()
    words[words.index(f"UserKnownHostsFile={server.folder}/known")] = (
        f"UserKnownHostsFile={tmp_path}/known"
    )
    async with open_provider(words, environment_of_children(), quiet) as provider:
        with pytest.raises(WorkerUnreachable, match="Host key verification failed"):
            await provider.create(SandboxSpec())


async def test_a_program_that_is_not_there_is_the_far_shells_word(server: Server):
    """A worker on whose host Forge is not installed says so."""
    words = server.command("no-such-forge", "microvm", "serve")
    async with open_provider(words, environment_of_children(), quiet) as provider:
        with pytest.raises(WorkerUnreachable, match="no-such-forge") as refused:
            await provider.probe()
    assert "ended with status 127" in refused.value.message


async def test_a_port_where_nobody_listens_is_ssh_own_word(server: Server):
    """A worker whose host is away."""
    words = [each if each != str(server.port) else "1" for each in server.worker()]
    async with open_provider(words, environment_of_children(), quiet) as provider:
        with pytest.raises(WorkerUnreachable, match="Connection refused"):
            await provider.probe()
