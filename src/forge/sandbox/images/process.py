"""Runs the programs a build needs: in a group of their own, under a deadline, into one log.

A build's programs start programs of their own (apt, dpkg, compilers of byte code). Ending one ends
its whole group: first asked, so that mmdebstrap can take its tree down again, then killed. They are
also asked to end when Forge itself is killed (`setpriv --pdeathsig`).
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from forge.errors import ForgeError, ImageBuildFailed, NoSpace, ProgramMissing

_PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "mksquashfs": "squashfs-tools",
    "sqfstar": "squashfs-tools",
    "setpriv": "util-linux",
    "tar": "tar",
    "dd": "coreutils",
    "env": "coreutils",
    "unshare": "util-linux",
    "newuidmap": "uidmap",
    "newgidmap": "uidmap",
    "nsenter": "util-linux",
    "prlimit": "util-linux",
    "skopeo": "skopeo",
    "buildah": "buildah",
}
_SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_GRACE_S = 15.0  # mmdebstrap removes its tree, half a gigabyte of small files, before it ends
_TAIL_LINES = 12


def find_program(name: str) -> str:
    """The path of a system program.

    Raises:
        ProgramMissing: it is not installed; the message names its Debian package.
    """
    found = shutil.which(name, path=_SYSTEM)
    if found is None:
        package = _PACKAGES.get(name, name)
        raise ProgramMissing(
            f"{name} is not installed, and building an image needs it (Debian package {package})"
        )
    return found


class Programs:
    """Runs programs, all writing to one log. It holds nothing open between calls."""

    def __init__(self, log: Path) -> None:
        self._log = log

    async def run(self, argv: Sequence[str], *, deadline_s: float) -> None:
        """Run one program to its end.

        Raises:
            ProgramMissing: it is not installed.
            NoSpace: the disk became full.
            ImageBuildFailed: it failed, or did not end in time.
        """
        async with self._started(argv) as child:
            await self._ended(argv, child, deadline_s)

    async def pipe(
        self, producer: Sequence[str], consumer: Sequence[str], *, deadline_s: float
    ) -> None:
        """Run two programs, the first one's output going into the second.

        Raises:
            ProgramMissing, NoSpace, ImageBuildFailed: as in `run`.
        """
        reading, writing = os.pipe()
        async with contextlib.AsyncExitStack() as started:
            try:
                first = await started.enter_async_context(self._started(producer, stdout=writing))
                second = await started.enter_async_context(self._started(consumer, stdin=reading))
            finally:
                os.close(reading)
                os.close(writing)
            # In this order: when the first fails the second sees a short stream and fails too, and
            # the first one's reason is the one to tell.
            await self._ended(producer, first, deadline_s)
            await self._ended(consumer, second, deadline_s)

    @contextlib.asynccontextmanager
    async def _started(
        self,
        argv: Sequence[str],
        stdin: int = asyncio.subprocess.DEVNULL,
        stdout: int | None = None,
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        with self._log.open("ab") as log:
            log.write(f"$ {' '.join(argv)}\n".encode(errors="backslashreplace"))
            log.flush()
            child = await asyncio.create_subprocess_exec(
                *(find_program("setpriv"), "--pdeathsig", "TERM", "--"),
                *(find_program(word) if word in _PACKAGES else word for word in argv),
                stdin=stdin,
                stdout=log if stdout is None else stdout,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield child
        finally:
            await _end_group(child)

    async def _ended(
        self, argv: Sequence[str], child: asyncio.subprocess.Process, deadline_s: float
    ) -> None:
        try:
            async with asyncio.timeout(deadline_s):
                code = await child.wait()
        except TimeoutError as passed:
            raise self.failure(f"{_name(argv)} did not end within {deadline_s:.0f} s") from passed
        if code != 0:
            raise self.failure(f"{_name(argv)} ended with code {code}")

    def failure(self, what: str) -> ForgeError:
        """An error that tells what happened with the end of the log."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        tail = "\n".join(lines[-_TAIL_LINES:])
        if "No space left on device" in tail:
            return NoSpace(f"the disk became full while building an image ({what})")
        return ImageBuildFailed(f"{what}. The log is {self._log}; it ends with:\n{tail}")


def _name(argv: Sequence[str]) -> str:
    """The program that a command line is about: what `env` starts, where it begins with `env`."""
    return next(Path(word).name for word in argv if word != "env" and "=" not in word)


async def _end_group(child: asyncio.subprocess.Process) -> None:
    """End a child and all it started. Reaped by the time this returns, even when cancelled."""
    if child.returncode is not None:
        _signal_group(child.pid, signal.SIGKILL)
        return
    _signal_group(child.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(_GRACE_S):
            await child.wait()
    except TimeoutError:
        _signal_group(child.pid, signal.SIGKILL)
        await child.wait()
    finally:
        _signal_group(child.pid, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    # The group's id stays taken while anything in it lives; gone means nothing is left to end.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
