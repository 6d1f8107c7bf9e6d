"""Who owns what on this host: a folder per machine, with a record of its processes.

    <home>/machines/<id>/record.json    the owner and the VMM, each by pid *and* start time
    <home>/machines/<id>/lock           locked by the one process that has the machine
    <home>/machines/<id>/manifest.json  there while it is paused: see `machines.saved`

A pid alone may have been given to another process since; with the start time it cannot be mistaken.
The reaper removes folders whose owner is dead, and kills their VMM if it still lives. A paused
machine needs no owner and is kept.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

_HALF_MADE = ".new-"
_MAKER = re.compile(r".*-(?P<pid>[0-9]{1,9})-(?P<started>[0-9]{1,19})-(?P<boot>[0-9a-f]{8})")

PAUSED = "manifest.json"
"""What a folder holds while its machine is paused."""


@dataclass(frozen=True, slots=True)
class ProcessStamp:
    """A process that cannot be mistaken for another: pid, start time in ticks, host boot id."""

    pid: int
    started: int
    boot: str


def stamp(pid: int) -> ProcessStamp | None:
    """The stamp of a living process; None if there is none (a zombie counts as dead)."""
    try:
        # The command name may hold spaces and parentheses; the fields begin after the last one.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in ("Z", "X"):
        return None
    return ProcessStamp(pid, int(fields[19]), boot_id())


def boot_id() -> str:
    """The id of this boot of the host."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def alive(process: ProcessStamp) -> bool:
    """Whether this very process still lives."""
    return stamp(process.pid) == process


def write_record(folder: Path, vmm_pid: int | None) -> None:
    """Note this process as a machine's owner, and its VMM once there is one."""
    vmm = stamp(vmm_pid) if vmm_pid else None
    record = {"owner": asdict(_self()), "vmm": asdict(vmm) if vmm else None}
    temporary = folder / "record.tmp"
    temporary.write_text(json.dumps(record))
    temporary.replace(folder / "record.json")


def _self() -> ProcessStamp:
    own = stamp(os.getpid())
    assert own is not None
    return own


def new_folder(machines: Path, name: str) -> Path:
    """Make a machine's folder and note this process as its owner.

    Raises:
        OSError: the host cannot make it.
    """
    with _lock(machines):
        folder = machines / name
        folder.mkdir(mode=0o700)
        try:
            write_record(folder, None)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return folder


def take(folder: Path) -> int | None:
    """Be the one process that has a machine; returns a descriptor whose closing ends that, or None
    where another has it.

    Raises:
        OSError: there is no such folder, or it cannot be locked.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(folder / "lock", flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError:
        os.close(fd)
        raise
    return fd


def reap(machines: Path) -> int:
    """Remove the machines of dead owners that are not paused; returns how many."""
    removed = 0
    with _lock(machines):
        for folder in machines.iterdir():
            if folder.is_symlink() or not folder.is_dir():
                continue
            if _abandoned(folder) and not (folder / PAUSED).is_file():
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed


def half_made(parent: Path, label: str) -> Path:
    """Where this process makes something in `parent` until it is whole, and is then renamed."""
    own = _self()
    return parent / f"{_HALF_MADE}{label}-{own.pid}-{own.started}-{own.boot[:8]}"


def remove_half_made(parent: Path) -> int:
    """Remove what processes that no longer live left half-made; returns how much.

    Folders of such a name that tell of no process are nobody's, and go too.
    """
    removed = 0
    for folder in parent.glob(f"{_HALF_MADE}*"):
        if folder.is_dir() and not folder.is_symlink() and not _being_made(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


def _being_made(name: str) -> bool:
    maker = _MAKER.fullmatch(name)
    if maker is None:
        return False
    now = stamp(int(maker["pid"]))
    return (
        now is not None
        and now.started == int(maker["started"])
        and now.boot.startswith(maker["boot"])
    )


@contextlib.contextmanager
def _lock(machines: Path) -> Iterator[None]:
    """Keep the reaper from a folder that is not yet recorded. Held for milliseconds."""
    machines.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (machines / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _abandoned(folder: Path) -> bool:
    try:
        record = json.loads((folder / "record.json").read_text())
        owner = ProcessStamp(**record["owner"])
        vmm = ProcessStamp(**record["vmm"]) if record["vmm"] else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return True  # its owner died before it could write a whole record
    if alive(owner):
        return False
    if vmm and alive(vmm):
        with contextlib.suppress(ProcessLookupError):
            os.kill(vmm.pid, signal.SIGKILL)
    return True
