"""Files: any bytes under any name, whole or not at all, and never outside the machine."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from forge.errors import FileNotFound, GuestRefused, PathRefused, QuotaExceeded
from forge.sandbox.base import Sandbox
from forge.sandbox.commands import Command
from forge.sandbox.files import HOME
from forge.testing.sandbox_conformance.watching import (
    PATIENCE_S,
    Check,
    Seen,
    pieces,
    read,
    refused,
    run,
    shell,
    write,
)

ODD_NAMES = (
    "with space",
    " lead and trail ",
    "line\nend",
    "tab\there",
    "'quotes\"",
    "$HOME",
    "*",
    "-rf",
    ".hidden",
    "...",
    "back\\slash",
    "é🎉你好",
    "e\u0301",
    "\u202eturned",
    "no-utf8-\udcff\udc80",
    "\x01\x7f",
    "x" * 255,
)
"""Names that a Linux folder may hold and that careless code trips over."""


async def any_bytes_come_back_as_they_were(sandbox: Sandbox) -> None:
    """Empty, NUL, every byte, line ends, and more than a window, in pieces of any size."""
    whole = bytes(range(256))
    for number, content in enumerate((b"", b"\0", b"\r\n\r", whole, b"\xff" * 3, whole * 8_192)):
        assert await write(sandbox, f"file-{number}", content) == len(content)
        assert await read(sandbox, f"file-{number}") == content
    parts = (b"", b"a", whole * 300, b"", b"z")
    assert await sandbox.files.write("parts", pieces(*parts)) == 256 * 300 + 2
    assert await read(sandbox, "parts") == b"".join(parts)


async def a_relative_path_is_below_home(sandbox: Sandbox) -> None:
    """Both spellings name one file, as do needless dots and slashes."""
    await write(sandbox, "a/b", b"one")
    for path in (f"{HOME}/a/b", "./a//b", "a/./b", "a/../a/b"):
        assert await read(sandbox, path) == b"one", path
    await write(sandbox, f"{HOME}/a/b", b"two")
    assert await read(sandbox, "a/b") == b"two"


async def folders_are_made_as_needed(sandbox: Sandbox) -> None:
    """Deep ones too, and a folder that is there is used."""
    await write(sandbox, "a/b/c/d/e", b"deep")
    await write(sandbox, "a/b/other", b"beside")
    assert await read(sandbox, "a/b/c/d/e") == b"deep"
    assert [entry.kind for entry in await sandbox.files.list("a/b")] == ["directory", "file"]


async def writing_again_replaces_the_whole_file(sandbox: Sandbox) -> None:
    """Nothing of a longer file before it is left."""
    await write(sandbox, "a", b"a long first version")
    await write(sandbox, "a", b"short")
    assert await read(sandbox, "a") == b"short"


async def a_write_that_fails_changes_nothing(sandbox: Sandbox) -> None:
    """A source that breaks off leaves the old file, and nothing beside it."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise LookupError

    await write(sandbox, "kept/old", b"kept")
    for path in ("kept/old", "kept/new"):
        with contextlib.suppress(LookupError):
            await sandbox.files.write(path, broken())
    names: list[str] = []
    for _ in range(200):
        # The machine learns a moment later that the rest will not come.
        names = [entry.path for entry in await sandbox.files.list("kept")]
        if names == [f"{HOME}/kept/old"]:
            break
    assert names == [f"{HOME}/kept/old"]
    assert await read(sandbox, "kept/old") == b"kept"


async def odd_names_are_names(sandbox: Sandbox) -> None:
    """Whatever Linux allows can be written, read and listed, undecodable bytes included."""
    for name in ODD_NAMES:
        await write(sandbox, f"odd/{name}", name.encode("utf-8", "surrogateescape"))
    for name in ODD_NAMES:
        content = await read(sandbox, f"odd/{name}")
        assert content == name.encode("utf-8", "surrogateescape"), name
    listed = [entry.path for entry in await sandbox.files.list("odd")]
    assert listed == sorted(f"{HOME}/odd/{name}" for name in ODD_NAMES)


async def malformed_paths_are_refused(sandbox: Sandbox) -> None:
    """Empty, NUL, or longer than Linux allows: before anything is done."""
    for path in ("", "a\0b", "x" * 4_097, "é" * 2_049):
        await refused(PathRefused, write(sandbox, path))
        await refused(PathRefused, read(sandbox, path))
        await refused(PathRefused, sandbox.files.list(path))


async def a_name_no_folder_can_hold_is_refused(sandbox: Sandbox) -> None:
    """A part of more than 255 bytes, or a path that names no file."""
    await refused(GuestRefused, write(sandbox, "x" * 256))
    for path in ("/", ".", "a/.."):
        await refused(GuestRefused, write(sandbox, path))


async def what_is_missing_is_not_found(sandbox: Sandbox) -> None:
    """Files and folders, at the end or on the way."""
    for path in ("missing", "missing/too", f"{HOME}/missing"):
        await refused(FileNotFound, read(sandbox, path))
        await refused(FileNotFound, sandbox.files.list(path))


async def a_folder_is_no_file_and_a_file_no_folder(sandbox: Sandbox) -> None:
    """Neither is read, written or listed as the other."""
    await write(sandbox, "folder/file", b"x")
    await refused(GuestRefused, read(sandbox, "folder"))
    await refused(GuestRefused, write(sandbox, "folder"))
    await refused(GuestRefused, write(sandbox, "folder/file/below"))
    await refused(GuestRefused, sandbox.files.list("folder/file"))


async def what_is_no_regular_file_is_refused_at_once(sandbox: Sandbox) -> None:
    """A FIFO that nobody writes to does not make anyone wait."""
    await shell(sandbox, "mkfifo pipe")
    await refused(GuestRefused, read(sandbox, "pipe"))


async def devices_are_refused(sandbox: Sandbox) -> None:
    """Reading one could go on for ever."""
    for path in ("/dev/zero", "/dev/null", "/dev/tty"):
        await refused(GuestRefused, read(sandbox, path))


async def a_limit_is_kept_to_the_byte(sandbox: Sandbox) -> None:
    """A file of exactly the limit is read, one byte more is refused."""
    await write(sandbox, "a", bytes(1_000))
    assert len(await read(sandbox, "a", limit=1_000)) == 1_000
    await refused(GuestRefused, read(sandbox, "a", limit=999))
    await write(sandbox, "empty")
    assert await read(sandbox, "empty", limit=0) == b""


async def a_reader_may_stop_early(sandbox: Sandbox) -> None:
    """What was not read is no burden to the machine."""
    await write(sandbox, "a", bytes(3_000_000))
    for _ in range(3):
        reading = sandbox.files.read("a", limit=3_000_000)
        async for _ in reading:
            break
        await reading.aclose()  # type: ignore[attr-defined]  # the contract: the caller closes it
    assert await shell(sandbox, "echo on") == b"on\n"


async def a_listing_is_sorted_and_as_deep_as_asked(sandbox: Sandbox) -> None:
    """By path, one level or more, hidden files included, empty folders too."""
    for path in ("a/x", "a/deep/y", "a.b", "B", ".hidden"):
        await write(sandbox, f"tree/{path}", b"123")
    await shell(sandbox, "mkdir tree/empty")
    root = f"{HOME}/tree"
    one = [entry.path for entry in await sandbox.files.list("tree")]
    assert one == [f"{root}/{name}" for name in (".hidden", "B", "a", "a.b", "empty")]
    three = [entry.path for entry in await sandbox.files.list("tree", depth=3)]
    assert three == sorted([*one, f"{root}/a/deep", f"{root}/a/deep/y", f"{root}/a/x"])
    assert await sandbox.files.list("tree/empty") == ()


async def an_entry_says_what_it_is(sandbox: Sandbox) -> None:
    """Kind, size, mode and time; a symlink is shown, not followed."""
    script = (
        "mkdir t; printf 12345 > t/file; chmod 640 t/file; mkdir t/folder; "
        "ln -s / t/link; ln -s nowhere t/broken; mkfifo t/pipe; date +%s"
    )
    now = int(await shell(sandbox, script))
    entries = {
        entry.path.rpartition("/")[2]: entry for entry in await sandbox.files.list("t", depth=2)
    }
    kinds = {name: entry.kind for name, entry in entries.items()}
    assert kinds == {
        "file": "file", "folder": "directory", "link": "symlink", "broken": "symlink",
        "pipe": "other",
    }  # fmt: skip
    assert (entries["file"].size, entries["file"].mode) == (5, 0o640)
    assert abs(entries["file"].modified - now) < 10


async def nothing_leads_out_of_the_machine(sandbox: Sandbox) -> None:
    """`..`, absolute paths and symlinks mean what they mean inside, as for a command there."""
    await shell(sandbox, "ln -s /etc/hostname name; ln -s ../../../../../etc up; ln -s /tmp tmp")
    inside = await shell(sandbox, "cat /etc/hostname")
    for path in ("name", "up/hostname", "../../../../../../etc/hostname", "/etc/hostname"):
        assert await read(sandbox, path) == inside, path
    await write(sandbox, "tmp/made", b"through a link")
    assert await shell(sandbox, "cat /tmp/made") == b"through a link"
    await shell(sandbox, "ln -s loop loop")
    await refused(GuestRefused, read(sandbox, "loop"))
    for path in ("/proc/self/root/etc/hostname", "/proc/1/root/etc/hostname"):
        await refused(GuestRefused, read(sandbox, path))


async def a_persons_rights_are_the_limit(sandbox: Sandbox) -> None:
    """Files are read and written as the person, not as root."""
    lock = ("sh", "-c", "echo secret > /etc/locked; chmod 600 /etc/locked")
    assert (await sandbox.commands.run(Command(lock, PATIENCE_S, user="root"), Seen())).ok
    await refused(GuestRefused, read(sandbox, "/etc/locked"))
    await refused(GuestRefused, write(sandbox, "/etc/locked"))
    await refused(GuestRefused, write(sandbox, "/etc/made"))
    await write(sandbox, "made")
    owner, person = (await shell(sandbox, "stat -c %u made; id -u")).split()
    assert owner == person
    assert await shell(sandbox, "echo more >> made; cat made") == b"more\n"


async def a_full_disk_is_named_and_nothing_is_kept(sandbox: Sandbox) -> None:
    """A file that does not fit is gone, and with room again the machine goes on."""
    await shell(sandbox, "fallocate -l $(($(df --output=avail -B1 . | tail -1) - 4000000)) big")
    content = pieces(*[bytes(1_000_000)] * 20)
    await refused(QuotaExceeded, sandbox.files.write("full/more", content))
    assert await sandbox.files.list("full") == ()
    await shell(sandbox, "rm big")
    assert await write(sandbox, "full/more", bytes(5_000_000)) == 5_000_000


async def files_move_beside_each_other(sandbox: Sandbox) -> None:
    """Many writes and reads at once do not mix."""

    async def round_trip(number: int) -> None:
        content = bytes((number,)) * 200_000
        await write(sandbox, f"many/{number}", content)
        assert await read(sandbox, f"many/{number}") == content

    async with asyncio.TaskGroup() as tasks:
        for number in range(8):
            tasks.create_task(round_trip(number))
    result, _ = await run(sandbox, "true")
    assert result.ok


CHECKS: tuple[Check, ...] = (
    any_bytes_come_back_as_they_were,
    a_relative_path_is_below_home,
    folders_are_made_as_needed,
    writing_again_replaces_the_whole_file,
    a_write_that_fails_changes_nothing,
    odd_names_are_names,
    malformed_paths_are_refused,
    a_name_no_folder_can_hold_is_refused,
    what_is_missing_is_not_found,
    a_folder_is_no_file_and_a_file_no_folder,
    what_is_no_regular_file_is_refused_at_once,
    devices_are_refused,
    a_limit_is_kept_to_the_byte,
    a_reader_may_stop_early,
    a_listing_is_sorted_and_as_deep_as_asked,
    an_entry_says_what_it_is,
    nothing_leads_out_of_the_machine,
    a_persons_rights_are_the_limit,
    a_full_disk_is_named_and_nothing_is_kept,
    files_move_beside_each_other,
)
