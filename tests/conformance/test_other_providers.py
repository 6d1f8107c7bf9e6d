"""Firecracker and libkrun keep the contract, as far as this host can show.

What needs no guest runs everywhere, with the real program: the verdict, the refusals, the tidying.
What needs one runs where a guest boots under Firecracker, unchanged from QEMU's; elsewhere each of
those checks is skipped, and the reason is the probe's own.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

import real_firecracker
from forge.errors import (
    ImageMissing,
    MachineUnknown,
    NameUnknown,
    NoAccelerator,
    ProgramMissing,
)
from forge.ids import SandboxId
from forge.registry import SANDBOXES
from forge.sandbox.base import Probe, Sandbox, SandboxProvider, SandboxSpec
from forge.sandbox.firecracker.provider import open_provider
from forge.sandbox.images.stock import Images
from forge.testing.sandbox_conformance import code, commands, files, life

NAMES = ("firecracker", "libkrun")
SANDBOX_CHECKS = (*commands.CHECKS, *code.CHECKS, *files.CHECKS)


def named(check) -> str:
    return check.__name__


def no_images(name: str):
    raise ImageMissing(f"the image of {name} has not been built here")


def provider_at(home: Path) -> AbstractAsyncContextManager[SandboxProvider]:
    images = Images(real_firecracker.FORGE_HOME)
    return open_provider(home, images.find, lambda _: None)


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A home with Firecracker's program in it."""
    with real_firecracker.folder_beside_images() as place:
        (place / "bin").mkdir()
        (place / "bin" / "firecracker").symlink_to(real_firecracker.program())
        yield place


@pytest.fixture(scope="session")
def verdict(home: Path, base_image) -> Probe:
    """What the probe says here, asked once."""
    assert base_image.name == "base"

    async def ask() -> Probe:
        async with open_provider(
            home, Images(real_firecracker.FORGE_HOME).find, lambda _: None
        ) as provider:
            return await provider.probe(fresh=True)

    return asyncio.run(ask())


@pytest.fixture
async def provider(home: Path, verdict: Probe) -> AsyncIterator[SandboxProvider]:
    """Firecracker's, where a guest boots under it."""
    if verdict.accelerator is None:
        reasons = "; ".join(attempt.reason for attempt in verdict.attempts)
        pytest.skip(f"no guest boots under Firecracker on this host: {reasons[:200]}")
    async with open_provider(
        home, Images(real_firecracker.FORGE_HOME).find, lambda _: None
    ) as opened:
        yield opened


@pytest.fixture
async def firecracker(provider: SandboxProvider) -> AsyncIterator[Sandbox]:
    """A fresh machine."""
    sandbox = await provider.create(SandboxSpec())
    yield sandbox
    await sandbox.stop()


@pytest.mark.parametrize("name", NAMES)
async def test_a_provider_is_found_by_its_name_and_says_it(name: str, tmp_path: Path) -> None:
    """The name settings choose it by is the name it has; opening one starts nothing."""
    async with SANDBOXES.load(name)(tmp_path, no_images, print) as opened:
        assert opened.name == name
        assert await opened.reap() == 0
        await opened.close()
        await opened.close()


@pytest.mark.parametrize("name", NAMES)
async def test_a_missing_vmm_is_named_before_a_missing_image(name: str, tmp_path: Path) -> None:
    """Nobody builds an image for a provider that could not use it."""
    async with SANDBOXES.load(name)(tmp_path, no_images, print) as opened:
        with pytest.raises((ProgramMissing, ImageMissing)) as caught:
            await opened.probe()
    installed = any(Path(place, name).exists() for place in ("/usr/bin", "/usr/local/bin"))
    assert installed or "docs/providers.md" in caught.value.hint


async def test_a_missing_image_is_named(home: Path) -> None:
    """With the program there, the image is what is asked for next."""
    async with open_provider(home, no_images, print) as opened:
        with pytest.raises(ImageMissing):
            await opened.probe()


async def test_an_unknown_template_is_named_before_anything_is_started(home: Path) -> None:
    """Wherever no guest boots, too."""

    def unknown(name: str):
        raise NameUnknown(f"There is no template {name!r}.")

    async with open_provider(home, unknown, print) as opened:
        with pytest.raises(NameUnknown):
            await opened.create(SandboxSpec(template="nowhere"))


@pytest.mark.vm
async def test_a_host_without_an_accelerator_is_told_so(home: Path, verdict: Probe) -> None:
    """`create` gives the probe's reason; a verdict that nothing boots is not remembered."""
    if verdict.accelerator is not None:
        pytest.skip("a guest boots under Firecracker here: there is nothing to refuse")
    assert not verdict.cached
    assert not (home / "probe-firecracker.json").exists()
    async with open_provider(
        home, Images(real_firecracker.FORGE_HOME).find, lambda _: None
    ) as opened:
        with pytest.raises(NoAccelerator):
            await opened.create(SandboxSpec())
    assert [path.name for path in (home / "machines").iterdir()] == [".lock"]


@pytest.mark.vm
@pytest.mark.parametrize("check", SANDBOX_CHECKS, ids=named)
async def test_a_firecracker_machine_keeps_the_contract(firecracker: Sandbox, check) -> None:
    """The same checks as QEMU's machine, where a guest boots."""
    await check(firecracker)


@pytest.mark.vm
@pytest.mark.parametrize("check", life.CHECKS, ids=named)
async def test_the_firecracker_provider_keeps_the_contract(
    provider: SandboxProvider, check
) -> None:
    """The same checks as QEMU's provider, where a guest boots."""
    await check(provider)


@pytest.mark.parametrize("name", NAMES)
async def test_there_is_nothing_to_list_or_open_where_nothing_was_made(
    name: str, tmp_path: Path
) -> None:
    """Machines and snapshots that are not there are named as such."""
    async with SANDBOXES.load(name)(tmp_path, no_images, print) as opened:
        assert await opened.list() == ()
        assert await opened.snapshots() == ()
        with pytest.raises(MachineUnknown):
            await opened.open(SandboxId("sbx_nowhere"))
        with pytest.raises(MachineUnknown):
            await opened.remove(SandboxId("sbx_nowhere"))
        with pytest.raises(NameUnknown):
            await opened.remove_snapshot("nowhere")
