"""One process that the host asked for, from its start to its end.

    started ── ends, or is killed at its deadline ──▶ draining ── all is on the tape ──▶ closed

It lives by callbacks alone and needs nobody to wait for it: what it prints goes to its tape while
there is room, and once it has ended, what its pipes still hold does too. What it left in the
background may keep the pipes open; that is not awaited, and has nobody to print to from then on.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from forge_guest.cgroups import Group
from forge_guest.mounts import HOME
from forge_guest.pipes import Reading, Writing
from forge_guest.processes import Ending, Reaper, Spawn, SpawnRefused, spawn
from forge_guest.refusal import Refused
from forge_guest.tape import Listener, Tape
from forge_guest.terminal import Terminal, Terminals
from forge_guest.wire.channel import Stream

STDOUT, STDERR = 1, 2
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TERMINAL_HOLDS = 128 * 1024  # bytes, at most; it cannot be asked as a pipe can


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


@dataclass(frozen=True)
class Program:
    """What is wanted. `size` is columns and rows of a terminal; seconds, None for no deadline."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    root: bool
    tag: str
    size: tuple[int, int] | None
    deadline_s: float | None
    background: bool


def program(request: dict[str, Any], env: dict[str, str], *, background: bool) -> Program:
    """What a request asks for.

    Raises:
        KeyError, TypeError, ValueError: it is malformed.
    """
    root = request.get("user") == "root"
    pty, deadline = request.get("pty"), request["deadline_s"]
    return Program(
        argv=[str(word) for word in request["argv"]],
        env=base_env(root=root) | env | dict(request.get("env") or {}),
        cwd=str(request.get("cwd") or HOME),
        root=root,
        tag=str(request.get("tag") or ""),
        size=(int(pty["columns"]), int(pty["rows"])) if pty else None,
        deadline_s=None if deadline is None else max(0.0, float(deadline)),
        background=background,
    )


class Ends:
    """The agent's and the process's ends of three pipes, or of a terminal."""

    def __init__(self, wanted: Program, terminals: Terminals) -> None:
        self.terminal: Terminal | None = None
        if wanted.size is not None:
            terminal = self.terminal = terminals.open(*wanted.size, root=wanted.root)
            self.theirs = (terminal.far, terminal.far, terminal.far)
            self.ours: tuple[int, ...] = (os.dup(terminal.near), terminal.near)
            self._to_close: tuple[int, ...] = ()
            return
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
        self.theirs = (pipes[0][0], pipes[1][1], pipes[2][1])
        self.ours = (pipes[0][1], pipes[1][0], pipes[2][0])
        self._to_close = self.theirs

    def started(self) -> None:
        """The process has its ends, or never will: give them back."""
        for fd in self._to_close:
            os.close(fd)

    def abandon(self) -> None:
        """Nothing was started: give ours back."""
        for fd in self.ours:
            os.close(fd)
        if self.terminal is not None:
            os.close(self.terminal.far)


class Running:
    """A process; frees its pipes, its terminal and its timer by itself once it has ended.

    Its group is its maker's to remove.

    Raises:
        Refused: it cannot be started.
    """

    def __init__(
        self, wanted: Program, reaper: Reaper, terminals: Terminals, tape: Tape, group: Group
    ) -> None:
        self.wanted = wanted
        self.group = group
        self.tape = tape
        self.started = time.clock_gettime(time.CLOCK_REALTIME)
        self.timed_out = False
        self.given_up = False
        self.closed = asyncio.Event()
        self.sending = asyncio.Lock()
        self._begun = time.monotonic()
        self._duration_ms = 0.0
        self._tell: Callable[[Running], None] | None = None
        ends = Ends(wanted, terminals)
        try:
            self.pid = _spawn(wanted, ends, self.group)
        except Refused:
            ends.abandon()
            raise
        finally:
            ends.started()
        self._terminal = ends.terminal
        self._line_open = False
        self.input = Writing(ends.ours[0])
        lanes = zip((STDOUT, STDERR), ends.ours[1:], strict=False)
        self._sources = [(lane, Reading(fd, self.pump)) for lane, fd in lanes]
        self._left: dict[int, int] = {}
        self._timer = self._set_timer()
        self._ending = reaper.expect(self.pid)
        self._ending.add_done_callback(self._ended)

    def _set_timer(self) -> asyncio.TimerHandle | None:
        if self.wanted.deadline_s is None:
            return None
        return asyncio.get_running_loop().call_later(self.wanted.deadline_s, self._time_out)

    # -- its output -------------------------------------------------------------------------------

    def pump(self) -> None:
        """Move what was printed to the tape, as long as that has room."""
        if self.closed.is_set():
            return
        if self._left:  # it has ended, and what its pipes still hold is known
            self._drain()
            return
        for lane, source in self._sources:
            if not self.tape.room():
                return
            if not source.ended and (data := source.take()):
                self.tape.add(lane, data)
            source.watch()

    def _drain(self) -> None:
        for lane, source in self._sources:
            while not source.ended and self._left[lane] > 0:
                if not self.tape.room():
                    return
                data = source.take(self._left[lane])
                if not data:
                    break
                self._left[lane] -= len(data)
                self.tape.add(lane, data)
        self._close()

    async def play(self, listener: Listener, stream: Stream) -> None:
        """Send what a listener has not heard yet, until the process's end.

        Raises:
            StreamReset, ChannelClosed: the host gave up.
        """
        while True:
            listener.news.clear()
            closed = self.closed.is_set()
            if (piece := self.tape.hear(listener)) is not None:
                await stream.send(*piece)
                self.pump()
            elif closed:
                return
            else:
                await listener.news.wait()

    # -- its input and its end ---------------------------------------------------------------------

    async def feed(self, data: bytes) -> bool:
        """Give it input; False once it takes no more."""
        taken = await self.input.write(data)
        self._line_open = data[-1:] not in (b"\n", b"")
        return taken

    async def end_input(self) -> None:
        """Say that nothing follows: close a pipe, or type what ends input on a terminal."""
        if self._terminal is None:
            self.input.close()
        elif not self.input.closed:
            # Within a line the character only passes on what was typed; a second one ends.
            await self.feed(self._terminal.end_of_input() * (2 if self._line_open else 1))

    def resize(self, columns: int, rows: int) -> None:
        """Change its terminal's size.

        Raises:
            Refused: it has none.
        """
        if self._terminal is None:
            raise Refused("refused", "this process has no terminal")
        self._terminal.resize(columns, rows)

    def signal(self, number: int) -> None:
        """Signal its process group; SIGKILL ends all it started, wherever that has gone."""
        if self._ending.done():
            return
        if number == signal.SIGKILL:
            self.group.kill()
        else:
            # Not collected yet: no other process or group can have this number.
            os.killpg(self.pid, number)

    def give_up(self) -> None:
        """Kill all it started: whoever asked for it is gone."""
        self.given_up = True
        self.group.kill()

    def _time_out(self) -> None:
        self.timed_out = not self._ending.done()
        self.group.kill()

    def _ended(self, _: asyncio.Future[Ending]) -> None:
        self._duration_ms = (time.monotonic() - self._begun) * 1000
        for lane, source in self._sources:
            held = _TERMINAL_HOLDS if self._terminal else 0 if source.ended else source.waiting()
            self._left[lane] = held
        if self._tell is not None:
            self._tell(self)
        self.pump()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            if self.wanted.background and not self.group.released:
                # What it left behind is bound by its deadline as well.
                asyncio.get_running_loop().call_at(self._timer.when(), self.group.kill)
        self.input.close()
        for _, source in self._sources:
            source.close()
        if self._terminal is not None:
            self._terminal.near = -1  # the source's, which has closed it
            self._terminal.close()
        self.closed.set()
        self.tape.tell()

    def when_ended(self, tell: Callable[["Running"], None]) -> None:
        """Have `tell` called once it has ended, before its number can be another's."""
        self._tell = tell

    def result(self) -> dict[str, Any]:
        """How it ended."""
        ending = self._ending.result()
        return {
            "exit_code": ending.exit_code,
            "signal": ending.signal,
            "timed_out": self.timed_out,
            "duration_ms": self._duration_ms,
        }


def _spawn(wanted: Program, ends: Ends, group: Group) -> int:
    try:
        return spawn(
            Spawn(
                argv=[os.fsencode(word) for word in wanted.argv],
                env=encode_env(wanted.env),
                cwd=os.fsencode(wanted.cwd),
                root=wanted.root,
                fds=ends.theirs,
                group=group,
                terminal=wanted.size is not None,
            )
        )
    except (SpawnRefused, ValueError) as error:
        raise Refused("refused", str(error)) from error
