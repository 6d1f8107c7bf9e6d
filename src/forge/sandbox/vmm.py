"""One process that runs a machine (a VMM), of whatever make: confined, watched, never left behind.

It dies with Forge: the kernel kills it when the thread that started it ends (`PR_SET_PDEATHSIG`,
set by `setpriv`), and what a crash of the kernel's promise would leave is found by the reaper. It
gets no new privileges, its own unprivileged user id where Forge runs as root, a network namespace
with nothing in it, and limits on files, memory and core dumps. Its seccomp filter is the VMM's own.

Whoever starts a `Vmm` closes it.
"""

import asyncio
import contextlib
import ctypes
import functools
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from forge.errors import NoSpace, ProgramMissing
from forge.sandbox.room import OOM_SCORE

_UID_BASE = 1_879_100_000  # above every range that Debian and systemd hand out
_UIDS = 60_000
GID = _UID_BASE
"""The group of every VMM where Forge runs as root: it may open a template's memory."""

_ADDRESS_SPACE_MIB = 2048  # the VMM's code, its threads' stacks, and QEMU's translation buffer
_PR_SET_THP_DISABLE = 41  # linux/prctl.h
_THREADS = 128  # QEMU has one per processor, and up to 64 that wait for disks
_SETTLE_S = 1.0  # between a closed socket and the process's end lie milliseconds
_KILL_S = 5.0  # SIGKILL takes milliseconds; this is for a host that is out of memory


@dataclass(frozen=True, slots=True)
class Start:
    """What to start: the command line, the descriptors it may keep, the folder of its log, the
    machine's memory, and the largest file it may write.

    Args:
        name: what the program is called in a message.
        cwd: where it stands. A VMM that is given paths is given them relative to this, so it needs
            no right to walk into the folders above.
    """

    argv: Sequence[str]
    fds: Sequence[int]
    folder: Path
    memory_mib: int
    file_mib: int
    name: str = "QEMU"
    cwd: Path = Path("/")

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "vmm.log"


def find_program(name: str) -> str:
    """The path of a program.

    Raises:
        ProgramMissing: it is not installed.
    """
    found = shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise ProgramMissing(f"{name} is not installed, and Forge needs it to run machines")
    return found


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose rights a VMM has where Forge runs as root."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def identity(accelerator: str) -> Identity | None:
    """An unprivileged identity for one VMM, or None where Forge has no rights to give up.

    KVM's device may belong to a group, which the VMM is then given. Where only root may open it,
    the VMM stays root without any capability: the device's rights are the operator's to change.
    """
    if os.geteuid() != 0:
        return None
    uid = _UID_BASE + 1 + secrets.randbelow(_UIDS)
    if accelerator != "kvm":
        return Identity(uid, GID)
    device = Path("/dev/kvm").stat()
    if device.st_mode & 0o006 == 0o006:
        return Identity(uid, GID)
    if device.st_mode & 0o060 == 0o060 and device.st_gid != 0:
        return Identity(uid, GID, (device.st_gid,))
    return Identity(0, 0)


class Vmm:
    """A running VMM. `ended` is set once it is gone."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, log: Path) -> None:
        self.pid = process.pid
        self.ended = asyncio.Event()
        self._process = process
        self._name = name
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._on_exit)

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process.wait()
        self.ended.set()

    def why(self) -> str:
        """Why it ended: its status and the last lines it printed."""
        code = self._process.returncode
        how = "is still running" if code is None else f"ended with status {code}"
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        try:
            said = self._log.read_bytes()[-2000:].decode(errors="replace").strip()
        except FileNotFoundError:
            said = ""
        return f"{self._name} {how}" + (f": {said}" if said else "")

    async def settle(self) -> None:
        """Wait a moment for a VMM that is ending, so that `why` can say how it ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                await self.ended.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; once it has ended, nothing."""
        if not self.ended.is_set():
            signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        """End it now; it is gone when `ended` is set."""
        self.send(signal.SIGKILL)

    async def close(self) -> None:
        """End it and wait until it is gone."""
        self.kill()
        async with asyncio.timeout(_KILL_S):
            await self.ended.wait()


@contextlib.contextmanager
def _small_pages() -> Iterator[None]:
    """Let what is started in this block have no huge pages.

    QEMU asks for them for code that it translates and for small memories, and then holds 2 MiB
    where it uses a little: 3 MiB of a machine at rest, which costs no time to do without. A process
    inherits this over fork and exec (prctl(2)), and Forge itself is as before after the block.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_THP_DISABLE, 0, 0, 0, 0)


def start(what: Start, who: Identity | None) -> Vmm:
    """Start a VMM. Called on the event loop's own thread, whose end is the VMM's end.

    Raises:
        ProgramMissing: `setpriv`, `prlimit` or `unshare` is not installed.
        NoSpace: the host cannot start a process or open its log.
    """
    argv = [*_confinement(what, who), *what.argv]
    try:
        with what.log.open("wb") as output, _small_pages():
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=tuple(what.fds),
                cwd=what.cwd,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                start_new_session=True,
            )
        # When the host's memory runs out, a machine is ended before Forge and all else.
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(str(OOM_SCORE))
    except OSError as error:
        raise NoSpace(f"a machine could not be started: {error.strerror}") from error
    return Vmm(process, what.name, what.log)


@functools.cache
def _namespaces() -> tuple[str, ...]:
    """What starts a program in a network of its own, with nothing in it; () where that is not had.

    A VMM that a guest has taken over could otherwise reach whatever this host can. Without root it
    takes a user namespace, which some systems forbid: that is tried once per process.
    """
    person = () if os.geteuid() == 0 else ("--user", "--map-current-user")
    unshare = (find_program("unshare"), *person, "--net", "--ipc")
    tried = subprocess.run([*unshare, "true"], capture_output=True, timeout=_KILL_S, check=False)
    return (*unshare, "--") if tried.returncode == 0 else ()


def _confinement(what: Start, who: Identity | None) -> list[str]:
    limits = {
        "core": 0,
        "nofile": 256,
        "fsize": (what.file_mib + 16) << 20,
        "as": (what.memory_mib + _ADDRESS_SPACE_MIB) << 20,
    }
    rights = []
    if who is not None:
        if who.uid != 0:  # counted per user, and this one is nobody else's
            limits["nproc"] = _THREADS
        groups = f"--groups={','.join(map(str, who.groups))}" if who.groups else "--clear-groups"
        rights = [f"--reuid={who.uid}", f"--regid={who.gid}", groups]
        rights += ["--inh-caps=-all", "--bounding-set=-all"]
    return [
        *_namespaces(),
        *(find_program("prlimit"), *(f"--{name}={value}" for name, value in limits.items()), "--"),
        *(find_program("setpriv"), "--pdeathsig=KILL", "--no-new-privs", *rights, "--"),
    ]
