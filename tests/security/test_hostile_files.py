"""Files that are the enemy, on a real machine: hostile archives, folders that turn into symlinks
while they are read, what never ends, floods, and a disk that is full. The host is told by name,
waits for nothing, and nothing outside the folder in question is touched.
"""

import asyncio
import contextlib
import io
import tarfile
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
import pytest_asyncio

from forge.errors import (
    ArchiveRefused,
    FileNotFound,
    GuestRefused,
    ImageMissing,
    ProcessNotFound,
    ProgramMissing,
    QuotaExceeded,
)
from forge.sandbox.base import Sandbox, SandboxSpec
from forge.sandbox.commands import NO_DEADLINE, Command
from forge.sandbox.extract import Limits, extract
from forge.sandbox.files import HOME
from forge.sandbox.images.stock import Images
from forge.sandbox.qemu.provider import open_provider
from forge_guest.wire import tar
from forge_guest.wire.tar import Entry
from talking import pieces, shell

pytestmark = [pytest.mark.vm, pytest.mark.asyncio(loop_scope="module")]

FORGE_HOME = Path.home() / ".local/share/forge"
_REFUSED = (FileNotFound, GuestRefused)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine() -> AsyncIterator[Sandbox]:
    """One machine for every attack: that it lives to the last of them is part of the proof."""
    try:
        Images(FORGE_HOME).find("base")
        async with open_provider(FORGE_HOME, Images(FORGE_HOME).find, lambda _: None) as provider:
            sandbox = await provider.create(SandboxSpec())
            yield sandbox
            await sandbox.stop()
    except (ImageMissing, ProgramMissing) as error:
        pytest.skip(f"{error.message} {error.hint}")


@pytest_asyncio.fixture(loop_scope="module")
async def clean(machine: Sandbox) -> AsyncIterator[Sandbox]:
    """The machine with nothing in its home, and a secret that no attack may touch."""
    await shell(machine, "rm -rf /tmp/outside; mkdir /tmp/outside; echo kept > /tmp/outside/secret")
    await shell(machine, f"chmod -R u+rwX {HOME}; find {HOME} -mindepth 1 -delete")
    yield machine
    _, found = await shell(machine, "cd /tmp/outside; ls -A; cat secret")
    assert found == "secret\nkept\n"


@contextlib.asynccontextmanager
async def running(sandbox: Sandbox, script: str) -> AsyncIterator[None]:
    """A process of the person's that goes on beside what is tried."""
    pid = await sandbox.commands.start(Command(("python3", "-c", script), NO_DEADLINE))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessNotFound):
            await sandbox.commands.signal(pid, 9)


async def attempt(call: Awaitable[object]) -> str:
    """How a call ended, that may be refused."""
    try:
        await call
    except _REFUSED as error:
        return type(error).__name__
    return "done"


async def read(sandbox: Sandbox, path: str, limit: int | None = None) -> bytes:
    async with contextlib.aclosing(sandbox.files.read(path, limit=limit)) as found:
        return b"".join([data async for data in found])


async def packed(sandbox: Sandbox, path: str) -> bytes:
    async with contextlib.aclosing(sandbox.files.pack(path)) as found:
        return b"".join([data async for data in found])


# -- archives ---------------------------------------------------------------------------------


def archive(*members: tuple[str, bytes, str]) -> bytes:
    """An archive by Python's own `tarfile`: (name, kind, target or content)."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as file:
        for name, kind, more in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(more)
                file.addfile(info, io.BytesIO(more.encode()))
            else:
                info.linkname, info.devmajor, info.devminor = more, 1, 5
                file.addfile(info)
    return made.getvalue()


FILE, LINK, HARD = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
GIANT = tar.sparse_map([(2**50, 4)]) + b"evil"
OUT = "/tmp/outside"
ARCHIVES = {
    "above": archive(("../evil", FILE, "x")),
    "far above": archive(("a/../../../../tmp/outside/evil", FILE, "x")),
    "absolute": archive((f"{OUT}/evil", FILE, "x")),
    "through a symlink": archive(("l", LINK, OUT), ("l/evil", FILE, "x")),
    "through two": archive(("a", LINK, ".."), ("b", LINK, "a/.."), ("b/evil", FILE, "x")),
    "a folder through a symlink": archive(("l", LINK, OUT), ("l/d", tarfile.DIRTYPE, "")),
    "a folder in place of a symlink": archive(("l", LINK, OUT), ("l", tarfile.DIRTYPE, "")),
    "a hard link to elsewhere": archive(("h", HARD, f"{OUT}/secret"), ("h", FILE, "x")),
    "a hard link above": archive(("h", HARD, "../../../tmp/outside/secret")),
    "a hard link through a symlink": archive(("l", LINK, OUT), ("h", HARD, "l/secret")),
    "a character device": archive(("zero", tarfile.CHRTYPE, "")),
    "a block device": archive(("disk", tarfile.BLKTYPE, "")),
    "a FIFO": archive(("pipe", tarfile.FIFOTYPE, "")),
    "a sparse giant": tar.header(Entry(b"g", "file", len(GIANT), real_size=2**62))
    + GIANT
    + tar.padding(len(GIANT))
    + tar.END,
    "another format of holes": archive(("g", tarfile.GNUTYPE_SPARSE, "")),
    "names without end": archive(("a/" * 3_000 + "b", FILE, "x")),
    "no archive": b"\xff" * 10_000,
}


@pytest.mark.parametrize("kind", ARCHIVES)
async def test_no_archive_reaches_out_of_its_folder(kind: str, clean: Sandbox) -> None:
    """It is refused by name, and nothing was made beside the folder or left half made in it."""
    with pytest.raises((ArchiveRefused, QuotaExceeded)):
        await clean.files.unpack("in/out", pieces(ARCHIVES[kind]))
    _, found = await shell(clean, "ls -A . in; find in/out -name '.forge*' -o -name evil")
    assert found == ".:\nin\n\nin:\nout\n"


async def test_an_archive_that_repeats_itself_is_what_its_last_entries_say(clean: Sandbox) -> None:
    """A file, then a symlink, then a file of one name: each replaces the one before, none is
    written through. A hard link made before keeps the old content.
    """
    hostile = archive(
        ("a", FILE, "first"),
        ("h", HARD, "a"),
        ("a", LINK, f"{OUT}/secret"),
        ("a", FILE, "second"),
        ("b", LINK, f"{OUT}/secret"),
    )
    assert await clean.files.unpack("u", pieces(hostile)) == 5
    _, found = await shell(clean, "cd u; cat a h; readlink b")
    assert found == f"secondfirst{OUT}/secret\n"


async def test_an_archive_with_names_of_any_bytes_is_unpacked_as_it_is(clean: Sandbox) -> None:
    """Line ends, escapes, no UTF-8, a leading dash: names, and nothing more."""
    names = (b"\xff\xfe", b"a\nb", b"-rf", b"\x1b[31m", b"$(id)", b"*", b"\xe2\x80\xae", b" ")
    content = b"".join(tar.header(Entry(name, "file")) for name in names) + tar.END
    assert await clean.files.unpack("n", pieces(content)) == len(names)
    told = [entry.path.encode("utf-8", "surrogateescape") for entry in await clean.files.list("n")]
    assert sorted(told) == sorted(f"{HOME}/n/".encode() + name for name in names)


# -- races ------------------------------------------------------------------------------------

FLIP = f"""
import os
os.makedirs('race/real', exist_ok=True)
open('race/real/mine', 'w').write('mine')
os.symlink('{OUT}', 'race/link')
while True:
    for name in ('real', 'link'):
        os.rename('race/' + name, 'race/now')
        os.rename('race/now', 'race/' + name)
"""


async def test_a_folder_that_turns_into_a_symlink_is_never_followed(clean: Sandbox) -> None:
    """While a process swaps the two under one name, a listing and an archive hold nothing that the
    symlink leads to, and removing leaves it alone.
    """
    async with running(clean, FLIP):
        for _ in range(10):
            with contextlib.suppress(*_REFUSED):
                assert all("secret" not in e.path for e in await clean.files.list(".", depth=5))
            with contextlib.suppress(*_REFUSED):
                assert b"kept" not in await packed(clean, "race")
        for _ in range(5):
            await attempt(clean.files.remove("race/now"))
        await attempt(clean.files.remove("race"))


async def test_a_read_in_a_race_is_one_file_or_the_other(clean: Sandbox) -> None:
    """A path that leads by turns to two files gives one of them whole, or none."""
    seen = set()
    async with running(clean, FLIP):
        for _ in range(10):
            for name in ("mine", "secret"):
                with contextlib.suppress(*_REFUSED):
                    seen.add(await read(clean, f"race/now/{name}"))
                    await clean.files.stat(f"race/now/{name}")
    assert seen <= {b"mine", b"kept\n"}


# -- what never ends --------------------------------------------------------------------------

ENDLESS = (
    "pipe", "to-pipe", "to-zero", "loop", "/dev/zero", "/dev/random", "/proc/kmsg",
    "/proc/self/mem", "/proc/kcore", "/proc/1/mem", "/proc/1/fd/0", "/proc/self/fd",
    "/proc/sysrq-trigger",
)  # fmt: skip


async def test_what_never_ends_is_refused_at_once(clean: Sandbox) -> None:
    """FIFOs, devices, and what the kernel shows as files: none is waited for, by whatever name."""
    await shell(clean, "mkfifo pipe; ln -s pipe to-pipe; ln -s /dev/zero to-zero; ln -s loop loop")
    async with asyncio.timeout(30):
        for path in ENDLESS:
            assert await attempt(read(clean, path)) != "done", path
            await attempt(clean.files.stat(path))
            if path != "/proc/self/fd":
                assert await attempt(packed(clean, path)) != "done", path


async def test_files_of_the_kernel_are_read_to_their_end(clean: Sandbox) -> None:
    """What says that it is empty and is not is read up to a limit, and not beyond."""
    assert b"Linux version" in await read(clean, "/proc/version")
    assert len(await read(clean, "/proc/version", limit=10)) == 10
    assert len(await read(clean, "/proc/kallsyms")) <= 64 << 20


async def test_a_file_that_grows_while_it_is_read_ends(clean: Sandbox) -> None:
    """Reading and packing give what was there at first, however fast it grows or shrinks."""
    grow = "f = open('grows', 'wb', 0)\nwhile True: f.write(bytes(65536)) if f.tell() < 4e7 else "
    async with running(clean, grow + "f.truncate(f.seek(0))"):
        for _ in range(3):
            if await attempt(clean.files.stat("grows")) == "done":
                assert len(await read(clean, "grows")) <= 50_000_000
                await packed(clean, "grows")


async def test_a_folder_of_traps_is_packed_without_them(clean: Sandbox, tmp_path: Path) -> None:
    """FIFOs, sockets and what may not be read are left out and named; holes take no room; what is
    laid out on the host leads nowhere.
    """
    await shell(
        clean,
        "mkdir t; cd t; mkfifo pipe; truncate -s 4T hole; ln -s /etc/passwd l; ln -s .. up; "
        "echo x > shut; chmod 0 shut; echo fine > fine; python3 -c 'import socket; "
        'socket.socket(socket.AF_UNIX).bind("socket")\'; ln -s /proc/self/root root',
    )
    found = await extract(clean.files.pack("t"), tmp_path / "out", Limits(1 << 50))
    assert set(found.skipped) == {"pipe", "socket", "shut", "l", "up", "root"}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["fine", "hole", "out"]
    assert (tmp_path / "out/hole").stat().st_blocks == 0


# -- floods -----------------------------------------------------------------------------------


async def test_a_listing_without_end_is_refused(clean: Sandbox) -> None:
    """More entries than the host keeps, in one folder or over many, are refused by name."""
    await shell(clean, "mkdir wide deep; cd wide; seq 10001 | xargs touch", deadline_s=60)
    with pytest.raises(GuestRefused):
        await clean.files.list("wide")
    await shell(
        clean, "for i in 1 2 3; do mkdir deep/$i; (cd deep/$i; seq 4000 | xargs touch); done"
    )
    with pytest.raises(GuestRefused):
        await clean.files.list("deep", depth=2)
    assert len(await clean.files.list("deep")) == 3


# -- quota ------------------------------------------------------------------------------------


async def test_a_full_disk_is_a_quota_in_every_verb(clean: Sandbox) -> None:
    """Writing, unpacking, making and moving say so by name, leave nothing half made, and work
    again once there is room.
    """
    await clean.files.write("old", pieces(b"old"))
    await shell(
        clean, "dd if=/dev/zero of=big bs=1M; dd if=/dev/zero of=rest bs=1k", deadline_s=120
    )
    content = archive(("a", FILE, "x" * 3_000_000))
    with pytest.raises(QuotaExceeded):
        await clean.files.write("new", pieces(b"x" * 3_000_000))
    with pytest.raises(QuotaExceeded):
        await clean.files.unpack(".", pieces(content))
    with pytest.raises(QuotaExceeded):
        await made_without_end(clean)
    with pytest.raises(QuotaExceeded):
        await clean.files.move("old", "/tmp/" + "/".join(["far" * 60] * 20) + "/old")
    _, found = await shell(clean, "cat old; ls -A | grep -v made; rm -rf big rest made")
    assert found == "oldbig\nold\nrest\n"
    assert await clean.files.write("new", pieces(b"x" * 3_000_000)) == 3_000_000
    assert await clean.files.unpack("u", pieces(content)) == 1


async def made_without_end(sandbox: Sandbox) -> None:
    for number in range(2_000):
        await sandbox.files.make(f"made/{number}/a/b/c")
