"""Real databases and real machines for the tests that need them, and a home for each process of
tests where there are several (`pytest -n auto`).

Databases: `database` is an open one with empty tables, and a test that takes it runs twice, on
SQLite and on PostgreSQL. `database_place` is where such a one is that a test opens itself, and at
`empty_place` there is none yet. Machines (marker `vm`) are made in each test's own event loop.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

import homes
import migrated
from forge.errors import ImageMissing, ProgramMissing
from forge.sandbox.base import Sandbox, SandboxSpec
from forge.sandbox.images.stock import Images
from forge.sandbox.images.store import Image
from forge.sandbox.machines.provider import MachineProvider
from forge.sandbox.qemu.provider import open_provider
from forge.sandbox.volumes import VolumeStore
from forge.store.base import Dialect
from forge.store.database import Database
from forge.testing.postgres import Cluster, cluster

FORGE_HOME = Path.home() / ".local/share/forge"
"""Where `forge image build` keeps the image, unless told otherwise."""

settings.load_profile("ci")
"""Hypothesis's own for hosts that many share: no deadline for an example, whose time is not what a
test is about, and the same examples for everybody, so that what fails here fails there.
"""

_HOMES = pytest.StashKey[ExitStack]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """What `-n auto` means here."""
    return homes.many(len(os.sched_getaffinity(0)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list) -> None:
    """Give each process of tests a home of its own, before it starts."""
    opened = config.stash.setdefault(_HOMES, ExitStack())
    made = opened.enter_context(homes.made(Path.home(), len(specs)))
    for spec, home in zip(specs, made, strict=True):
        spec.env["HOME"] = str(home)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Send each test to whichever process is free, save those that belong together."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return homes.together(nodeid)

    return Scheduling(config, log)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The processes of tests have ended: remove their homes."""
    config.stash.get(_HOMES, ExitStack()).close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server for all tests; those that need it are skipped where there is none."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(cluster())
        except ProgramMissing as error:
            pytest.skip(f"{error.message} {error.hint}")
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Each kind of database in turn."""
    kind: Dialect = request.param
    return kind


@pytest.fixture
def database_place(
    dialect: Dialect, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Path | str]:
    """Where a fresh database with Forge's tables is, for `Database.open`."""
    if dialect == "postgresql":
        with request.getfixturevalue("postgres").database() as url:
            yield url
    else:
        yield migrated.put(tmp_path / "forge.db")


@pytest.fixture
def empty_place(
    dialect: Dialect, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Path | str]:
    """Where a database may be made, for `Database.open`."""
    if dialect == "postgresql":
        with request.getfixturevalue("postgres").database(empty=True) as url:
            yield url
    else:
        yield tmp_path / "forge.db"


@pytest.fixture
async def database(database_place: Path | str) -> AsyncIterator[Database]:
    """A fresh database, open; on SQLite and on PostgreSQL."""
    async with Database.open(database_place) as opened:
        yield opened


@pytest.fixture
def either_database(database_place: Path | str, tmp_path: Path) -> None:
    """A test that makes a house in `tmp_path` (`running.house`) runs twice, on each kind."""
    if isinstance(database_place, str):
        (tmp_path / "database.url").write_text(database_place)


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
async def verdict(qemu_provider: MachineProvider) -> bytes:
    """What the probe found, for a home of a test's own: it need not find it again."""
    return (FORGE_HOME / "probe.json").read_bytes()


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
