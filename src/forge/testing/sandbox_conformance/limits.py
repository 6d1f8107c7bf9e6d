"""What a machine may use, and what is said of its use: limits hold, figures are true."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

from forge.errors import InputRefused, QuotaExceeded, SandboxStopped
from forge.sandbox.base import Limits, Sandbox, SandboxProvider, SandboxSpec
from forge.sandbox.commands import Command, ExecResult
from forge.sandbox.metrics import Metrics
from forge.testing.sandbox_conformance.watching import Seen, cell, pieces, refused, run, shell

_MIB = 1 << 20
_BURN = "while :; do :; done"


async def processor_time_is_held(provider: SandboxProvider) -> None:
    """A loop without end gets its share of the host's processor and no more."""
    sandbox = await provider.create(SandboxSpec(limits=Limits(cpu_percent=25)))
    before = await sandbox.metrics(claims=False)
    result = await _burn(sandbox, 3)
    after = await sandbox.metrics(claims=False)
    assert result.timed_out
    passed = after.uptime_s - before.uptime_s
    # A tenth of a second is what may be taken at once after doing nothing.
    assert 0 < after.cpu_seconds - before.cpu_seconds <= 0.25 * passed + 0.2


async def disks_keep_their_pace(provider: SandboxProvider) -> None:
    """Twenty mebibytes at five a second take no less than three seconds."""
    sandbox = await provider.create(SandboxSpec(limits=Limits(disk_mib_s=5)))
    script = "dd if=/dev/zero of=big bs=1M count=20 oflag=direct 2>/dev/null"
    result, _ = await run(sandbox, "sh", "-c", script)
    assert result.ok
    assert result.duration_ms >= 3000


async def output_beyond_its_limit_is_dropped_with_a_mark(provider: SandboxProvider) -> None:
    """The call goes on to its own end; what was dropped is counted, for code too."""
    sandbox = await provider.create(SandboxSpec(limits=Limits(max_output_bytes=1000)))
    result, seen = await run(sandbox, "sh", "-c", "seq 10000; exit 3")
    assert (result.exit_code, len(seen.stdout)) == (3, 1000)
    assert result.dropped_bytes == 48894 - 1000
    assert b"were dropped" in seen.stderr
    done, seen = await cell(sandbox, "print('x' * 2000)")
    assert (done.status, len(seen.stdout), done.dropped_bytes) == ("ok", 1000, 1001)


async def a_disk_holds_what_it_was_given(provider: SandboxProvider) -> None:
    """Filling it is an error inside and a quota outside."""
    sandbox = await provider.create(SandboxSpec())
    await run(sandbox, "sh", "-c", "dd if=/dev/zero of=big bs=1M")
    await refused(QuotaExceeded, sandbox.files.write("more", pieces(b"x" * 4 * _MIB)))
    used = await sandbox.metrics(claims=False)
    assert used.disk_used_bytes <= used.disk_limit_bytes


async def limits_out_of_range_are_refused(provider: SandboxProvider) -> None:
    """By name, before anything is made."""
    for limits in (
        Limits(memory_mib=1),
        Limits(disk_mib=0),
        Limits(processes=1),
        Limits(cpus=0),
        Limits(cpus=10_000),
        Limits(cpu_percent=-1),
        Limits(cpu_percent=101),
        Limits(disk_mib_s=-5),
        Limits(disk_iops=1),
        Limits(max_output_bytes=-1),
    ):
        error = await refused(InputRefused, provider.create(SandboxSpec(limits=limits)))
        assert " is from " in error.message


async def two_processors_are_two(provider: SandboxProvider) -> None:
    """Where the host has as many."""
    sandbox = await provider.create(SandboxSpec(limits=Limits(cpus=2)))
    assert await shell(sandbox, "nproc") == b"2\n"


async def figures_are_true(provider: SandboxProvider) -> None:
    """What a machine does shows in what the host measures: processor, memory, disk, traffic."""
    sandbox = await provider.create(SandboxSpec())
    await asyncio.sleep(1)  # an idle second, whose end is read
    await sandbox.metrics(claims=False)
    await asyncio.sleep(1)
    idle = await sandbox.metrics()
    assert idle.cpu_percent < 30
    assert idle.claims is not None
    assert 0 < idle.claims.memory_available_bytes < idle.memory_limit_bytes
    burnt = await _burnt(sandbox, idle.cpu_seconds + 1)
    await cell(sandbox, "x = b'x' * (100 << 20)")
    eaten = await sandbox.metrics()
    assert eaten.memory_private_bytes - burnt.memory_private_bytes >= 100 * _MIB
    await shell(sandbox, "head -c 50M /dev/urandom > big; sync")
    written = await sandbox.metrics()
    assert written.disk_used_bytes - eaten.disk_used_bytes >= 50 * _MIB
    await sandbox.files.write("up", pieces(b"x" * _MIB))
    last = await sandbox.metrics(claims=False)
    assert last.sent_bytes - written.sent_bytes >= _MIB
    assert last.claims is None
    assert last.uptime_s > written.uptime_s > idle.uptime_s


async def a_machine_that_stopped_has_no_figures(provider: SandboxProvider) -> None:
    """Neither the guest's nor the host's."""
    sandbox = await provider.create(SandboxSpec())
    await sandbox.stop()
    await refused(SandboxStopped, sandbox.metrics())
    await refused(SandboxStopped, sandbox.metrics(claims=False))


async def _burnt(sandbox: Sandbox, cpu_seconds: float) -> Metrics:
    """Its figures once a loop has used so much in all, however little a busy host leaves it at a
    time. Each share is what was used, by the time that passed.
    """
    async with asyncio.timeout(120):
        pid = await sandbox.commands.start(Command(("sh", "-c", _BURN), 120))
        now = await sandbox.metrics()
        while now.cpu_seconds < cpu_seconds:
            await asyncio.sleep(0.5)
            before, now = now, await sandbox.metrics()
            share = (now.cpu_seconds - before.cpu_seconds) / (now.uptime_s - before.uptime_s)
            assert share > 0
            assert abs(now.cpu_percent - 100 * share) < 0.01
        await sandbox.commands.signal(pid, signal.SIGKILL)
    return now


async def _burn(sandbox: Sandbox, seconds: float) -> ExecResult:
    return await sandbox.commands.run(Command(("sh", "-c", _BURN), seconds), Seen())


CHECKS: tuple[Callable[[SandboxProvider], Awaitable[None]], ...] = (
    processor_time_is_held,
    disks_keep_their_pace,
    output_beyond_its_limit_is_dropped_with_a_mark,
    a_disk_holds_what_it_was_given,
    limits_out_of_range_are_refused,
    two_processors_are_two,
    figures_are_true,
    a_machine_that_stopped_has_no_figures,
)
