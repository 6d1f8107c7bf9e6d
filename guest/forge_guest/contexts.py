"""The `code` verb: code contexts, each a process forked from the zygote, seen from the agent.

A context holds a person's code and may send anything; what it sends is bounded and checked here.
One that breaks its protocol, or does not stop when interrupted, is killed and replaced.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import time
from typing import Any

from forge_guest.cgroups import Group
from forge_guest.commands import STDERR, STDOUT, base_env, encode_env
from forge_guest.pipes import Reading
from forge_guest.processes import Reaper, Spawn, SpawnRefused, spawn
from forge_guest.refusal import Refused, Verb
from forge_guest.wire.channel import ChannelClosed, Stream, StreamReset
from forge_guest.wire.session import Data

DISPLAY = 3
MAX_CODE = 4 * 1024 * 1024
MAX_CONTEXTS = 16
_MAX_MESSAGE = 64 * 1024 * 1024
_PRELOAD_S = 180.0  # a cold import of the scientific stack under emulation takes about 10 s
_FORK_S = 10.0  # a fork takes milliseconds; this is for a machine that is out of memory
_GRACE_S = 2.0  # what code may take to unwind after an interrupt
_LENGTH = struct.Struct(">I")
_BOOT = (
    "import sys; sys.path.insert(0, '/run/forge'); "
    "from forge_guest.interpreter.zygote import main; main()"
)


class ContextLost(Exception):
    """A context ended, or sent what it may not."""


class Context:
    """One context's process, its pipes and its control socket; `close` ends all of them."""

    def __init__(self, pid: int, control: socket.socket, out: int, err: int) -> None:
        self.pid = pid
        self.group = Group()
        self.group.add(pid)
        self.lock = asyncio.Lock()
        self.ready = asyncio.Event()
        self.stale = False
        self._control = control
        control.setblocking(False)
        self._inbox = bytearray()
        self._messages = Reading(os.dup(control.fileno()), self.ready)
        self._pipes = ((STDOUT, Reading(out, self.ready)), (STDERR, Reading(err, self.ready)))

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message.

        Raises:
            ContextLost: the context has gone.
        """
        payload = json.dumps(message).encode()
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._control, _LENGTH.pack(len(payload)) + payload)
        except OSError as error:
            raise ContextLost(str(error)) from error

    def next_message(self) -> dict[str, Any] | None:
        """The next message, if a whole one has arrived.

        Raises:
            ContextLost: the context has gone, or sent what it may not.
        """
        while not self._messages.ended and (data := self._messages.take()):
            self._inbox += data
            if len(self._inbox) > _LENGTH.size + _MAX_MESSAGE:
                break
        self._messages.watch()
        if len(self._inbox) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._inbox)
            if length > _MAX_MESSAGE:
                raise ContextLost("a message that is too large")
            end = _LENGTH.size + length
            if len(self._inbox) >= end:
                payload = bytes(self._inbox[_LENGTH.size : end])
                del self._inbox[:end]
                return _parse(payload)
        if self._messages.ended:
            raise ContextLost("it ended")
        return None

    async def settled(self) -> None:
        """Wait until it says that it is done with what it was doing.

        Raises:
            ContextLost: the context has gone, or sent what it may not.
        """
        while (message := self.next_message()) is None or "done" not in message:
            if message is not None:
                await self.send({"shown": 1})
            elif not await self.move_output(None, everything=False):
                await self.ready.wait()
            self.ready.clear()

    async def move_output(self, stream: Stream | None, *, everything: bool) -> bool:
        """Pass on what was printed; `everything` there is now, or a piece of each. Whether any."""
        moved = False
        for lane, pipe in self._pipes:
            left = pipe.waiting() if everything else 1
            while left > 0 and not pipe.ended and (data := pipe.take()):
                moved = True
                left -= len(data)
                if stream is not None:
                    await stream.send(lane, data)
            pipe.watch()
        return moved

    def interrupt(self) -> None:
        """Interrupt what runs."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)

    def close(self) -> None:
        """End the process and everything it started."""
        self.group.kill()
        self._messages.close()
        self._control.close()
        for _, pipe in self._pipes:
            pipe.close()


class Interpreter:
    """The zygote and its contexts; lives as long as the machine."""

    def __init__(self, reaper: Reaper) -> None:
        self._reaper = reaper
        self._zygote: socket.socket | None = None
        self._asking = asyncio.Lock()
        self._contexts: dict[str, Context] = {}
        self._endings: dict[int, int] = {}
        self._variables: dict[str, str | None] = {}

    def verbs(self) -> dict[str, Verb]:
        """What is answered here."""
        return {"code": self.run}

    async def start(self, preload: list[str], env: dict[str, str]) -> list[str]:
        """Start the zygote and the default context; returns what could not be preloaded.

        Raises:
            Refused: the template has no Python, or it does not start.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        null = os.open("/dev/null", os.O_RDWR)
        try:
            pid = spawn(
                Spawn(
                    argv=[b"/usr/bin/python3", b"-I", b"-B", b"-c", _BOOT.encode()],
                    env=encode_env(base_env(root=True) | env),
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
        self._zygote = ours
        await asyncio.get_running_loop().sock_sendall(
            ours, json.dumps({"preload": preload}).encode()
        )
        answer = await self._hear("ready", _PRELOAD_S)
        self._contexts["default"] = await self._fork(rehearse=True)
        return [str(failure) for failure in answer["failures"]]

    def restored(self, variables: dict[str, str]) -> None:
        """Have every context renew its random numbers before the next cell it runs, and take these
        variables in place of those that an earlier restore brought.

        A context takes requests in order, so no cell can run before; one that fails at it ends.
        The zygote draws none, and a context forked from it renews its own at once.
        """
        self._variables = dict.fromkeys(self._variables) | variables
        for context in self._contexts.values():
            context.stale = True

    async def run(self, stream: Stream) -> None:
        """Answer one `code` request.

        Raises:
            Refused: there is no interpreter, or too many contexts.
        """
        name = str(stream.request.get("context") or "default")
        code = await _receive_code(stream)
        context = await self._context(name)
        async with context.lock:
            started = time.monotonic()
            context = await self._context(name)
            final = await self._attend(name, context, code, stream)
            final["duration_ms"] = (time.monotonic() - started) * 1000
            await stream.message(final, fin=True)

    async def _context(self, name: str) -> Context:
        if self._zygote is None:
            raise Refused("refused", "this template has no interpreter")
        context = self._contexts.get(name)
        if context is None:
            if len(self._contexts) >= MAX_CONTEXTS:
                raise Refused("refused", f"there are {MAX_CONTEXTS} contexts already")
            context = self._contexts[name] = await self._fork()
        return context

    async def _attend(
        self, name: str, context: Context, code: str, stream: Stream
    ) -> dict[str, Any]:
        deadline_s = float(stream.request["deadline_s"])
        try:
            try:
                async with asyncio.timeout(deadline_s):
                    renew, context.stale = context.stale, False
                    await context.send({"run": code, "renew": self._variables if renew else None})
                    return await self._follow(context, stream)
            except TimeoutError:
                restarted = not await self._wind_down(context)
                if restarted:
                    await self._replace(name, context)
                return {"status": "timeout", "restarted": restarted}
            except (StreamReset, ChannelClosed, asyncio.CancelledError):
                if not await self._wind_down(context):
                    await self._replace(name, context)
                raise
        except ContextLost as lost:
            return await self._crashed(name, context, str(lost), stream)

    async def _follow(self, context: Context, stream: Stream) -> dict[str, Any]:
        """Pass on a cell's output and displays until it is done."""
        async with _abandoning(stream):
            while True:
                context.ready.clear()
                message = context.next_message()
                if message is None:
                    if not await context.move_output(stream, everything=False):
                        await context.ready.wait()
                    continue
                # What was printed before this message is in the pipes by now.
                await context.move_output(stream, everything=True)
                if "done" in message:
                    return _outcome(message["done"])
                if "display" in message:
                    await _send_display(stream, message["display"])
                    await context.send({"shown": 1})

    async def _wind_down(self, context: Context) -> bool:
        """Interrupt a cell and wait for its end; False where it must be killed."""
        context.interrupt()
        try:
            async with asyncio.timeout(_GRACE_S):
                await context.settled()
        except TimeoutError:
            return False
        return True

    async def _crashed(
        self, name: str, context: Context, why: str, stream: Stream
    ) -> dict[str, Any]:
        for _ in range(4):
            if not await context.move_output(stream, everything=True):
                break
        await self._replace(name, context)
        status = self._endings.pop(context.pid, None)
        if status is not None and os.WIFSIGNALED(status):
            why = f"it was killed by {signal.Signals(os.WTERMSIG(status)).name}"
        elif status is not None and os.WIFEXITED(status):
            why = f"it ended with exit code {os.WEXITSTATUS(status)}"
        error = {"name": "InterpreterCrashed", "value": why, "traceback": ""}
        return {"status": "crashed", "error": error, "restarted": True}

    async def _replace(self, name: str, context: Context) -> None:
        context.close()
        self._contexts[name] = fresh = await self._fork()
        # Whoever waits for the old context's turn must not overtake the caller, who holds it.
        fresh.lock = context.lock

    async def _fork(self, *, rehearse: bool = False) -> Context:
        ours, theirs = socket.socketpair()
        out, err = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        try:
            request = {"fork": 1, "rehearse": rehearse}
            answer = await self._ask(request, [theirs.fileno(), out[1], err[1]], "pid")
        finally:
            theirs.close()
            os.close(out[1])
            os.close(err[1])
        context = Context(int(answer["pid"]), ours, out[0], err[0])
        try:
            async with asyncio.timeout(_PRELOAD_S if rehearse else _FORK_S):
                await context.settled()
        except (ContextLost, TimeoutError) as error:
            context.close()
            raise Refused("refused", f"a new code context did not start: {error}") from error
        context.stale = bool(self._variables)
        return context

    async def _ask(self, request: dict[str, Any], fds: list[int], answer: str) -> dict[str, Any]:
        assert self._zygote is not None
        async with self._asking:
            socket.send_fds(self._zygote, [json.dumps(request).encode()], fds)
            return await self._hear(answer, _FORK_S)

    async def _hear(self, key: str, seconds: float) -> dict[str, Any]:
        """The zygote's answer; notes which contexts ended on the way."""
        assert self._zygote is not None
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(seconds):
            while True:
                packet = await loop.sock_recv(self._zygote, 64 * 1024)
                if not packet:
                    raise Refused("refused", "the interpreter did not start")
                message: dict[str, Any] = json.loads(packet)
                if "ended" in message:
                    self._endings[int(message["ended"])] = int(message["status"])
                if key in message:
                    return message


@contextlib.asynccontextmanager
async def _abandoning(stream: Stream):  # type: ignore[no-untyped-def]  # noqa: ANN202 -- no typing
    """End the block with `StreamReset` or `ChannelClosed` as soon as the host gives up."""
    try:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(stream.given_up())
            yield
            watching.cancel()
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _parse(payload: bytes) -> dict[str, Any]:
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ContextLost("a message that is not JSON") from error
    if not isinstance(message, dict):
        raise ContextLost("a message that is not an object")
    return message


def _outcome(done: Any) -> dict[str, Any]:
    if not isinstance(done, dict) or done.get("status") not in ("ok", "error"):
        raise ContextLost("an outcome that is none")
    if done["status"] == "ok":
        return {"status": "ok"}
    error = done.get("error")
    if not isinstance(error, dict):
        raise ContextLost("an error that is none")
    return {
        "status": "error",
        "error": {
            "name": str(error.get("name"))[:200],
            "value": _fit(str(error.get("value")), 8_000),
            "traceback": _fit(str(error.get("traceback")), 40_000),
        },
    }


def _fit(whole: str, most: int) -> str:
    """Clip until the text takes at most so many bytes of JSON: the last message is one frame."""
    text, keep = whole, len(whole)
    while len(json.dumps(text)) > most:
        keep //= 2
        head, tail = whole[: keep // 2], whole[len(whole) - keep // 2 :]
        text = f"{head}\n… [clipped: {len(whole)} characters] …\n{tail}"
    return text


async def _receive_code(stream: Stream) -> str:
    code = bytearray()
    while (item := await stream.receive()) is not None:
        if isinstance(item, Data):
            code += item.data
            if len(code) > MAX_CODE:
                raise Refused("refused", f"code of more than {MAX_CODE} bytes")
    return code.decode("utf-8", "replace")


async def _send_display(stream: Stream, bundle: Any) -> None:
    if not isinstance(bundle, dict):
        raise ContextLost("a display that is none")
    payload = json.dumps({str(mime): str(text) for mime, text in bundle.items()}).encode()
    await stream.send(DISPLAY, _LENGTH.pack(len(payload)) + payload)
