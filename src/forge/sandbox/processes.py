"""What a process of this host uses, as the kernel counts it. Each call takes well under a
millisecond, but for `memory` of a large process, which takes about one.
"""

import time
from dataclasses import dataclass
from pathlib import Path

_FIELDS = ("Rss", "Pss", "Private_Clean", "Private_Dirty")


@dataclass(frozen=True, slots=True)
class Memory:
    """A process's memory in bytes; see `forge.sandbox.metrics.Metrics`."""

    rss: int
    pss: int
    private: int


def cpu_seconds(pid: int) -> float:
    """Processor time of all threads of a process, to the nanosecond.

    Raises:
        OSError: there is no such process.
    """
    # Linux numbers a process's own clock so; it is what clock_getcpuclockid(3) returns.
    return time.clock_gettime((~pid << 3) | 2)


def memory(pid: int) -> Memory:
    """The memory of a process.

    Raises:
        OSError: there is no such process, or it may not be looked at.
    """
    kib = dict.fromkeys(_FIELDS, 0)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in kib:
            kib[name] = int(value.split()[0])
    private = kib["Private_Clean"] + kib["Private_Dirty"]
    return Memory(kib["Rss"] << 10, kib["Pss"] << 10, private << 10)


def occupied(path: Path) -> int:
    """What a sparse file occupies of its disk, in bytes.

    Raises:
        OSError: there is no such file.
    """
    return path.stat().st_blocks * 512
