"""A share of processor time: decided by pure arithmetic, kept on real processes."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.sandbox import cpu_share
from forge.sandbox.cpu_share import Allowance, Share
from forge.sandbox.processes import cpu_seconds

BURN = "while True: pass"
STEPS = st.lists(st.tuples(st.floats(0.001, 0.5), st.floats(0, 4)), max_size=200)


@given(st.integers(5, 800), STEPS)
def test_what_a_process_takes_never_runs_away(percent, steps):
    """Stopped whenever it is ahead, whatever it does it is at most one step ahead of its share."""
    now = used = ahead = 0.0
    allowance, runs = Allowance(percent, 0, 0), True
    for passed, speed in steps:
        now += passed
        taken = passed * speed if runs else 0.0
        used += taken
        ahead = max(ahead, taken)
        runs = allowance.may_run(now, used)
        assert used <= percent / 100 * now + ahead + 1e-6


def test_what_was_not_used_is_not_saved_up():
    """After an hour of nothing a machine may burst for a tenth of a second, not for an hour."""
    allowance = Allowance(50, 0, 0)
    assert allowance.may_run(3600, 0)
    assert allowance.may_run(3600, 0.05)
    assert not allowance.may_run(3600, 0.051)


def test_a_process_within_its_share_is_never_stopped():
    """One that does little runs on."""
    allowance = Allowance(50, 0, 0)
    assert all(allowance.may_run(tick / 50, tick / 250) for tick in range(1, 1000))


async def burning() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", BURN)


async def kept(share: Share, process: asyncio.subprocess.Process) -> tuple[float, float]:
    """Processor seconds that it took while kept, and seconds of the clock."""
    before, began = cpu_seconds(process.pid), time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(share.run())
        await asyncio.sleep(1.5)
        took = cpu_seconds(process.pid) - before, time.monotonic() - began
        keeping.cancel()
    return took


async def test_a_loop_without_end_gets_its_share_by_signals():
    """Without any right: at most its share and what it can take between two looks."""
    process = await burning()
    share = Share(None, 20, process.pid, lambda: cpu_seconds(process.pid), process.send_signal)
    assert share.kept_by == "signals"
    used, passed = await kept(share, process)
    assert 0 < used <= 0.2 * passed + 0.15
    state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    assert state != "T"  # whoever is no longer kept is not left stopped
    process.kill()
    await process.wait()
    share.close()


@pytest.mark.skipif(cpu_share.groups() is None, reason="no control group can be made here")
async def test_a_loop_without_end_gets_its_share_by_a_control_group():
    """The kernel holds it, and the group is gone with its process."""
    process = await burning()
    group = cpu_share.make_group(cpu_share.groups(), "test-of-share", 20)
    share = Share(group, 20, process.pid, lambda: cpu_seconds(process.pid), print)
    assert share.kept_by == "cgroup"
    used, passed = await kept(share, process)
    assert 0 < used <= 0.2 * passed + 0.15
    process.kill()
    await process.wait()
    share.close()
    assert group is not None
    assert not group.exists()


async def test_a_process_that_ended_ends_the_keeping():
    """Nothing waits for it and nothing is raised."""
    process = await burning()
    process.kill()
    await process.wait()
    share = Share(None, 20, process.pid, lambda: cpu_seconds(process.pid), process.send_signal)
    async with asyncio.timeout(60):
        await share.run()


async def test_no_share_is_no_keeping():
    """Zero leaves a process alone."""
    share = Share(None, 0, os.getpid(), time.process_time, signal.raise_signal)
    assert share.kept_by == "none"
    await share.run()
    share.close()


def test_a_group_of_version_2_gets_a_quota_and_a_period(tmp_path: Path):
    """The kernel's own words for both versions."""
    (tmp_path / "cpu.max").write_text("max 100000")
    cpu_share.set_share(tmp_path, 150)
    assert (tmp_path / "cpu.max").read_text() == "150000 100000"
    old = tmp_path / "old"
    old.mkdir()
    cpu_share.set_share(old, 5)
    assert (old / "cpu.cfs_quota_us").read_text() == "5000"
    assert (old / "cpu.cfs_period_us").read_text() == "100000"


def test_a_version_2_group_without_processor_time_is_of_no_use(tmp_path: Path):
    """Its controllers do not name it, or it has none at all."""
    assert cpu_share.delegated(tmp_path) is None
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    assert cpu_share.delegated(tmp_path) is None
