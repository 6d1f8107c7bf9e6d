"""Control groups (v2): what a person's processes may use, and the means to end all of them.

    /work          memory and process limits, for everything a person runs
    /work/<name>   one command or code context; `cgroup.kill` ends it with all its descendants

The agent stays in the root group, so whatever a person runs, it runs out of memory or processes
before the agent does.
"""

import itertools
from pathlib import Path

from forge_guest.linux import mount

_TOP = Path("/sys/fs/cgroup")
_WORK = _TOP / "work"
_numbers = itertools.count(1)

RESERVE = 96 * 1024 * 1024
"""Bytes kept for the agent, the kernel and the files that programs run from. Without the last, a
machine short of memory would read its own programs from disk for ever instead of ending one."""


def set_up() -> None:
    """Mount the hierarchy and make the group for a person's processes."""
    mount("cgroup2", str(_TOP), "cgroup2")
    (_TOP / "cgroup.subtree_control").write_text("+memory +pids")
    _WORK.mkdir()


def limit(processes: int) -> None:
    """Limit a person's processes together: how many, and to the memory that is free now."""
    (_WORK / "pids.max").write_text(str(processes))
    (_WORK / "memory.max").write_text(str(max(_available() - RESERVE, RESERVE)))


def _available() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise LookupError("MemAvailable")


class Group:
    """One group; `close` ends what is in it and removes it."""

    def __init__(self) -> None:
        self.released = False
        self.path = _WORK / str(next(_numbers))
        self.path.mkdir()

    def add(self, pid: int) -> None:
        """Move a process in; 0 is the caller."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def kill(self) -> None:
        """Kill everything in it; where it was removed, nothing is."""
        if not self.released:
            (self.path / "cgroup.kill").write_text("1")

    def release(self) -> bool:
        """Remove it if nothing is left in it; whether it was removed."""
        try:
            self.path.rmdir()
        except OSError:
            return False
        self.released = True
        return True
