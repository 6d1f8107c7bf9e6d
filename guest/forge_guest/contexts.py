"""The verbs of code: contexts made, listed, used, interrupted, restarted and removed.

A context is a place with a name that keeps a language, a folder and a count; the process behind it
may end and be replaced. One task at a time uses a context's process (its `turn`); whoever restarts
or removes it kills the process, and the call that used it reports the end.

Two contexts are there from the start: `default` (Python, its process forked before the template is
saved) and, where the template has Node, `javascript`, whose process starts with its first cell.
"""

import asyncio
import re
import time
from typing import Any

from forge_guest.cells import Cell
from forge_guest.context_process import ContextProcess
from forge_guest.mounts import HOME
from forge_guest.processes import Reaper
from forge_guest.refusal import Refused, Verb
from forge_guest.starters import Node, Starter, Zygote
from forge_guest.wire.channel import Stream
from forge_guest.wire.session import Data

MAX_CODE = 4 * 1024 * 1024
MAX_CONTEXTS = 16
MAX_FOLDER = 512  # bytes: all contexts are told in one message
_PYTHON, _JAVASCRIPT = "python", "javascript"
_KEPT = ("default", _JAVASCRIPT)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Place:
    """One context: what stays while its process may be replaced."""

    def __init__(self, name: str, language: str, folder: str) -> None:
        self.name = name
        self.language = language
        self.folder = folder
        self.turn = asyncio.Lock()
        self.process: ContextProcess | None = None
        self.cells = 0
        self.ended_because = ""

    def facts(self) -> dict[str, Any]:
        """What is told of it."""
        return {
            "id": self.name,
            "language": self.language,
            "cwd": self.folder,
            "cells": self.cells,
            "busy": self.turn.locked(),
        }

    def end(self, why: str = "") -> None:
        """End its process; the call that uses it, if any, says why."""
        if self.process is not None:
            self.ended_because = why
            self.process.kill()
            if not self.turn.locked():
                self.drop()

    def drop(self) -> None:
        """Forget its process; a fresh one starts with the next cell."""
        if self.process is not None:
            self.process.close()
            self.process = None


class Interpreter:
    """The contexts of this machine; lives as long as it."""

    def __init__(self, reaper: Reaper) -> None:
        self._reaper = reaper
        self._starters: dict[str, Starter] = {}
        self._places: dict[str, Place] = {}
        self._variables: dict[str, str | None] = {}

    def verbs(self) -> dict[str, Verb]:
        """What is answered here."""
        return {
            "code": self.run,
            "contexts": self.tell,
            "create_context": self.create,
            "interrupt_context": self.interrupt,
            "restart_context": self.restart,
            "remove_context": self.remove,
        }

    async def start(self, preload: list[str], env: dict[str, str]) -> list[str]:
        """Start the zygote and the default contexts; returns what could not be preloaded.

        Raises:
            Refused: the template has no Python, or it does not start.
        """
        zygote = Zygote(self._reaper, env)
        failures = await zygote.begin(preload)
        self._starters[_PYTHON] = zygote
        default = self._places["default"] = Place("default", _PYTHON, HOME)
        default.process = await zygote.start(HOME, rehearse=True)
        node = Node(self._reaper, env)
        if node.there():
            self._starters[_JAVASCRIPT] = node
            self._places[_JAVASCRIPT] = Place(_JAVASCRIPT, _JAVASCRIPT, HOME)
        return failures

    def restored(self, variables: dict[str, str]) -> None:
        """Have every context renew its random numbers before the next cell it runs, and take these
        variables in place of those that an earlier restore brought.

        A context takes requests in order, so no cell can run before; one that fails at it ends.
        The zygote draws none, and a context forked from it renews its own at once.
        """
        self._variables = dict.fromkeys(self._variables) | variables
        for place in self._places.values():
            if place.process is not None:
                place.process.stale = True

    async def run(self, stream: Stream) -> None:
        """Answer one `code` request.

        Raises:
            Refused: there is no such context, or its process does not start.
        """
        place = self._place(stream)
        rehearsal = stream.request.get("rehearsal") is True
        if rehearsal and place.language != _PYTHON:
            raise Refused("refused", "a rehearsal is Python's alone")
        code = await _receive_code(stream)
        async with place.turn:
            process = await self._running(place)
            place.cells += not rehearsal
            started = time.monotonic()
            renew, process.stale = self._variables if process.stale else None, False
            env = _environment(stream.request)
            cell = Cell(process, {"run": code, "renew": renew, "env": env, "rehearsal": rehearsal})
            try:
                final = await cell.attend(stream, float(stream.request["deadline_s"]))
            finally:
                if cell.over:
                    place.drop()
            if final["status"] == "crashed" and place.ended_because:
                final["error"]["value"] = place.ended_because
            final["duration_ms"] = (time.monotonic() - started) * 1000
            await stream.message(final, fin=True)

    async def tell(self, stream: Stream) -> None:
        """Answer `contexts`: all there are."""
        await stream.message(
            {"contexts": [place.facts() for place in self._places.values()]}, fin=True
        )

    async def create(self, stream: Stream) -> None:
        """Answer `create_context`; its process is there once this is answered.

        Raises:
            Refused: the name is taken or none, the language is unknown, the folder cannot be
                entered, or there are too many contexts.
        """
        request = stream.request
        name, language = str(request["context"]), str(request["language"])
        folder = str(request.get("cwd") or HOME)
        if not _NAME.fullmatch(name) or name in self._places:
            raise Refused("refused", "a context's name is taken, or none")
        if language not in self._starters:
            known = ", ".join(self._starters) or "none"
            raise Refused("refused", f"this template runs no {language[:40]}; it knows: {known}")
        if len(folder.encode("utf-8", "surrogateescape")) > MAX_FOLDER or "\0" in folder:
            raise Refused("refused", f"a context's folder has at most {MAX_FOLDER} bytes")
        if len(self._places) >= MAX_CONTEXTS:
            raise Refused("refused", f"there are {MAX_CONTEXTS} contexts already")
        place = self._places[name] = Place(name, language, folder)
        try:
            async with place.turn:
                await self._running(place)
        except BaseException:
            del self._places[name]
            raise
        await stream.message(place.facts(), fin=True)

    async def interrupt(self, stream: Stream) -> None:
        """Answer `interrupt_context`: what runs in it ends with an error, its variables stay.

        Raises:
            Refused: there is no such context.
        """
        place = self._place(stream)
        busy = place.turn.locked() and place.process is not None
        if busy and place.process is not None:
            await place.process.interrupt()
        await stream.message({"busy": busy}, fin=True)

    async def restart(self, stream: Stream) -> None:
        """Answer `restart_context`: what runs in it ends, and so do its variables.

        Raises:
            Refused: there is no such context.
        """
        place = self._place(stream)
        place.end("the context was restarted")
        async with place.turn:  # until the call that used it has said so
            place.ended_because = ""
            place.cells = 0
        await stream.message(place.facts(), fin=True)

    async def remove(self, stream: Stream) -> None:
        """Answer `remove_context`.

        Raises:
            Refused: there is no such context, or it is one of the defaults.
        """
        place = self._place(stream)
        if place.name in _KEPT:
            raise Refused("refused", f"the context {place.name} can be restarted, not removed")
        del self._places[place.name]
        place.end("the context was removed")
        await stream.message({"removed": True}, fin=True)

    def _place(self, stream: Stream) -> Place:
        if not self._starters:
            raise Refused("refused", "this template has no Python that can run code")
        name = str(stream.request.get("context") or "default")
        place = self._places.get(name)
        if place is None:
            raise Refused("not_found", f"there is no context {name[:64]!r}")
        return place

    async def _running(self, place: Place) -> ContextProcess:
        if self._places.get(place.name) is not place:
            raise Refused("not_found", f"the context {place.name} was removed")
        if place.process is None:
            place.process = await self._starters[place.language].start(place.folder)
            place.process.stale = bool(self._variables)
        return place.process


def _environment(request: dict[str, Any]) -> dict[str, str]:
    env = request.get("env") or {}
    return {str(name): str(value) for name, value in env.items()}


async def _receive_code(stream: Stream) -> str:
    code = bytearray()
    while (item := await stream.receive()) is not None:
        if isinstance(item, Data):
            code += item.data
            if len(code) > MAX_CODE:
                raise Refused("refused", f"code of more than {MAX_CODE} bytes")
    return code.decode("utf-8", "replace")
