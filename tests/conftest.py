"""Real machines for the tests that need them (marker `vm`): made in each test's own event loop."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forge.errors import ImageMissing, ProgramMissing
from forge.sandbox.base import Sandbox, SandboxSpec
from forge.sandbox.images.stock import Images
from forge.sandbox.images.store import Image
from forge.sandbox.machines.provider import MachineProvider
from forge.sandbox.qemu.provider import open_provider
from forge.sandbox.volumes import VolumeStore

FORGE_HOME = Path.home() / ".local/share/forge"
"""Where `forge image build` keeps the image, unless told otherwise."""


@pytest.fixture(scope="session")
def base_image() -> Image:
    """The base template's image; a test that needs it is skipped where it was not built."""
    try:
        return Images(FORGE_HOME).find("base")
    except ImageMissing as error:
        pytest.skip(f"{error.message} {error.hint}")


@pytest.fixture
async def qemu_provider(base_image: Image) -> AsyncIterator[MachineProvider]:
    """A provider of microVMs; skipped where there is no QEMU."""
    assert base_image.name == "base"
    async with open_provider(FORGE_HOME, Images(FORGE_HOME).find, lambda _: None) as provider:
        try:
            await provider.probe()
        except ProgramMissing as error:
            pytest.skip(f"{error.message} {error.hint}")
        before = {each.id for each in await provider.list()}
        yield provider
        await provider.close()
        for each in await provider.list():
            if each.id not in before:  # paused, it would outlive the test on the disk
                await provider.remove(each.id)


@pytest.fixture
async def qemu_home(
    qemu_provider: MachineProvider,
) -> AsyncIterator[tuple[MachineProvider, VolumeStore]]:
    """A provider with its volumes, of which those that a test made go afterwards."""
    store = VolumeStore(FORGE_HOME)
    before = {volume.name for volume in store.list()}
    yield qemu_provider, store
    await qemu_provider.close()
    for volume in store.list():
        if volume.name not in before:
            store.remove(volume.name)


@pytest.fixture
async def qemu(qemu_provider: MachineProvider) -> AsyncIterator[Sandbox]:
    """A fresh microVM."""
    sandbox = await qemu_provider.create(SandboxSpec())
    yield sandbox
    await sandbox.stop()
