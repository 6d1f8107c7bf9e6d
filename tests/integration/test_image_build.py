"""Building images for real, as little of it as proves the point.

What an unchanged build costs and what a whole image can do is measured and tested elsewhere; here
it is what a build leaves behind when it fails, is cancelled or is killed. Parts are borrowed
from the image of the default home where it was built.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from forge.errors import ImageBuildFailed
from forge.sandbox.images.build import Progress, build
from forge.sandbox.images.key import guest_sources, plan_image
from forge.sandbox.images.recipe import read_recipe
from forge.sandbox.images.store import ImageStore

HERE = Path(__file__).parents[2]
BASE = HERE / "images" / "base"
GUEST = HERE / "guest" / "forge_guest"
DEFAULT = ImageStore(Path.home() / ".local" / "share" / "forge")
TINY = """
name = "tiny"
summary = "Debian's essential packages."
[debian]
suite = "bookworm"
packages = [PACKAGES]
"""
BUILDER = """
import asyncio, sys
from pathlib import Path
from forge.sandbox.images.build import build
from forge.sandbox.images.store import ImageStore

home, recipe, guest = map(Path, sys.argv[1:])
asyncio.run(build(ImageStore(home), "tiny", recipe, guest, lambda step: print(step, flush=True)))
"""


def _borrowed() -> list[Path]:
    plan = plan_image(read_recipe("base", BASE), guest_sources(GUEST))
    return [
        path
        for kind in ("kernel", "interpreter", "agent", "root")
        for path in DEFAULT.parts.glob(f"{kind}-{getattr(plan, kind)}.*")
    ]


pytestmark = pytest.mark.skipif(
    shutil.which("mmdebstrap") is None or len(_borrowed()) != 9,
    reason="needs mmdebstrap and the base image",
)


class Bench:
    """A home of its own, with a tiny recipe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ImageStore(folder / "home")
        self.store.parts.mkdir(parents=True)
        for path in _borrowed():
            (self.store.parts / path.name).symlink_to(path)
        self.recipe = folder / "recipe"
        self.recipe.mkdir()
        self.write_recipe("")

    def write_recipe(self, packages: str) -> None:
        (self.recipe / "recipe.toml").write_text(TINY.replace("PACKAGES", packages))

    async def build(self, tell: Callable[[Progress], None], guest: Path = GUEST):
        return await build(self.store, "tiny", self.recipe, guest, tell, self.folder)

    def is_clean(self) -> bool:
        """Nothing of a root, no manifest, no work, no trees."""
        rests = [
            *self.store.folder.glob("*.json"),
            *(path for path in self.store.parts.iterdir() if not path.is_symlink()),
            *self.folder.glob("forge-image-*"),
        ]
        found = self.store.find("tiny", self.recipe, GUEST)
        return not rests and not self.store.work.exists() and found is None

    async def nothing_runs(self) -> bool:
        """No process has this home on its command line."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                while self._running():  # noqa: ASYNC110  (other processes end themselves)
                    await asyncio.sleep(0.05)
        return not self._running()

    def _running(self) -> bool:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                if os.fsencode(self.folder) in path.read_bytes() and path.parts[2] != str(
                    os.getpid()
                ):
                    return True
        return False


async def _tree_in(folder: Path) -> None:
    while not any(folder.glob("forge-image-*/mmdebstrap.*/etc")):  # noqa: ASYNC110  (not ours)
        await asyncio.sleep(0.05)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_recipe_that_cannot_be_built_leaves_only_its_log(bench: Bench):
    """Debian does not have the package: the message names it, and only the log is kept."""
    bench.write_recipe('"no-such-package-anywhere"')
    with pytest.raises(ImageBuildFailed, match="no-such-package-anywhere") as caught:
        await bench.build(lambda _: None)
    assert bench.is_clean()
    (log,) = bench.store.logs.iterdir()
    assert str(log) in caught.value.message
    assert await bench.nothing_runs()


async def test_a_cancelled_build_leaves_nothing(bench: Bench):
    """A tree is growing when the build is cancelled; it is gone, and so is mmdebstrap."""
    async with asyncio.TaskGroup() as tasks:
        installing = asyncio.Event()
        task = tasks.create_task(
            bench.build(lambda step: installing.set() if "installing" in step.step else None)
        )
        async with asyncio.timeout(60):
            await installing.wait()
            await _tree_in(bench.folder)
        task.cancel()
    assert bench.is_clean()
    assert await bench.nothing_runs()


async def test_a_killed_build_is_never_taken_for_an_image_and_the_next_one_succeeds(bench: Bench):
    """`kill -9` in the middle: no image; the next build removes the rest and makes it whole."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", BUILDER, str(bench.store.folder.parent)),
        *(str(bench.recipe), str(GUEST)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    async with asyncio.timeout(60):
        while b"installing" not in await child.stdout.readline():
            assert child.returncode is None
        await _tree_in(bench.store.work if os.geteuid() == 0 else Path("/var/tmp"))
    child.send_signal(signal.SIGKILL)
    await child.wait()
    assert bench.store.find("tiny", bench.recipe, GUEST) is None

    steps: list[Progress] = []
    image = await bench.build(steps.append)
    assert {step.part for step in steps} == {"root"}
    bench.store.verify(image)
    assert not bench.store.work.exists()
    assert list(bench.store.logs.iterdir()) == []
    assert await bench.nothing_runs()


async def test_a_changed_guest_remakes_the_agent_alone(bench: Bench):
    """Then, with nothing changed, nothing is made."""
    steps: list[Progress] = []
    image = await build(bench.store, "base", BASE, GUEST, steps.append)
    assert steps == []
    edited = bench.folder / "guest"
    shutil.copytree(GUEST, edited, ignore=shutil.ignore_patterns("__pycache__"))
    with (edited / "init.py").open("a") as file:
        file.write("\n# edited\n")
    other = await build(bench.store, "base", BASE, edited, steps.append)
    assert {step.part for step in steps} == {"agent"}
    assert (other.root, other.initrd) == (image.root, image.initrd)
    assert other.agent != image.agent

    steps.clear()
    assert await build(bench.store, "base", BASE, edited, steps.append) == other
    assert steps == []
