"""Whether this host has room for one more machine: refused here, in words, rather than by whatever
the kernel would end first when memory runs out.

    <home>/machines/<id>/promise.json    what the machine was promised

Machines share their template's memory and their disks are sparse, so together they may be promised
more than there is: `OVERCOMMIT` times. A single new machine must fit whole into what is free now.
Should the promises fall due at once all the same, the kernel ends a machine before Forge
(`OOM_SCORE`), and a guest whose disk finds no space is told so.
"""

import fcntl
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from forge.errors import NoSpace
from forge.sandbox.processes import occupied

OVERCOMMIT = 4
"""How many times the host's memory and disk all machines together may be promised."""

OOM_SCORE = 800
"""Of each VMM, in the kernel's choice of whom to end: before all that is not marked so."""

_VMM_MIB = 96  # QEMU's own memory: code, translations and buffers
_RESERVE_MIB = 256  # for everything else on the host, at the least
_RESERVE_SHARE = 0.05
_START_MIB = 64  # a machine's disk starts at about 1 MiB and grows


@dataclass(frozen=True, slots=True)
class Promise:
    """What a machine may come to use, in MiB."""

    memory_mib: int
    disk_mib: int


@dataclass(frozen=True, slots=True)
class Host:
    """What this host has, in MiB."""

    memory: int
    memory_available: int
    disk_free: int


def refusal(wanted: Promise, others: Promise, used_mib: int, host: Host) -> str | None:
    """Why a machine cannot be promised what is wanted, or None. Pure.

    Args:
        wanted: what the new machine is to be promised.
        others: what all others were, together.
        used_mib: what the others' disks occupy by now.
        host: what there is.
    """
    reserve = max(_RESERVE_MIB, int(host.memory * _RESERVE_SHARE))
    needed = wanted.memory_mib + _VMM_MIB + reserve
    if host.memory_available < needed:
        return (
            f"a machine of {wanted.memory_mib} MiB needs {needed} MiB of free memory with what is "
            f"kept for the host; {host.memory_available} MiB are free"
        )
    if others.memory_mib + wanted.memory_mib > OVERCOMMIT * host.memory:
        return (
            f"the machines there are were promised {others.memory_mib} MiB of memory; with "
            f"{wanted.memory_mib} more it is over {OVERCOMMIT} times the host's {host.memory}"
        )
    if host.disk_free < _START_MIB:
        return f"{host.disk_free} MiB of disk are free; {_START_MIB} are needed to start"
    if others.disk_mib + wanted.disk_mib > OVERCOMMIT * (host.disk_free + used_mib):
        return (
            f"the machines there are were promised {others.disk_mib} MiB of disk; with "
            f"{wanted.disk_mib} more it is over {OVERCOMMIT} times what is free"
        )
    return None


def promise(folder: Path, wanted: Promise, host: Host) -> None:
    """Promise the machine of this folder what is wanted, if there is room beside all others.

    Raises:
        NoSpace: there is none; the message says of what.
        OSError: the host cannot write it.
    """
    with (folder.parent / ".room").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held for a millisecond
        memory_mib = disk_mib = used = 0
        for other in folder.parent.glob("*/promise.json"):
            try:
                theirs = Promise(**json.loads(other.read_text()))
                used += occupied(other.with_name("data.img"))
            except (OSError, ValueError, TypeError):
                continue  # it is just being removed or made
            memory_mib += theirs.memory_mib
            disk_mib += theirs.disk_mib
        why = refusal(wanted, Promise(memory_mib, disk_mib), used >> 20, host)
        if why is not None:
            raise NoSpace(
                f"there is no room for another machine: {why}",
                hint="Stop machines, ask for smaller ones (FORGE_MEMORY_MIB, FORGE_DISK_MIB), "
                "or free some space.",
            )
        (folder / "promise.json").write_text(json.dumps(asdict(wanted)))


def host(disk_free_mib: int) -> Host:
    """What this host has, or the container that Forge runs in."""
    known = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        known[name] = int(value.split()[0]) >> 10
    total, available = known["MemTotal"], known["MemAvailable"]
    for limit, used in _containers():
        total, available = min(total, limit), min(available, max(0, limit - used))
    return Host(total, available, disk_free_mib)


def _containers() -> list[tuple[int, int]]:
    """Limit and use, in MiB, of the memory control groups that this process is in."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            found.append(_container(Path(f"/sys/fs/cgroup/memory{path}"), names))
        elif controllers == "":
            names = ("memory.max", "memory.current", "inactive_file")
            found.append(_container(Path(f"/sys/fs/cgroup{path}"), names))
    return [each for each in found if each is not None]


def _container(folder: Path, names: tuple[str, str, str]) -> tuple[int, int] | None:
    limit, usage, cache = names
    try:
        most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return most >> 20, (used - int(stat.get(cache, 0))) >> 20
    except (OSError, ValueError):
        return None  # no limit is set ("max"), or the files are another version's
