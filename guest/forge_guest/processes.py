"""Starts processes in the template's root and learns how they end.

The agent is process 1: every orphan in the machine becomes its child, so one `Reaper` collects
all of them. The agent has a single thread, which makes `os.fork` safe.
"""

import asyncio
import fcntl
import json
import os
import resource
import signal
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

from forge_guest.cgroups import Group
from forge_guest.mounts import GID, ROOT, UID

_OUT_OF_THE_WAY = 64
_FILES = (1024, 4096)  # as the kernel gives them to process 1; the agent has taken more


class SpawnRefused(Exception):
    """A program could not be started; the message says why."""


@dataclass(frozen=True)
class Spawn:
    """What to start. `fds` become 0, 1, 2 and so on; `terminal`: the first is to control it."""

    argv: Sequence[bytes]
    env: Mapping[bytes, bytes]
    cwd: bytes
    root: bool
    fds: tuple[int, ...]
    group: Group | None = None
    terminal: bool = False


class Ending(NamedTuple):
    """How a process ended: one of the two is set."""

    exit_code: int | None
    signal: int | None


class Reaper:
    """Collects every dead child; tells those who asked."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[Ending]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGCHLD, self._collect)

    def expect(self, pid: int) -> asyncio.Future[Ending]:
        """How this child will end. Called before the loop runs again after its start."""
        future: asyncio.Future[Ending] = self._loop.create_future()
        self._waiting[pid] = future
        return future

    def _collect(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            future = self._waiting.pop(pid, None)
            if future is not None and not future.done():
                future.set_result(_ending(status))


def _ending(status: int) -> Ending:
    if os.WIFSIGNALED(status):
        return Ending(None, os.WTERMSIG(status))
    return Ending(os.WEXITSTATUS(status), None)


def spawn(what: Spawn) -> int:
    """Start a program; returns its pid once it runs.

    Raises:
        SpawnRefused: it cannot be started.
    """
    report_read, report_write = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            pid = os.fork()
        except OSError as error:
            raise SpawnRefused(f"no process could be made: {error.strerror}") from error
        if pid == 0:
            _become(what, report_write)
        os.close(report_write)
        report_write = -1
        report = os.read(report_read, 4096)
    finally:
        os.close(report_read)
        if report_write >= 0:
            os.close(report_write)
    if report:
        raise SpawnRefused(str(json.loads(report)))
    return pid


def _become(what: Spawn, report: int) -> NoReturn:
    """The child's side of `spawn`: never returns."""
    step = "join its group"
    try:
        report = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY)
        if what.group is not None:
            what.group.add(0)
        os.setsid()
        # The agent's own exemption would be inherited, and then nothing could be killed for memory.
        Path("/proc/self/oom_score_adj").write_text("0")
        step = "enter the template"
        os.chroot(ROOT)
        os.chdir("/")
        if not what.root:
            os.setgroups([])
            os.setresgid(GID, GID, GID)
            os.setresuid(UID, UID, UID)
        step = f"enter the folder {os.fsdecode(what.cwd)}"
        os.chdir(what.cwd)
        step = f"start {os.fsdecode(what.argv[0])}"
        _arrange_fds(what.fds)
        if what.terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        _set_limits()
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(what.argv[0], list(what.argv), dict(what.env))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        os.write(report, json.dumps(f"cannot {step}: {why}").encode())
    finally:
        os._exit(127)


def _set_limits() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, _FILES)


def _arrange_fds(fds: tuple[int, ...]) -> None:
    # A source may stand where another's target is, so all are moved away before any is placed.
    aside = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY) for fd in fds]
    for target, source in enumerate(aside):
        os.dup2(source, target)
