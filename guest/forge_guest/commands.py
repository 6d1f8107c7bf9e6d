"""The `exec` verb: one command, its output as it is printed, and how it ended."""

import asyncio
import os
import time
from typing import Any

from forge_guest.cgroups import Group
from forge_guest.mounts import HOME
from forge_guest.pipes import Reading, write_all
from forge_guest.processes import Ending, Reaper, Spawn, SpawnRefused, spawn
from forge_guest.refusal import Refused, Verb
from forge_guest.wire.channel import Stream
from forge_guest.wire.session import Data

STDOUT, STDERR = 1, 2
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_DEADLINE = 24 * 3600.0


def base_env(*, root: bool = False) -> dict[str, str]:
    """What every process in the machine finds in its environment."""
    return {
        "PATH": _PATH,
        "HOME": "/root" if root else HOME,
        "USER": "root" if root else "user",
        "LOGNAME": "root" if root else "user",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
    }


def encode_env(env: dict[str, Any]) -> dict[bytes, bytes]:
    """An environment as the kernel takes it."""
    return {os.fsencode(str(key)): os.fsencode(str(value)) for key, value in env.items()}


class Commands:
    """Runs commands; forgets a group once nothing is left in it."""

    def __init__(self, reaper: Reaper, env: dict[str, str]) -> None:
        self._reaper = reaper
        self._env = env
        self._lingering: list[Group] = []

    def verbs(self) -> dict[str, Verb]:
        """What is answered here."""
        return {"exec": self.exec}

    async def exec(self, stream: Stream) -> None:
        """Answer one `exec` request.

        Raises:
            Refused: it cannot be started.
        """
        request = stream.request
        started = time.monotonic()
        self._lingering = [group for group in self._lingering if not group.release()]
        group = Group()
        try:
            running = self._start(request, group)
            try:
                await stream.message({"pid": running.pid})
                ending, timed_out = await running.attend(stream, _deadline(request))
            except BaseException:
                group.kill()
                raise
            finally:
                running.close()
        finally:
            if not group.release():
                self._lingering.append(group)
        await stream.message(
            {
                "exit_code": ending.exit_code,
                "signal": ending.signal,
                "timed_out": timed_out,
                "duration_ms": (time.monotonic() - started) * 1000,
            },
            fin=True,
        )

    def _start(self, request: dict[str, Any], group: Group) -> "Running":
        root = request.get("user") == "root"
        env = base_env(root=root) | self._env | dict(request.get("env") or {})
        stdin, stdout, stderr = (
            os.pipe2(os.O_CLOEXEC),
            os.pipe2(os.O_CLOEXEC),
            os.pipe2(os.O_CLOEXEC),
        )
        theirs = (stdin[0], stdout[1], stderr[1])
        ours = (stdin[1], stdout[0], stderr[0])
        try:
            pid = spawn(
                Spawn(
                    argv=[os.fsencode(str(word)) for word in request["argv"]],
                    env=encode_env(env),
                    cwd=os.fsencode(str(request.get("cwd") or HOME)),
                    root=root,
                    fds=theirs,
                    group=group,
                )
            )
        except (SpawnRefused, ValueError) as error:
            for fd in ours:
                os.close(fd)
            raise Refused("refused", str(error)) from error
        finally:
            for fd in theirs:
                os.close(fd)
        return Running(pid, self._reaper.expect(pid), ours, group)


class Running:
    """A command under way; owns the agent's ends of its pipes."""

    def __init__(
        self,
        pid: int,
        ending: asyncio.Future[Ending],
        pipes: tuple[int, int, int],
        group: Group,
    ) -> None:
        self.pid = pid
        self._ending = ending
        self._stdin = pipes[0]
        os.set_blocking(self._stdin, False)
        self._ready = asyncio.Event()
        self._out = Reading(pipes[1], self._ready)
        self._err = Reading(pipes[2], self._ready)
        self._group = group
        ending.add_done_callback(lambda _: self._ready.set())

    async def attend(self, stream: Stream, deadline_s: float) -> tuple[Ending, bool]:
        """Move input and output until the command ends; returns how, and if at its deadline."""
        timed_out = False

        def end_it() -> None:
            nonlocal timed_out
            timed_out = not self._ending.done()
            self._group.kill()

        timer = asyncio.get_running_loop().call_later(deadline_s, end_it)
        try:
            async with asyncio.TaskGroup() as tasks:
                feeding = tasks.create_task(self._feed(stream))
                watching = tasks.create_task(stream.given_up())
                await self._pump(stream)
                feeding.cancel()
                watching.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            timer.cancel()
        return self._ending.result(), timed_out

    async def _feed(self, stream: Stream) -> None:
        while (item := await stream.receive()) is not None:
            if isinstance(item, Data) and not await write_all(self._stdin, item.data):
                break
        self._close_stdin()

    async def _pump(self, stream: Stream) -> None:
        while True:
            self._ready.clear()
            over = self._ending.done()
            moved = False
            for lane, pipe in ((STDOUT, self._out), (STDERR, self._err)):
                if not pipe.ended and (data := pipe.take()):
                    moved = True
                    await stream.send(lane, data)
                pipe.watch()
            if over and not moved:
                # What it left in the background may hold the pipes open; that is not awaited.
                return
            if not moved:
                await self._ready.wait()

    def _close_stdin(self) -> None:
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    def close(self) -> None:
        """Give the pipes back."""
        self._close_stdin()
        self._out.close()
        self._err.close()


def _deadline(request: dict[str, Any]) -> float:
    return max(0.0, min(float(request["deadline_s"]), _MAX_DEADLINE))
