"""File jobs that take long: each in a process of its own, with the person's rights and no more.

Packing, unpacking, removing a tree and watching one can take minutes. In the agent they would hold
up everybody else; so a job is a fork of it that gives all that up: its descriptors but three pipes
and one file of the template, its root, its user id. What the kernel would not let the person do,
a job cannot do either, and it counts as the person's in memory and processes. The agent moves its
bytes and ends it when the host gives up.

A job cannot be traced by the person's processes (it changed its user id, so it is not dumpable).
They may kill it, which is a refusal.
"""

import asyncio
import errno
import fcntl
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from forge_guest.cgroups import Group
from forge_guest.mounts import GID, ROOT, UID
from forge_guest.pipes import Reading, Writing
from forge_guest.processes import Reaper
from forge_guest.refusal import Refused
from forge_guest.wire.channel import Stream
from forge_guest.wire.session import Data
from forge_guest.wire.tar import ArchiveError

CONTENT = 1
MAX_JOBS = 32

Work = Callable[[int, int, int], dict[str, Any]]
"""What a job does with the file it was given, its input and its output; returns its last message.

Raises:
    Refused, ArchiveError, OSError: the request fails.
"""

_SOURCE, _SINK, _REPORT, _BASE = range(4)
_ASIDE = 64
_MAX_REPORT = 32 * 1024
_CODES = {errno.ENOENT: "not_found", errno.ENOSPC: "quota", errno.EDQUOT: "quota"}


def refusal(error: OSError) -> Refused:
    """What the host is told about an error of the kernel's."""
    return Refused(_CODES.get(error.errno or 0, "refused"), str(error.strerror))


class Jobs:
    """Starts jobs and waits for them; forgets a group once nothing is left in it."""

    def __init__(self, reaper: Reaper) -> None:
        self._reaper = reaper
        self._under_way = 0
        self._lingering: list[Group] = []

    async def run(self, stream: Stream, work: Work, base: int) -> dict[str, Any]:
        """Do one job with the file `base`; the stream's input goes in, what comes out is sent.

        Raises:
            Refused: the job failed, or there are too many.
            StreamReset, ChannelClosed: the host gave up; the job was ended.
        """
        if self._under_way >= MAX_JOBS:
            raise Refused("refused", f"{MAX_JOBS} long file jobs are under way")
        self._lingering = [group for group in self._lingering if not group.release()]
        self._under_way += 1
        group = Group()
        try:
            return await self._run(stream, work, base, group)
        finally:
            self._under_way -= 1
            group.kill()
            if not group.release():
                self._lingering.append(group)

    async def _run(self, stream: Stream, work: Work, base: int, group: Group) -> dict[str, Any]:
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
        theirs = (pipes[0][0], pipes[1][1], pipes[2][1])
        ours = (pipes[0][1], pipes[1][0], pipes[2][0])
        try:
            pid = os.fork()
        except OSError as error:
            for fd in (*theirs, *ours):
                os.close(fd)
            raise refusal(error) from error
        if pid == 0:
            _become(work, (*theirs, base), group)
        ending = self._reaper.expect(pid)
        for fd in theirs:
            os.close(fd)
        running = _Running(ours)
        try:
            await running.attend(stream)
            await ending
            return running.report()
        finally:
            running.close()


class _Running:
    """The agent's ends of a job's pipes."""

    def __init__(self, ours: tuple[int, int, int]) -> None:
        source, output, self._report = ours
        self._input = Writing(source)
        os.set_blocking(self._report, False)
        self._ready = asyncio.Event()
        self._output = Reading(output, self._ready.set)

    async def attend(self, stream: Stream) -> None:
        """Move input and output until the job closes its output."""
        try:
            async with asyncio.TaskGroup() as tasks:
                feeding = tasks.create_task(self._feed(stream))
                watching = tasks.create_task(stream.given_up())
                while not self._output.ended:
                    self._ready.clear()
                    if data := self._output.take():
                        await stream.send(CONTENT, data)
                    elif not self._output.ended:
                        self._output.watch()
                        await self._ready.wait()
                feeding.cancel()
                watching.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _feed(self, stream: Stream) -> None:
        while (item := await stream.receive()) is not None:
            if isinstance(item, Data) and not await self._input.write(item.data):
                break
        self._input.close()

    def report(self) -> dict[str, Any]:
        """What the job said last.

        Raises:
            Refused: it failed.
        """
        try:
            said = json.loads(os.read(self._report, _MAX_REPORT) or b"{}")
        except BlockingIOError:
            said = {}
        if "refused" in said:
            raise Refused(*said["refused"])
        if "done" not in said:
            raise Refused("refused", "the job was ended from inside the machine")
        answer: dict[str, Any] = said["done"]
        return answer

    def close(self) -> None:
        """Give the pipes back."""
        self._input.close()
        self._output.close()
        os.close(self._report)


def _become(work: Work, fds: tuple[int, ...], group: Group) -> NoReturn:
    """The child's side: never returns."""
    # Whatever happens here, this copy of the agent must end and not go on as a second one.
    try:
        _give_up_rights(fds, group)
        os.write(_REPORT, json.dumps(_outcome(work)).encode())
        os._exit(0)
    finally:
        os._exit(1)


def _give_up_rights(fds: tuple[int, ...], group: Group) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    group.add(0)
    # The agent's own exemption would be inherited, and then nothing could be killed for memory.
    Path("/proc/self/oom_score_adj").write_text("0")
    os.setsid()
    _keep_only(fds)
    os.chroot(ROOT)
    os.chdir("/")
    os.setgroups([])
    os.setresgid(GID, GID, GID)
    os.setresuid(UID, UID, UID)


def _outcome(work: Work) -> dict[str, Any]:
    try:
        return {"done": work(_BASE, _SOURCE, _SINK)}
    except Refused as refused:
        return {"refused": [refused.code, refused.message[:1000]]}
    except ArchiveError as error:
        return {"refused": ["archive", str(error)[:1000]]}
    except OSError as error:
        found = refusal(error)
        return {"refused": [found.code, found.message]}
    except MemoryError:
        return {"refused": ["refused", "the machine's memory is full"]}


def _keep_only(fds: tuple[int, ...]) -> None:
    """Put these at 0, 1, 2 and so on, and close all others."""
    # A source may stand where another's target is, so all are moved away before any is placed.
    aside = [fcntl.fcntl(fd, fcntl.F_DUPFD, _ASIDE) for fd in fds]
    for target, source in enumerate(aside):
        os.dup2(source, target)
    os.closerange(len(aside), 1 << 16)
