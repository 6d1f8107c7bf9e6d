"""A person's own files on their way into a machine.

Only regular files are taken: a pipe or a device could keep a run waiting for ever. A file is opened
when it is read and closed when the reader is done; it is read in pieces, in another thread.
"""

import asyncio
import stat
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from forge.client.api import Client
from forge.client.said import FileLine
from forge.errors import InputRefused
from forge.runs.wish import Upload, check_name

_PIECE = 256 * 1024


def upload(path: Path) -> Upload:
    """The file at `path`, to be put in the machine under its own name.

    Raises:
        InputRefused: there is none, it may not be read, or it is not a regular file.
    """
    try:
        facts = path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(facts.st_mode):
        kind = "a folder" if stat.S_ISDIR(facts.st_mode) else "not a regular file"
        raise InputRefused(
            f"{path} is {kind}; only files can be given.",
            hint="Give each file by itself, or pack a folder into an archive first.",
        )

    async def opened() -> AsyncGenerator[bytes, None]:
        try:
            with path.open("rb") as file:
                while piece := await asyncio.to_thread(file.read, _PIECE):
                    yield piece
        except OSError as error:
            raise _unreadable(path, error) from error

    return Upload(path.name, facts.st_size, opened)


def uploads(paths: Sequence[Path]) -> tuple[Upload, ...]:
    """Every file.

    Raises:
        InputRefused: as in `upload`.
    """
    return tuple(upload(path) for path in paths)


async def give(client: Client, given: Upload, conversation_id: str = "") -> FileLine:
    """Give the server a file, of a conversation where one is named; returns it as it is kept.

    Raises:
        InputRefused: it cannot be read, or changed while it was.
        PathRefused: its name is not one plain name.
        ForgeError: the server refuses it, or cannot be reached.
    """
    check_name(given.name)
    async with aclosing(given.open()) as pieces:
        kept = await client.files.put(given.name, pieces, conversation_id)
    if kept.size != given.size:
        raise InputRefused(f"The file {given.name} changed while it was read.")
    return kept


def _unreadable(path: Path, error: OSError | ValueError) -> InputRefused:
    reason = error.strerror if isinstance(error, OSError) else "its name holds NUL"
    return InputRefused(
        f"The file {str(path)[:200]!r} cannot be read: {reason}.",
        hint="Check the name, and that you may read it.",
    )
