"""Machines of a worker keep the contract as machines of this computer do: over pipes, over ssh."""

import sys
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from forge.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from forge.sandbox.images.store import Image
from forge.sandbox.worker.provider import open_provider
from forge.settings import environment_of_children
from forge.testing.sandbox_conformance import (
    code,
    commands,
    contexts,
    files,
    javascript,
    life,
    lifecycle,
    ports,
    processes,
    rich,
    terminals,
    trees,
)
from sshd import Server, ssh_server

pytestmark = [pytest.mark.vm, pytest.mark.asyncio(loop_scope="module")]

SANDBOX_CHECKS = (
    *commands.CHECKS,
    *code.CHECKS,
    *contexts.CHECKS,
    *rich.CHECKS,
    *javascript.CHECKS,
    *files.CHECKS,
    *trees.CHECKS,
    *processes.CHECKS,
    *terminals.CHECKS,
    *ports.CHECKS,
)
STDIO = [sys.executable, "-m", "forge", "microvm", "serve"]


def named(check):
    return check.__name__


def quiet(_: str) -> None:
    """What a worker prints is not looked at here."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An ssh server on loopback."""
    with ssh_server(tmp_path_factory.mktemp("ssh")) as running:
        yield running


@pytest.fixture(scope="module", params=["stdio", "ssh"])
def command(request: pytest.FixtureRequest, base_image: Image) -> list[str]:
    """What leads to a worker on this computer."""
    assert base_image.name == "base"
    if request.param == "stdio":
        return STDIO
    return request.getfixturevalue("server").worker()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(command: list[str]) -> AsyncIterator[SandboxProvider]:
    """One worker for many machines, one after the other, as a service uses it."""
    async with open_provider(command, environment_of_children(), quiet) as provider:
        yield provider


@pytest_asyncio.fixture(loop_scope="module")
async def machine(worker: SandboxProvider) -> AsyncIterator[Sandbox]:
    """A fresh machine of the worker."""
    sandbox = await worker.create(SandboxSpec())
    yield sandbox
    await sandbox.stop()


@pytest.mark.parametrize("check", SANDBOX_CHECKS, ids=named)
async def test_a_machine_of_a_worker_keeps_the_contract(machine, check):
    """Whatever is promised of a machine here holds for one that is reached through a worker."""
    await check(machine)


@pytest.mark.parametrize("check", [*life.CHECKS, *lifecycle.CHECKS], ids=named)
async def test_a_worker_keeps_the_contract(command, check):
    """Machines are made, kept apart and stopped as promised, by a worker of the check's own."""
    async with open_provider(command, environment_of_children(), quiet) as provider:
        await check(provider)
