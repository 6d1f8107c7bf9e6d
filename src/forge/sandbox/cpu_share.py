"""How much processor time a VMM may take: held by the host, whatever its guest does.

Where a control group can be written the kernel keeps the share: version 2 as root or where one was
delegated to Forge alone, version 1 as root. Elsewhere Forge keeps it itself, which takes no right:
it looks fifty times a second at the processor time used and stops the VMM (SIGSTOP) while that is
ahead of its share. What was taken too much is paid back, so the average holds; a machine that does
nothing is never stopped. `Share` is the one way to both; whoever makes it closes it once the VMM is
gone.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

_PERIOD_US = 100_000
_TICK_S = 0.02
_BURST_S = 0.1  # what a machine that was idle may take at once, in seconds of its share
_OURS, _ITSELF = "forge", "forge-itself"


class Allowance:
    """Decides when a process has used more than its share. Pure.

    Args:
        percent: the share, in percent of one processor.
        now: a clock, in seconds.
        used: the processor time used by then, in seconds.
    """

    def __init__(self, percent: int, now: float, used: float) -> None:
        self._share = percent / 100
        self._now, self._used, self._left = now, used, 0.0

    def may_run(self, now: float, used: float) -> bool:
        """Whether it may run on from here."""
        self._left += (now - self._now) * self._share - (used - self._used)
        self._left = min(self._left, _BURST_S * self._share)
        self._now, self._used = now, used
        return self._left >= 0


class Share:
    """Keeps one process to its share of processor time.

    Args:
        group: a control group of its own (`make_group`); None: by signals.
        percent: of one processor; 0 leaves it alone.
        pid: the process.
        used: its processor time so far, in seconds; raises OSError once it is gone.
        send: sends it a signal.
    """

    def __init__(
        self,
        group: Path | None,
        percent: int,
        pid: int,
        used: Callable[[], float],
        send: Callable[[signal.Signals], None],
    ) -> None:
        self._percent = percent
        self._used = used
        self._send = send
        self._pid = pid
        self._group = group

    @property
    def kept_by(self) -> str:
        """Who keeps it: `cgroup`, `signals`, or nobody (`none`)."""
        if not self._percent:
            return "none"
        return "signals" if self._group is None else "cgroup"

    async def run(self) -> None:
        """Keep it, from now until cancelled or until the process is gone."""
        with contextlib.suppress(OSError):  # the process is gone
            if self._group is not None:
                (self._group / "cgroup.procs").write_text(str(self._pid))
            elif self._percent:
                await self._by_signals()

    async def _by_signals(self) -> None:
        allowance = Allowance(self._percent, time.monotonic(), self._used())
        running = True
        try:
            while True:
                await asyncio.sleep(_TICK_S)
                may = allowance.may_run(time.monotonic(), self._used())
                if may != running:
                    self._send(signal.SIGCONT if may else signal.SIGSTOP)
                    running = may
        finally:
            if not running:
                self._send(signal.SIGCONT)

    def close(self) -> None:
        """Remove the control group; its process must be gone."""
        if self._group is not None:
            with contextlib.suppress(OSError):
                self._group.rmdir()


def groups() -> Path | None:
    """The folder in which control groups can be made that hold processor time, or None."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options = line.split()[:4]
        if kind == "cgroup" and "cpu" in options.split(",") and os.geteuid() == 0:
            return _made(Path(place) / _OURS)
        if kind == "cgroup2":
            found = _version_2(Path(place))
            if found is not None:
                return found
    return None


def _version_2(top: Path) -> Path | None:
    if os.geteuid() == 0:
        return delegated(top)
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            own = top / line[4:].lstrip("/")
            if own.name == _ITSELF:
                return delegated(own.parent)
            return delegated(own) if _alone(own) else None
    return None


def delegated(own: Path) -> Path | None:
    """A folder for groups below a version 2 group of ours, or None where it gives no processor.

    A group that gives to those below it may hold no process itself (but the top): we move down.
    """
    try:
        if "cpu" not in (own / "cgroup.controllers").read_text().split():
            return None
        ours = _made(own / _OURS)
        if ours is None:
            return None
        if (own / "cgroup.type").exists():  # the top has no type, and may hold processes
            itself = own / _ITSELF
            itself.mkdir(exist_ok=True)
            (itself / "cgroup.procs").write_text(str(os.getpid()))
        for folder in (own, ours):
            (folder / "cgroup.subtree_control").write_text("+cpu")
    except OSError:
        return None
    return ours


def _alone(own: Path) -> bool:
    try:
        return (own / "cgroup.procs").read_text().split() == [str(os.getpid())]
    except OSError:
        return False


def _made(folder: Path) -> Path | None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def make_group(parent: Path | None, name: str, percent: int) -> Path | None:
    """A control group of this name that holds to a share, or None where none can be made."""
    if parent is None:
        return None
    for left in parent.iterdir():  # by a Forge that was killed; one in use cannot be removed
        if left.is_dir() and not (left / "cgroup.procs").read_text():
            with contextlib.suppress(OSError):
                left.rmdir()
    group = _made(parent / name)
    try:
        if group is not None:
            set_share(group, percent)
    except OSError:
        return None
    return group


def set_share(group: Path, percent: int) -> None:
    """Set a group's share of processor time.

    Raises:
        OSError: the kernel refused.
    """
    quota = percent * _PERIOD_US // 100
    if (group / "cpu.max").exists():
        (group / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota))
