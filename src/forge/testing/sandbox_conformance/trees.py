"""Files as trees: stat, make, move, remove, watch, pack and unpack."""

import asyncio
import contextlib

from forge.errors import ArchiveRefused, FileNotFound, GuestRefused, InputRefused
from forge.sandbox.base import Sandbox
from forge.sandbox.files import HOME
from forge.testing.sandbox_conformance.files import ODD_NAMES
from forge.testing.sandbox_conformance.watching import (
    PATIENCE_S,
    Check,
    pieces,
    read,
    refused,
    shell,
    write,
)


async def packed(sandbox: Sandbox, path: str) -> bytes:
    """A folder as an archive."""
    async with contextlib.aclosing(sandbox.files.pack(path)) as found:  # type: ignore[type-var]  # the contract: the caller closes it
        return b"".join([data async for data in found])


async def stat_tells_of_one_entry(sandbox: Sandbox) -> None:
    """Owner, mode and metadata of a file; what a symlink says and where it leads."""
    await sandbox.files.write("s/a", pieces(b"12345"), mode=0o751, metadata={"from": "é"})
    await shell(sandbox, "ln -s a s/link; ln -s nowhere s/broken; mkfifo s/pipe")
    told = await sandbox.files.stat("s/a")
    assert (told.path, told.kind, told.size) == (f"{HOME}/s/a", "file", 5)
    assert (told.mode, told.owner, told.group) == (0o751, "user", "user")
    assert told.metadata == {"from": "é"}
    link = await sandbox.files.stat("s/link")
    assert (link.kind, link.target, link.target_kind) == ("symlink", "a", "file")
    broken = await sandbox.files.stat("s/broken")
    assert (broken.target, broken.target_kind) == ("nowhere", None)
    assert (await sandbox.files.stat("s/pipe")).kind == "other"
    assert (await sandbox.files.stat("/")).kind == "directory"
    await refused(FileNotFound, sandbox.files.stat("s/missing"))


async def writing_again_keeps_the_mode_and_replaces_metadata(sandbox: Sandbox) -> None:
    """The mode stays unless another is asked for; set-id bits are never given."""
    await sandbox.files.write("a", pieces(b"1"), mode=0o4700, metadata={"k": "v"})
    assert (await sandbox.files.stat("a")).mode == 0o700
    await write(sandbox, "a", b"2")
    told = await sandbox.files.stat("a")
    assert (told.mode, told.metadata) == (0o700, {})
    for key, value in (("Upper", "x"), ("", "x"), ("k", "x" * 3_000), ("k", "\0")):
        await refused(InputRefused, sandbox.files.write("a", pieces(), metadata={key: value}))


async def folders_are_made_once(sandbox: Sandbox) -> None:
    """With those they need; the second time says that it was there; a file is in the way."""
    assert await sandbox.files.make("m/a/b")
    assert not await sandbox.files.make("m/a/b")
    await write(sandbox, "m/file")
    await refused(GuestRefused, sandbox.files.make("m/file/below"))
    await refused(GuestRefused, sandbox.files.make("/etc/made"))


async def a_move_keeps_what_is_moved(sandbox: Sandbox) -> None:
    """Files and folders with their content; a file is replaced, a full folder is not."""
    await write(sandbox, "m/a", b"one")
    await write(sandbox, "m/b", b"two")
    await sandbox.files.move("m/a", "m/b")
    assert await read(sandbox, "m/b") == b"one"
    await sandbox.files.move("m", "new/place/m")
    assert await read(sandbox, "new/place/m/b") == b"one"
    await write(sandbox, "full/x", b"x")
    await refused(GuestRefused, sandbox.files.move("new/place/m", "full"))
    await refused(FileNotFound, sandbox.files.move("m", "elsewhere"))


async def removing_takes_the_tree_and_no_more(sandbox: Sandbox) -> None:
    """A symlink goes, not what it leads to; deep trees go; what is not there is no error."""
    await write(sandbox, "kept/a", b"kept")
    await shell(sandbox, "mkdir -p r/d/e; ln -s ../kept r/link; mkfifo r/d/pipe; echo x > r/d/e/f")
    deep = "import os\nfor i in range(600): os.mkdir('deep'); os.chdir('deep')"
    await shell(sandbox, f'cd r; python3 -c "{deep}"')
    assert await sandbox.files.remove("r")
    assert not await sandbox.files.remove("r")
    assert await read(sandbox, "kept/a") == b"kept"
    await refused(GuestRefused, sandbox.files.remove("/etc/hostname"))


async def a_watch_tells_what_happens_in_order(sandbox: Sandbox) -> None:
    """A write as one whole file, then a change of mode, a new name and the end of the folder."""
    await sandbox.files.make("w")
    async with asyncio.timeout(PATIENCE_S), sandbox.files.watch("w") as events:
        await write(sandbox, "w/a", b"1")
        await shell(sandbox, "chmod 600 w/a; mv w/a w/b; rm w/b; rmdir w")
        seen = [(event.kind, event.path, event.target) async for event in events]
    where = f"{HOME}/w"
    assert seen == [
        ("create", f"{where}/a", None),
        ("write", f"{where}/a", None),
        ("chmod", f"{where}/a", None),
        ("rename", f"{where}/a", f"{where}/b"),
        ("remove", f"{where}/b", None),
        ("remove", where, None),
    ]


async def a_recursive_watch_follows_new_folders(sandbox: Sandbox) -> None:
    """What is made in folders that were made meanwhile is told once, with all their parents."""
    await sandbox.files.make("w")
    async with asyncio.timeout(PATIENCE_S), sandbox.files.watch("w", recursive=True) as events:
        await shell(sandbox, "mkdir -p w/a/b/c; echo x > w/a/b/c/f; rm -r w")
        told = [event async for event in events]
    created = [each.path.removeprefix(f"{HOME}/w/") for each in told if each.kind == "create"]
    assert [each for each in created if each != "a/b/c/f"] == ["a", "a/b", "a/b/c"]
    assert len(created) == len(set(created))


async def only_a_folder_is_watched(sandbox: Sandbox) -> None:
    """A file or nothing is refused before the block begins; a watch that was left is over."""
    await write(sandbox, "file")
    for path, error in (("file", GuestRefused), ("missing", FileNotFound)):
        with contextlib.suppress(error):
            async with sandbox.files.watch(path):
                raise AssertionError(path)
    for _ in range(40):  # more than may be set at once
        async with sandbox.files.watch("."):
            continue


async def an_archive_makes_the_same_tree(sandbox: Sandbox) -> None:
    """Any names, symlinks, modes, empty folders and holes; the machine's own tar agrees."""
    for name in ODD_NAMES:
        await write(sandbox, f"t/{name}", name.encode("utf-8", "surrogateescape"))
    await shell(
        sandbox, "cd t; mkdir e; ln -s /etc l; truncate -s 3G hole; echo x >> hole; chmod 751 '*'"
    )
    archive = await packed(sandbox, "t")
    assert len(archive) < 1_000_000
    count = await sandbox.files.unpack("u", pieces(archive[:700], archive[700:]))
    assert count == len(ODD_NAMES) + 3
    kinds = [
        {(e.path.replace(f"{HOME}/{top}/", ""), e.kind, e.mode, e.target) for e in found}
        for top in ("t", "u")
        for found in (await sandbox.files.list(top, depth=3),)
    ]
    assert kinds[0] == kinds[1]
    await shell(sandbox, "rm t/hole; tail -c 2 u/hole | grep -q x; rm u/hole; diff -r t u")
    await sandbox.files.write("theirs.tar", pieces(archive))
    await shell(sandbox, "mkdir v; tar xf theirs.tar -C v; rm v/hole; diff -r t v")
    await shell(sandbox, "tar cf theirs.tar -C t .")
    await sandbox.files.unpack("x", pieces(await read(sandbox, "theirs.tar")))
    await shell(sandbox, "diff -r t x")


async def a_bad_archive_is_refused(sandbox: Sandbox) -> None:
    """What is none, or is cut off; entries before the damage are there, whole."""
    await write(sandbox, "t/a", b"a" * 3_000)
    await write(sandbox, "t/b", b"b" * 3_000)
    archive = await packed(sandbox, "t")
    await refused(ArchiveRefused, sandbox.files.unpack("u", pieces(b"x" * 2_000)))
    await refused(ArchiveRefused, sandbox.files.unpack("u", pieces(archive[:6_000])))
    assert [entry.path for entry in await sandbox.files.list("u")] == [f"{HOME}/u/a"]
    assert await read(sandbox, "u/a") == b"a" * 3_000


async def a_large_file_goes_through_in_pieces(sandbox: Sandbox) -> None:
    """Many windows of it, without a limit, and the sum is right at the other end."""
    piece = bytes(range(256)) * 1_024
    assert await sandbox.files.write("big", pieces(*[piece] * 100)) == len(piece) * 100
    assert await read(sandbox, "big") == piece * 100


CHECKS: tuple[Check, ...] = (
    stat_tells_of_one_entry,
    writing_again_keeps_the_mode_and_replaces_metadata,
    folders_are_made_once,
    a_move_keeps_what_is_moved,
    removing_takes_the_tree_and_no_more,
    a_watch_tells_what_happens_in_order,
    a_recursive_watch_follows_new_folders,
    only_a_folder_is_watched,
    an_archive_makes_the_same_tree,
    a_bad_archive_is_refused,
    a_large_file_goes_through_in_pieces,
)
