"""Programs end whole, in time, and say why they failed."""

import asyncio
import contextlib
import sys
from pathlib import Path

import pytest

from forge.errors import ImageBuildFailed, NoSpace, ProgramMissing
from forge.sandbox.images.process import Programs, find_program

WRITE_PIDS = """
import os, subprocess, sys
child = subprocess.Popen(["sleep", "600"])
with open(sys.argv[1] + ".part", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".part", sys.argv[1])
child.wait()
"""


def alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def pids_in(path: Path) -> list[int]:
    async with asyncio.timeout(60):
        while not path.exists():  # noqa: ASYNC110  (another process writes it)
            await asyncio.sleep(0.01)
    return [int(word) for word in path.read_text().split()]


async def all_gone(pids: list[int]) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60):
            while any(alive(pid) for pid in pids):  # noqa: ASYNC110  (the kernel ends them)
                await asyncio.sleep(0.01)
    return not any(alive(pid) for pid in pids)


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path / "log")


async def test_a_program_that_ends_well_is_no_news(programs: Programs, tmp_path: Path):
    """Its command line and what it printed are in the log."""
    await programs.run([sys.executable, "-c", "print('done')"], deadline_s=30)
    assert "print('done')" in (tmp_path / "log").read_text()
    assert (tmp_path / "log").read_text().endswith("done\n")


async def test_a_failure_tells_its_code_and_the_end_of_the_log(programs: Programs, tmp_path: Path):
    """The message names the log and holds its last lines."""
    script = "import sys; [print('line', n) for n in range(50)]; sys.exit('cause')"
    with pytest.raises(ImageBuildFailed, match="ended with code 1") as caught:
        await programs.run([sys.executable, "-c", script], deadline_s=30)
    assert str(tmp_path / "log") in caught.value.message
    assert caught.value.message.endswith("line 49\ncause")
    assert "line 3\n" not in caught.value.message


async def test_a_full_disk_is_told_as_such(programs: Programs):
    """Whichever program met it, the person hears of the disk."""
    script = "import sys; sys.exit('tar: x: No space left on device')"
    with pytest.raises(NoSpace, match="disk became full"):
        await programs.run([sys.executable, "-c", script], deadline_s=30)


async def test_a_program_past_its_deadline_ends_with_all_it_started(
    programs: Programs, tmp_path: Path
):
    """Neither it nor its child is there afterwards."""
    file = tmp_path / "pids"
    with pytest.raises(ImageBuildFailed, match="did not end within"):
        await programs.run([sys.executable, "-c", WRITE_PIDS, str(file)], deadline_s=5)
    assert await all_gone(await pids_in(file))


async def test_cancelling_ends_a_program_with_all_it_started(programs: Programs, tmp_path: Path):
    """By the time the cancelled call returns, its program is reaped."""
    file = tmp_path / "pids"
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(
            programs.run([sys.executable, "-c", WRITE_PIDS, str(file)], deadline_s=200)
        )
        pids = await pids_in(file)
        running.cancel()
    assert not Path(f"/proc/{pids[0]}").exists()
    assert await all_gone(pids)


async def test_what_one_program_writes_the_other_reads(programs: Programs, tmp_path: Path):
    """More than a pipe holds goes through, and both ends are closed here."""
    before = set(Path("/proc/self/fd").iterdir())
    await programs.pipe(
        [sys.executable, "-c", "print('x' * 300_000)"],
        ["dd", f"of={tmp_path / 'out'}", "status=none"],
        deadline_s=30,
    )
    assert (tmp_path / "out").stat().st_size == 300_001
    assert set(Path("/proc/self/fd").iterdir()) <= before


@pytest.mark.parametrize("failing", [0, 1])
async def test_either_end_of_a_pipe_may_fail(programs: Programs, failing: int):
    """A reader that ends early, or a writer that does, fails the pair instead of hanging it."""
    ends = ["import sys; sys.stdin.read()", "print('x' * 300_000)"]
    ends[1 - failing] = "import sys; sys.exit(3)"
    with pytest.raises(ImageBuildFailed, match="ended with code"):
        await programs.pipe(
            [sys.executable, "-c", ends[1]], [sys.executable, "-c", ends[0]], deadline_s=30
        )


def test_a_missing_program_is_named_with_its_package():
    """The person reads what to install."""
    with pytest.raises(ProgramMissing, match="no-such-tool is not installed"):
        find_program("no-such-tool")
    assert find_program("tar").endswith("/tar")
