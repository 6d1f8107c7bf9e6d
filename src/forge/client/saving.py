"""Bytes of a server into a new file, as many as were promised and no more."""

import errno
from pathlib import Path

from forge.client.said import DIGEST
from forge.client.wire import Wire
from forge.errors import HostUnfit, NoSpace, ServerForeign


async def save(wire: Wire, path: str, sha256: str, size: int, target: Path) -> None:
    """What is at an address of the server, into a new file; at most `size` bytes are taken.

    Raises:
        ServerForeign: there are more, or that is no digest.
        NoSpace, HostUnfit: the file cannot be written.
        ForgeError: the server refuses, or cannot be reached.
    """
    if not DIGEST.fullmatch(sha256):
        raise ServerForeign(f"{sha256[:80]!r} is not a digest.")
    left = size
    async with wire.stream("GET", path) as pieces:
        try:
            with target.open("xb") as file:
                async for piece in pieces:
                    left -= len(piece)
                    if left < 0:
                        raise ServerForeign("The server sent more than the file has.")
                    file.write(piece)
        except OSError as error:
            kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else HostUnfit
            raise kind(f"{target} cannot be written: {error.strerror}.") from error
