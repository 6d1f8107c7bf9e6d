"""Starts the processes of contexts: Python's are forked from the zygote, JavaScript's are Node's.

Each becomes a process of a person's user that no other process of that user can trace or take
descriptors from: it changed its user itself, after it was started as root, and the kernel counts
it as not dumpable from then on. So contexts cannot read each other's memory or speak on each
other's line to the agent. They can kill each other and change each other's files: one user owns
them all, and contexts are not a wall against a person's own code.
"""

import asyncio
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any, Protocol

from forge_guest.cgroups import Group
from forge_guest.context_process import ContextLost, ContextProcess
from forge_guest.mounts import ROOT
from forge_guest.processes import Ending, Reaper, Spawn, SpawnRefused, spawn
from forge_guest.refusal import Refused
from forge_guest.running import base_env, encode_env

_PRELOAD_S = 180.0  # a cold import of the scientific stack under emulation takes about 10 s
_START_S = 60.0  # a fork takes milliseconds, Node 2 s under emulation; a busy host shares its cores
_ENDING_S = 1.0  # until a process that was killed is reported as ended
_BOOT = (
    "import sys; sys.path.insert(0, '/run/forge'); "
    "from forge_guest.interpreter.zygote import main; main()"
)
_NODE = "/usr/bin/node"
_HANDS = "/run/forge/forge_guest/interpreter/node/hands.js"


class Starter(Protocol):
    """Starts processes for one language."""

    async def start(self, folder: str) -> ContextProcess:
        """A process that is ready for its first cell, in a folder.

        Raises:
            Refused: it does not start.
        """


class Zygote:
    """The process that imported the stack, and everything that is forked from it."""

    def __init__(self, reaper: Reaper, env: dict[str, str]) -> None:
        self._reaper = reaper
        self._env = env
        self._socket: socket.socket | None = None
        self._asking = asyncio.Lock()
        self._endings: dict[int, int] = {}

    async def begin(self, preload: list[str]) -> list[str]:
        """Start it; returns what could not be preloaded.

        Raises:
            Refused: the template has no Python, or it does not start.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        null = os.open("/dev/null", os.O_RDWR)
        try:
            pid = spawn(
                Spawn(
                    argv=[b"python3", b"-I", b"-B", b"-c", _BOOT.encode()],
                    env=encode_env(base_env(root=True) | self._env),
                    cwd=b"/",
                    root=True,
                    fds=(null, 2, 2, theirs.fileno()),
                )
            )
        except SpawnRefused as error:
            raise Refused("refused", f"this template has no Python: {error}") from error
        finally:
            theirs.close()
            os.close(null)
        self._reaper.expect(pid)
        ours.setblocking(False)
        self._socket = ours
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, json.dumps({"preload": preload}).encode())
        answer = await self._hear("ready", _PRELOAD_S)
        return [str(failure) for failure in answer["failures"]]

    async def start(self, folder: str, *, rehearse: bool = False) -> ContextProcess:
        """See `Starter.start`; `rehearse` runs cells beforehand, to be saved with the template."""
        line = _Line()
        try:
            request = {"fork": 1, "rehearse": rehearse, "cwd": folder}
            answer = await self._ask(request, line.theirs())
        finally:
            line.close_theirs()
        pid = int(answer["pid"])
        group = Group()
        group.add(pid)
        process = ContextProcess(
            pid, group, line.ours, out=line.out[0], err=line.err[0], by_message=False,
            how_it_ended=lambda: self._how(pid),
        )  # fmt: skip
        return await _ready(process, _PRELOAD_S if rehearse else _START_S)

    async def _how(self, pid: int) -> str | None:
        async with self._asking:
            try:
                while pid not in self._endings:
                    await self._hear("ended", _ENDING_S)
            except TimeoutError:
                return None
        status = self._endings.pop(pid)
        if os.WIFSIGNALED(status):
            return _words(Ending(None, os.WTERMSIG(status)))
        return _words(Ending(os.WEXITSTATUS(status), None))

    async def _ask(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        assert self._socket is not None
        async with self._asking:
            socket.send_fds(self._socket, [json.dumps(request).encode()], fds)
            return await self._hear("pid", _START_S)

    async def _hear(self, key: str, seconds: float) -> dict[str, Any]:
        """The zygote's answer; notes which contexts ended on the way."""
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(seconds):
            while True:
                packet = await loop.sock_recv(self._socket, 64 * 1024)
                if not packet:
                    raise Refused("refused", "the interpreter did not start")
                message: dict[str, Any] = json.loads(packet)
                if "ended" in message:
                    self._endings[int(message["ended"])] = int(message["status"])
                if key in message:
                    return message


class Node:
    """Starts a Node for each JavaScript context."""

    def __init__(self, reaper: Reaper, env: dict[str, str]) -> None:
        self._reaper = reaper
        self._env = env

    def there(self) -> bool:
        """Whether the template has Node where Debian puts it."""
        return Path(ROOT + _NODE).exists()

    async def start(self, folder: str) -> ContextProcess:
        """See `Starter.start`."""
        line, group = _Line(), Group()
        null = os.open("/dev/null", os.O_RDWR)
        control, out, err = line.theirs()
        try:
            pid = spawn(
                Spawn(
                    argv=[_NODE.encode(), b"--no-warnings", _HANDS.encode(), os.fsencode(folder)],
                    env=encode_env(base_env() | self._env),
                    cwd=b"/",
                    root=True,  # for a moment: see above
                    fds=(null, out, err, control),
                    group=group,
                )
            )
        except (SpawnRefused, ValueError) as error:
            line.close_ours()
            raise Refused("refused", f"Node does not start: {error}") from error
        finally:
            line.close_theirs()
            os.close(null)
        ending = self._reaper.expect(pid)
        process = ContextProcess(
            pid, group, line.ours, out=line.out[0], err=line.err[0], by_message=True,
            how_it_ended=lambda: _soon(ending),
        )  # fmt: skip
        return await _ready(process, _START_S)


class _Line:
    """A control socket and two pipes, the agent's ends and a context's."""

    def __init__(self) -> None:
        self.ours, self._theirs = socket.socketpair()
        self.out, self.err = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)

    def theirs(self) -> list[int]:
        return [self._theirs.fileno(), self.out[1], self.err[1]]

    def close_theirs(self) -> None:
        self._theirs.close()
        os.close(self.out[1])
        os.close(self.err[1])

    def close_ours(self) -> None:
        self.ours.close()
        os.close(self.out[0])
        os.close(self.err[0])


async def _ready(process: ContextProcess, seconds: float) -> ContextProcess:
    """The process once it says that it is ready; closed where it does not."""
    try:
        async with asyncio.timeout(seconds):
            done = await process.settled()
        if not isinstance(done, dict) or done.get("status") != "ok":
            error = done.get("error") if isinstance(done, dict) else None
            why = error.get("value") if isinstance(error, dict) else None
            raise Refused("refused", f"a code context cannot be there: {str(why)[:300]}")
    except (ContextLost, TimeoutError) as error:
        process.close()
        raise Refused("refused", f"a new code context did not start: {error}") from error
    except BaseException:
        process.close()
        raise
    return process


async def _soon(ending: asyncio.Future[Ending]) -> str | None:
    try:
        async with asyncio.timeout(_ENDING_S):
            return _words(await asyncio.shield(ending))
    except TimeoutError:
        return None


def _words(ending: Ending) -> str:
    if ending.signal is None:
        return f"it ended with exit code {ending.exit_code}"
    return f"it was killed by {signal.Signals(ending.signal).name}"
