"""One cell: sent to a context's process, followed to its end, interrupted at its deadline."""

import asyncio
import contextlib
import json
import re
import struct
from typing import Any

from forge_guest.context_process import ContextLost, ContextProcess
from forge_guest.wire.channel import ChannelClosed, Stream, StreamReset

DISPLAY = 3
_GRACE_S = 2.0  # what code may take to unwind after an interrupt
_MAX_TYPES = 32
_MAX_ID = 128
_CHANGES = ("new", "update", "clear")
_LENGTH = struct.Struct(">I")
_MIME = re.compile(r"[a-z0-9.+-]{1,60}/[a-zA-Z0-9.+-]{1,100}")


class Cell:
    """Code that runs in a context once. `over`: its process has to be replaced."""

    def __init__(self, process: ContextProcess, request: dict[str, Any]) -> None:
        self.over = False
        self._process = process
        self._request = request

    async def attend(self, stream: Stream, deadline_s: float) -> dict[str, Any]:
        """Run it and pass on what it shows; returns how it ended.

        Raises:
            StreamReset, ChannelClosed: the host gave up; the cell was interrupted.
        """
        process = self._process
        try:
            try:
                async with asyncio.timeout(deadline_s):
                    await process.send(self._request)
                    return await self._follow(stream)
            except TimeoutError:
                await self._wind_down()
                return {"status": "timeout", "restarted": self.over}
            except (StreamReset, ChannelClosed, asyncio.CancelledError):
                await self._wind_down()
                raise
        except ContextLost as lost:
            self.over = True
            return await self._crashed(str(lost), stream)

    async def _follow(self, stream: Stream) -> dict[str, Any]:
        process = self._process
        with stream.calling(process.ready.set):
            while True:
                stream.check()
                process.ready.clear()
                message = process.next_message()
                if message is None:
                    if not await process.move_output(stream, everything=False):
                        await process.ready.wait()
                    continue
                # What was printed before this message is in the pipes by now.
                await process.move_output(stream, everything=True)
                if "display" in message:
                    await stream.send(DISPLAY, _display(message))
                if "done" in message:
                    return _outcome(message["done"])
                if "display" in message:
                    await process.send({"shown": 1})

    async def _wind_down(self) -> None:
        """Interrupt it and wait for its end; where that does not come, its process must go."""
        self.over = True
        await self._process.interrupt()
        with contextlib.suppress(TimeoutError, ContextLost):
            async with asyncio.timeout(_GRACE_S):
                await self._process.settled()
                self.over = False

    async def _crashed(self, why: str, stream: Stream) -> dict[str, Any]:
        for _ in range(4):
            if not await self._process.move_output(stream, everything=True):
                break
        # One that closed its line may live on: it is given a moment to end by itself.
        ending = await self._process.how_it_ended()
        self._process.kill()
        error = {"name": "InterpreterCrashed", "value": ending or why, "traceback": ""}
        return {"status": "crashed", "error": error, "restarted": True}


def _outcome(done: Any) -> dict[str, Any]:
    if not isinstance(done, dict) or done.get("status") not in ("ok", "error"):
        raise ContextLost("it sent an outcome that is none")
    if done["status"] == "ok":
        return {"status": "ok"}
    error = done.get("error")
    if not isinstance(error, dict):
        raise ContextLost("it sent an error that is none")
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
    text, keep = whole, min(len(whole), most)
    while len(text) > most or len(json.dumps(text)) > most:
        keep //= 2
        head, tail = whole[: keep // 2], whole[len(whole) - keep // 2 :]
        text = f"{head}\n… [clipped: {len(whole)} characters] …\n{tail}"
    return text


def _display(message: dict[str, Any]) -> bytes:
    """A display as it goes to the host. What the host would end the machine for ends the context:
    whoever lies here is a person's code, not the agent.
    """
    bundle = message["display"]
    if not isinstance(bundle, dict) or len(bundle) > _MAX_TYPES:
        raise ContextLost("it sent a display that is none")
    for mime, text in bundle.items():
        # The two types that nearly every display has cost no regular expression in a fresh clone.
        known = mime in ("text/plain", "text/html") or _MIME.fullmatch(mime)
        if not known or not isinstance(text, str):
            raise ContextLost("it sent a display with a type that is none")
    place, change = message.get("id", ""), message.get("change", "new")
    if not isinstance(place, str) or len(place) > _MAX_ID or change not in _CHANGES:
        raise ContextLost("it sent a display whose place is none")
    record = {"data": bundle, "main": "done" in message or message.get("main") is True}
    if place or change != "new":
        record |= {"id": place, "change": change}
    payload = json.dumps(record).encode()
    return _LENGTH.pack(len(payload)) + payload
