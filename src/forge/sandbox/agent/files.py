"""`sandbox.files` over the wire."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from forge.errors import FileNotFound, GuestRefused, PathRefused
from forge.sandbox.agent import answers, deadlines
from forge.sandbox.agent.call import Call, Line
from forge.sandbox.files import MAX_PATH_BYTES, FileInfo
from forge_guest.wire.session import Data

_CONTENT = 1


class AgentFiles:
    """See `forge.sandbox.files.Files` for the contract."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def write(self, path: str, content: AsyncIterator[bytes]) -> int:
        """See `forge.sandbox.files.Files.write`."""
        check_path(path)
        async with Call(
            self._line, {"verb": "write", "path": path}, deadlines.STALL_S, stall=True
        ) as call:
            try:
                async for piece in content:
                    await call.send_piece(piece)
                await call.finish()
                reply = await call.final()
            except FileNotFound as error:
                raise GuestRefused(error.message) from error
        return call.checked(answers.size, reply)

    async def read(self, path: str, *, limit: int) -> AsyncGenerator[bytes, None]:
        """See `forge.sandbox.files.Files.read`."""
        check_path(path)
        request = {"verb": "read", "path": path, "limit": limit}
        left = limit
        async with (
            Call(self._line, request, deadlines.STALL_S, fin=True, stall=True) as call,
            aclosing(call.items()) as items,
        ):
            async for item in items:
                if isinstance(item, Data):
                    left -= len(item.data)
                    if left < 0 or item.lane != _CONTENT:
                        raise self._line.violated(
                            "a file that is larger than the limit, or is none"
                        )
                    yield item.data

    async def list(self, path: str, *, depth: int = 1) -> tuple[FileInfo, ...]:
        """See `forge.sandbox.files.Files.list`."""
        check_path(path)
        listing = bytearray()
        request = {"verb": "list", "path": path, "depth": depth}
        async with (
            Call(self._line, request, deadlines.STALL_S, fin=True, stall=True) as call,
            aclosing(call.items()) as items,
        ):
            async for item in items:
                if isinstance(item, Data):
                    listing += item.data
                    if len(listing) > answers.MAX_LISTING or item.lane != _CONTENT:
                        raise self._line.violated("a listing without end, or that is none")
        return call.checked(answers.listing, bytes(listing))


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
