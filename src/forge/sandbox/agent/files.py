"""`sandbox.files` over the wire."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

from forge.errors import FileNotFound, GuestRefused, InputRefused, PathRefused
from forge.sandbox.agent import answers, deadlines, file_answers
from forge.sandbox.agent.call import Call, Line
from forge.sandbox.files import MAX_METADATA_BYTES, MAX_PATH_BYTES, FileEvent, FileInfo
from forge_guest.wire.session import Data

_CONTENT = 1
_UNSIZED = 64 * 1024 * 1024  # bytes: the most that an agent sends of a file without a size
_KEY = re.compile(r"[a-z0-9._-]{1,64}")


class AgentFiles:
    """See `forge.sandbox.files.Files` for the contract."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def write(
        self,
        path: str,
        content: AsyncIterator[bytes],
        *,
        mode: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        """See `forge.sandbox.files.Files.write`."""
        check_path(path)
        kept = dict(metadata or {})
        check_metadata(kept)
        request = {"verb": "write", "path": path, "mode": mode, "metadata": kept}
        sent = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal sent
            async for piece in content:
                sent += len(piece)
                yield piece

        if self._whole(await self._send(request, counted()), "size") != sent:
            raise self._line.violated("a file of another size than was sent")
        return sent

    async def read(self, path: str, *, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """See `forge.sandbox.files.Files.read`."""
        check_path(path)
        request = {"verb": "read", "path": path, "limit": limit}
        async with self._call(request) as call:
            said = call.checked(lambda value: answers.whole(value, "size"), await call.first())
            # What says that it is empty and is not, as in /proc, has no size to be held to.
            most = said or (_UNSIZED if limit is None else limit)
            left = most if limit is None else min(most, limit)
            async with aclosing(self._pieces(call)) as found:
                async for data in found:
                    left -= len(data)
                    if left < 0:
                        raise self._line.violated("a file that holds more than it may")
                    yield data

    async def stat(self, path: str) -> FileInfo:
        """See `forge.sandbox.files.Files.stat`."""
        check_path(path)
        async with self._call({"verb": "stat", "path": path}) as call:
            return call.checked(file_answers.entry, await call.final())

    async def list(self, path: str, *, depth: int = 1) -> tuple[FileInfo, ...]:
        """See `forge.sandbox.files.Files.list`."""
        check_path(path)
        async with self._call({"verb": "list", "path": path, "depth": depth}) as call:
            return call.checked(file_answers.listing, await call.listing())

    async def make(self, path: str) -> bool:
        """See `forge.sandbox.files.Files.make`."""
        check_path(path)
        return await self._flag({"verb": "make", "path": path}, "made")

    async def move(self, source: str, target: str) -> None:
        """See `forge.sandbox.files.Files.move`."""
        check_path(source)
        check_path(target)
        await self._flag({"verb": "move", "path": source, "target": target}, "moved")

    async def remove(self, path: str) -> bool:
        """See `forge.sandbox.files.Files.remove`."""
        check_path(path)
        return await self._flag({"verb": "remove", "path": path}, "removed")

    @asynccontextmanager
    async def watch(
        self, path: str, *, recursive: bool = False
    ) -> AsyncGenerator[AsyncIterator[FileEvent], None]:
        """See `forge.sandbox.files.Files.watch`."""
        check_path(path)
        request = {"verb": "watch", "path": path, "recursive": recursive}
        async with (
            aclosing(self._content(request)) as content,
            aclosing(self._lines(content)) as lines,
            aclosing(self._events(lines)) as events,
        ):
            if await anext(lines, None) != b"":
                raise self._line.violated("a watch that was not set")
            yield events

    async def pack(self, path: str) -> AsyncGenerator[bytes, None]:
        """See `forge.sandbox.files.Files.pack`."""
        check_path(path)
        async with aclosing(self._content({"verb": "pack", "path": path})) as content:
            async for data in content:
                yield data

    async def unpack(self, path: str, content: AsyncIterator[bytes]) -> int:
        """See `forge.sandbox.files.Files.unpack`."""
        check_path(path)
        return self._whole(await self._send({"verb": "unpack", "path": path}, content), "count")

    # -- calls -----------------------------------------------------------------------------------

    def _call(self, request: dict[str, Any], *, fin: bool = True) -> Call:
        return Call(self._line, request, deadlines.STALL_S, fin=fin, stall=True)

    async def _send(self, request: dict[str, Any], content: AsyncIterator[bytes]) -> dict[str, Any]:
        async with self._call(request, fin=False) as call:
            try:
                async for piece in content:
                    await call.send_piece(piece)
                await call.finish()
                return await call.final()
            except FileNotFound as error:
                raise GuestRefused(error.message) from error

    def _whole(self, reply: dict[str, Any], key: str) -> int:
        try:
            return answers.whole(reply, key)
        except answers.Malformed as error:
            raise self._line.violated(str(error)) from error

    async def _content(self, request: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        async with self._call(request) as call, aclosing(self._pieces(call)) as pieces:
            async for data in pieces:
                yield data

    async def _pieces(self, call: Call) -> AsyncGenerator[bytes, None]:
        async with aclosing(call.items()) as items:
            async for item in items:
                if isinstance(item, Data):
                    if item.lane != _CONTENT:
                        raise self._line.violated("content that is none")
                    yield item.data

    async def _flag(self, request: dict[str, Any], key: str) -> bool:
        async with self._call(request) as call:
            reply = await call.final()
            return call.checked(lambda value: answers.flag(value, key), reply)

    async def _lines(self, content: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        pending = bytearray()
        async for data in content:
            pending += data
            *lines, rest = bytes(pending).split(b"\n")
            if len(rest) > file_answers.MAX_LINE or any(
                len(line) > file_answers.MAX_LINE for line in lines
            ):
                raise self._line.violated("an event that is too large")
            pending = bytearray(rest)
            for line in lines:
                yield line

    async def _events(self, lines: AsyncIterator[bytes]) -> AsyncGenerator[FileEvent, None]:
        async for line in lines:
            if not line:
                continue  # a sign that the watch is still set
            try:
                event = file_answers.event(line)
            except answers.Malformed as error:
                raise self._line.violated(str(error)) from error
            yield event


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Refuse metadata that no file could keep.

    Raises:
        InputRefused: a name is impossible, a value is no text, or it is too much.
    """
    size = 0
    for key, value in metadata.items():
        if not _KEY.fullmatch(key):
            raise InputRefused(f"{key[:100]!r} cannot be a name of metadata: use a-z0-9._-")
        try:
            size += len(key) + len(value.encode())
        except UnicodeEncodeError as error:
            raise InputRefused(f"the metadata {key} is no text") from error
        if "\0" in value:
            raise InputRefused(f"the metadata {key} holds NUL")
    if size > MAX_METADATA_BYTES:
        raise InputRefused(f"metadata of {size} bytes; a file keeps {MAX_METADATA_BYTES}")


def check_path(path: str) -> None:
    """Refuse a path that no machine could use.

    Raises:
        PathRefused: it is empty, holds NUL, is too long, or is no text.
    """
    try:
        size = len(path.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as error:
        raise PathRefused("a path must be text, or bytes as surrogate escapes") from error
    if not path or "\0" in path or size > MAX_PATH_BYTES:
        raise PathRefused(
            f"a path must hold 1 to {MAX_PATH_BYTES} bytes and no NUL; this one has {size} bytes"
        )
