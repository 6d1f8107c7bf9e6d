"""Where a build works: one builder at a time, in folders that are gone when it ends.

The lock is the kernel's (`flock`): it is let go when its holder dies, however that happens. Whoever
holds it owns everything in the work folder, and removes what a killed build left there.

A tree that mmdebstrap makes without root belongs to user ids of a namespace, and lies where that
namespace's root may go: in `/var/tmp`, with a link to it in the work folder, so that the next build
finds it too. Only `mmdebstrap --unshare-helper` can remove such a tree.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from forge.errors import ImageBuildFailed
from forge.sandbox.images.process import find_program

_OTHER_BUILD_S = 3600.0  # twice what a build takes on a slow line
_POLL_S = 0.2
_TRIES = 50  # ten seconds: mmdebstrap removes its tree in about one
_REMOVE_S = 120.0  # half a gigabyte of small files, on a slow disk
_TREE_LINK = "trees"


@dataclass(frozen=True, slots=True)
class Workplace:
    """A build's folders: `folder` for its files, `trees` for mmdebstrap, and its log."""

    folder: Path
    trees: Path
    log: Path


@contextlib.asynccontextmanager
async def locked(folder: Path, waiting: Callable[[], None]) -> AsyncIterator[None]:
    """Hold the builder's lock; `waiting` is called once if another build holds it.

    Raises:
        ImageBuildFailed: another build held it for an hour.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("ab") as file:
        try:
            async with asyncio.timeout(_OTHER_BUILD_S):
                if not _try_lock(file.fileno()):
                    waiting()
                    while not _try_lock(file.fileno()):  # noqa: ASYNC110  (another process holds it)
                        await asyncio.sleep(_POLL_S)
        except TimeoutError as passed:
            raise ImageBuildFailed(
                f"another build has held {file.name} for an hour",
                hint="End the other build, then try again.",
            ) from passed
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def workplace(work: Path, log: Path, trees: Path | None) -> Iterator[Workplace]:
    """Fresh folders for the holder of the lock; what is left in `work` is removed, before and
    after. The log is kept where the build fails.

    Raises:
        ImageBuildFailed: what an earlier build left cannot be removed.
    """
    remove_left(work)
    work.mkdir(mode=0o700)
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(b"")
    if trees is None and os.geteuid() != 0:
        trees = Path("/var/tmp")  # noqa: S108  (mkdtemp makes a folder of our own in it)
    place = Path(tempfile.mkdtemp(prefix="forge-image-", dir=trees or work))
    (work / _TREE_LINK).symlink_to(place)
    place.chmod(0o755)  # the namespace's root is a stranger here, and mmdebstrap closes its own
    try:
        yield Workplace(work, place, log)
    finally:
        remove_left(work)
    log.unlink()


def remove_left(work: Path) -> None:
    """Remove a work folder and the trees it links to, if they are there.

    Raises:
        ImageBuildFailed: something in them cannot be removed.
    """
    link = work / _TREE_LINK
    if link.is_symlink():
        trees = link.readlink()
        # Only what mkdtemp made for us: a link is just a file that anyone with our home may edit.
        if trees.name.startswith("forge-image-") and trees.is_dir() and not trees.is_symlink():
            _remove(trees)
    if work.exists():
        _remove(work)


def _remove(folder: Path) -> None:
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        # Either a killed build's mmdebstrap is still taking its own tree down, or the tree belongs
        # to a namespace.
        if os.geteuid() != 0:
            _remove_in_namespace(folder)
        time.sleep(_POLL_S)
    raise ImageBuildFailed(
        f"{folder}, which an earlier build left, cannot be removed",
        hint="Remove it yourself, then build again.",
    )


def _remove_in_namespace(folder: Path) -> None:
    trees = [str(path) for path in folder.iterdir() if path.is_dir()]
    helper = [find_program("mmdebstrap"), "--unshare-helper", "rm", "-rf", "--", *trees]
    subprocess.run(helper, check=False, capture_output=True, timeout=_REMOVE_S)
