"""Real machines for the conformance checks: made in each test's own event loop."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forge.errors import ImageMissing, ProgramMissing
from forge.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from forge.sandbox.qemu.provider import open_provider
from forge.testing.sandbox import LocalProvider
from forge.wiring import Images

FORGE_HOME = Path.home() / ".local/share/forge"
"""Where `forge image build` keeps the image, unless told otherwise."""


@pytest.fixture
async def local_provider() -> AsyncIterator[SandboxProvider]:
    """A provider of processes without walls."""
    provider = LocalProvider()
    yield provider
    await provider.close()


@pytest.fixture
async def local(local_provider: SandboxProvider) -> Sandbox:
    """A sandbox without walls."""
    return await local_provider.create(SandboxSpec())


@pytest.fixture
async def qemu_provider() -> AsyncIterator[SandboxProvider]:
    """A provider of microVMs; skipped where there is no QEMU or no image."""
    images = Images(FORGE_HOME)
    try:
        images.find("base")
    except ImageMissing as error:
        pytest.skip(f"{error.message} {error.hint}")
    async with open_provider(FORGE_HOME, images.find, lambda _: None) as provider:
        try:
            await provider.probe()
        except ProgramMissing as error:
            pytest.skip(f"{error.message} {error.hint}")
        yield provider


@pytest.fixture
async def qemu(qemu_provider: SandboxProvider) -> AsyncIterator[Sandbox]:
    """A fresh microVM."""
    sandbox = await qemu_provider.create(SandboxSpec())
    yield sandbox
    await sandbox.stop()
