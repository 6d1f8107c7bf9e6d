"""Who owns a run: a process of this boot of this host, told from later ones with the same number.

An owner is `boot:pid:start`: the kernel's boot id, the process id, and when that process started
in clock ticks since boot. Recovery closes the runs of owners that are gone and leaves those of the
living alone. All who share one FORGE_HOME must see each other's processes: one host, one process
namespace.
"""

import os
from pathlib import Path

from forge.errors import HostUnfit

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD = 22
"""Where proc(5) has `starttime` in /proc/PID/stat, counted from 1."""


def this_process() -> str:
    """The owner that this process is.

    Raises:
        HostUnfit: this host has no /proc to tell processes by.
    """
    pid = os.getpid()
    start = _started(pid)
    if start is None:
        raise HostUnfit("Forge needs /proc to tell its own processes apart.")
    return f"{_boot()}:{pid}:{start}"


def is_alive(owner: str) -> bool:
    """Whether the owner is still running. What is not an owner's name is not alive."""
    boot, _, rest = owner.partition(":")
    pid, _, start = rest.partition(":")
    return pid.isdecimal() and pid.isascii() and boot == _boot() and _started(int(pid)) == start


def same_boot(owner: str) -> bool:
    """Whether the owner is, or was, a process of this boot of this host."""
    return owner.partition(":")[0] == _boot()


def start_field(stat: str) -> str:
    """`starttime` of a /proc/PID/stat line; the program's name in it may hold anything."""
    return stat.rpartition(")")[2].split()[_START_FIELD - 3]


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    try:
        return start_field(Path(f"/proc/{pid}/stat").read_text(errors="replace"))
    except OSError:
        return None
