"""Homes for tests that run in several processes at once: each process believes it is alone.

A test may say that no machine, volume or snapshot is left in Forge's home, and it may kill a Forge
and let the next one clean up. Two processes of tests in one home would see, and reap, what belongs
to the other. So each gets a home of its own, in which only what may be shared is the person's:
images and templates, which are made under a lock of the product's, and the verdict on how machines
run. The homes lie inside the person's Forge home, because a machine's files are links to the
image's and must be on its file system; `made` removes them when the tests have ended, and those of
tests that were killed when the next ones begin.

Tests go to whichever process is free, one at a time, but those of one of `TOGETHER` go to the same:
what they have in common is not a home.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

MOST = 4
"""As many processes as are useful: machines take memory, and a slow test is not made quicker."""

TOGETHER = {
    "tests/integration/test_image_build.py": "builds",  # one takes every core there is
    "tests/integration/test_template_build.py": "builds",
    "tests/integration/test_firecracker.py": "firecracker",  # fetched once, and probed once
    "tests/conformance/test_other_providers.py": "firecracker",
}
"""Files of tests, and what goes to one process."""

_PREFIX = "tests-"
_FORGE = Path(".local/share/forge")
_SHARED_FOLDERS = ("images", "templates")
_VERDICT = "probe.json"


def many(cores: int) -> int:
    """How many processes a host's cores are worth; 0 is none besides pytest itself."""
    return min(cores, MOST) if cores > 1 else 0


def together(test: str) -> str:
    """What a test goes to one process with; with most that is the test alone.

    Args:
        test: its name in pytest, which begins with its file's path.
    """
    return TOGETHER.get(test.partition("::")[0], test)


@contextlib.contextmanager
def made(person: Path, count: int) -> Iterator[list[Path]]:
    """Homes of persons, `count` of them, until the block is left.

    Args:
        person: the home of the person who runs the tests.
        count: how many processes of tests there will be.
    """
    forge = person / _FORGE
    forge.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as undo:
        with _held(forge, fcntl.LOCK_EX):  # so that nobody takes ours for one that was left
            _sweep(forge)
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=forge))
            undo.callback(shutil.rmtree, folder)
            undo.enter_context(_held(folder, fcntl.LOCK_EX | fcntl.LOCK_NB))
        yield [_home(folder / str(number), person) for number in range(count)]


def _sweep(forge: Path) -> None:
    """Remove the homes of tests that were killed."""
    for left in forge.glob(f"{_PREFIX}*"):
        with contextlib.suppress(BlockingIOError), _held(left, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(left)


@contextlib.contextmanager
def _held(folder: Path, how: int) -> Iterator[None]:
    """Hold a lock that is nobody's once its holder is dead."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, how)
        yield
    finally:
        os.close(held)


def _home(home: Path, person: Path) -> Path:
    """A home with the person's own files in it, and a Forge home that shares what may be shared."""
    (home / _FORGE).mkdir(mode=0o700, parents=True)
    for each in person.iterdir():
        if each.name != _FORGE.parts[0]:  # git's settings, for one, are every process's
            (home / each.name).symlink_to(each)
    for name in _SHARED_FOLDERS:
        (person / _FORGE / name).mkdir(mode=0o700, exist_ok=True)
        (home / _FORGE / name).symlink_to(person / _FORGE / name)
    with contextlib.suppress(FileNotFoundError):
        shutil.copy(person / _FORGE / _VERDICT, home / _FORGE)
    return home
