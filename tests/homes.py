"""Homes for tests that run in several processes at once: each process believes it is alone.

A test may say that no machine, volume or snapshot is left in Forge's home, and it may kill a Forge
and let the next one clean up. Two processes of tests in one home would see, and reap, what belongs
to the other. So each gets a home of its own, in which only what may be shared is the person's:
images and templates, which are made under a lock of the product's, and the verdict on how machines
run. The homes lie inside the person's Forge home, because a machine's files are links to the
image's and must be on its file system; `made` removes them when the tests have ended.

Tests go to whichever process is free, one at a time, but those of one of `TOGETHER` go to the same:
what they have in common is not a home.
"""

import contextlib
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
    folder = Path(tempfile.mkdtemp(prefix="try-", dir=forge))
    try:
        yield [_home(folder / str(number), person) for number in range(count)]
    finally:
        shutil.rmtree(folder)


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
