"""The verbs of commands: run one, start one in the background, listen to it, steer it.

What runs in the foreground ends with the call that asked for it; what was started in the background
ends by itself, at its deadline or when it is killed, whoever comes and goes on the line. Processes
are found in this table alone, by the numbers of those that have not been collected yet: a number
that the kernel gave to another process leads nowhere.
"""

import asyncio
import json
from collections import deque
from typing import Any

from forge_guest.abandoning import abandoning
from forge_guest.cgroups import Group
from forge_guest.processes import Reaper
from forge_guest.refusal import Refused, Verb
from forge_guest.running import STDOUT, Running, program
from forge_guest.tape import KEPT, Shelf
from forge_guest.terminal import Terminals
from forge_guest.wire.channel import ChannelClosed, Stream, StreamReset
from forge_guest.wire.session import Data

MAX_BACKGROUND = 64
MAX_ENDINGS = 64
_SIGNALS = range(1, 65)


class Commands:
    """Every process that the host asked for; forgets a group once nothing is left in it."""

    def __init__(self, reaper: Reaper, env: dict[str, str]) -> None:
        self._reaper = reaper
        self._env = env
        self._terminals = Terminals()
        self._shelf = Shelf()
        self._running: dict[int, Running] = {}
        self._ended: dict[int, Running] = {}
        self._lingering: deque[Group] = deque()

    def verbs(self) -> dict[str, Verb]:
        """What is answered here."""
        return {
            "exec": self.exec,
            "start": self.start,
            "attach": self.attach,
            "processes": self.processes,
            "send": self.send,
            "signal": self.signal,
            "resize": self.resize,
        }

    async def exec(self, stream: Stream) -> None:
        """Run a command; who gives the call up ends it.

        Raises:
            Refused: it cannot be started.
        """
        running = self._start(stream.request, background=False)
        try:
            # At once, not some turns of the loop later: a new host that asks what runs must not
            # be told of what the one before it waited for.
            with stream.calling(running.give_up):
                await stream.message({"pid": running.pid})
                with running.tape.listening() as listener:
                    async with abandoning(stream) as tasks:
                        feeding = tasks.create_task(_feed(running, stream))
                        await running.play(listener, stream)
                        feeding.cancel()
        except BaseException:
            running.give_up()
            raise
        await stream.message(running.result(), fin=True)

    async def start(self, stream: Stream) -> None:
        """Start a background process, which goes on when its caller leaves.

        Raises:
            Refused: it cannot be started, or there are too many.
        """
        if sum(each.wanted.background for each in self._running.values()) >= MAX_BACKGROUND:
            raise Refused("refused", f"{MAX_BACKGROUND} background processes run already")
        running = self._start(stream.request, background=True)
        try:
            await stream.message({"pid": running.pid}, fin=True)
        except (StreamReset, ChannelClosed):
            running.give_up()  # nobody knows its number
            raise

    def _start(self, request: dict[str, Any], *, background: bool) -> Running:
        wanted = program(request, self._env, background=background)
        self._tidy()
        tape, group = self._shelf.new(KEPT if background else 0), Group()
        try:
            running = Running(wanted, self._reaper, self._terminals, tape, group)
        except BaseException:
            self._shelf.remove(tape)
            self._lingering.append(group)  # whoever could not start is still in it for a moment
            raise
        self._running[running.pid] = running
        running.when_ended(self._note)
        return running

    def _note(self, running: Running) -> None:
        """A process was collected: its number may be given to another from now on."""
        if self._running.get(running.pid) is running:
            del self._running[running.pid]
        if not running.group.release():
            self._lingering.append(running.group)
        former = self._ended.pop(running.pid, None)
        gone = [former] if former else []
        if running.wanted.background:
            self._ended[running.pid] = running
            self._shelf.ended(running.tape)
        else:
            gone.append(running)
        if len(self._ended) > MAX_ENDINGS:
            gone.append(self._ended.pop(next(iter(self._ended))))
        for each in gone:
            self._shelf.remove(each.tape)

    def _tidy(self) -> None:
        # A few each time: groups in which something stays must not make every start slow.
        for _ in range(min(4, len(self._lingering))):
            group = self._lingering.popleft()
            if not group.release():
                self._lingering.append(group)

    async def attach(self, stream: Stream) -> None:
        """What a process printed and prints, until it ends; who gives the call up only leaves.

        Raises:
            Refused: there is no such process.
        """
        pid = stream.request["pid"]
        running = self._running.get(pid) or self._ended.get(pid)
        if running is None:
            raise Refused("no_process", f"there is no process {pid}")
        try:
            with running.tape.listening() as listener:
                async with abandoning(stream):
                    await stream.message({"dropped": listener.place})
                    await running.play(listener, stream)
        finally:
            running.pump()  # whoever left does not hold it back any more
        await stream.message(running.result(), fin=True)

    async def processes(self, stream: Stream) -> None:
        """Which processes run; what was given up is killed, and no longer anyone's."""
        count = 0
        for running in [each for each in self._running.values() if not each.given_up]:
            wanted = running.wanted
            line = {
                "pid": running.pid,
                "argv": wanted.argv,
                "tag": wanted.tag,
                "cwd": wanted.cwd,
                "user": "root" if wanted.root else "user",
                "pty": wanted.size is not None,
                "background": wanted.background,
                "started": running.started,
            }
            await stream.send(STDOUT, json.dumps(line).encode() + b"\n")
            count += 1
        await stream.message({"count": count}, fin=True)

    async def send(self, stream: Stream) -> None:
        """Give a process input.

        Raises:
            Refused: there is no such process, or it does not take all of it in time.
        """
        running, request = self._find(stream), stream.request
        before = None
        try:
            async with (
                asyncio.timeout(float(request["deadline_s"])),
                abandoning(stream),
                running.sending,
            ):
                before = running.input.taken
                if not await _take(running, stream):
                    raise Refused("refused", "the process takes no more input")
                taken = running.input.taken - before
                if request.get("eof"):
                    await running.end_input()
        except TimeoutError as error:
            taken = 0 if before is None else running.input.taken - before
            why = f"the process did not take its input in time; it took {taken} bytes"
            raise Refused("refused", why) from error
        await stream.message({"size": taken}, fin=True)

    async def signal(self, stream: Stream) -> None:
        """Send a process a signal.

        Raises:
            Refused: there is no such process or signal.
        """
        number = stream.request["signal"]
        if number not in _SIGNALS:
            raise Refused("refused", f"there is no signal {number}")
        self._find(stream).signal(number)
        await stream.message({"signalled": True}, fin=True)

    async def resize(self, stream: Stream) -> None:
        """Change the size of a process's terminal.

        Raises:
            Refused: there is no such process, or it has no terminal.
        """
        columns, rows = int(stream.request["columns"]), int(stream.request["rows"])
        self._find(stream).resize(columns, rows)
        await stream.message({"resized": True}, fin=True)

    def _find(self, stream: Stream) -> Running:
        pid = stream.request["pid"]
        running = self._running.get(pid)
        if running is None:
            why = "has ended" if pid in self._ended else "is not there"
            raise Refused("no_process", f"the process {pid} {why}")
        return running


async def _take(running: Running, stream: Stream) -> bool:
    """Pass on what the host sends until it has finished; False once the process takes no more."""
    while (item := await stream.receive()) is not None:
        if isinstance(item, Data) and not await running.feed(item.data):
            return False
    return not running.input.closed


async def _feed(running: Running, stream: Stream) -> None:
    if await _take(running, stream):
        await running.end_input()
    else:
        running.input.close()
