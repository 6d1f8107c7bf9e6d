"""What a person wishes for, checked before anything is made or spent."""

import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from forge.errors import InputRefused, PathRefused
from forge.events import Caps, FileFact
from forge.sandbox.base import SandboxSpec

LONGEST_PROMPT = 1_000_000
LONGEST_NAME = 255
"""Linux's own NAME_MAX, in bytes."""

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Upload:
    """A person's file: the name it gets in the machine, its size in bytes, and how to read it.

    `open` is called twice, to know the file and to send it, and each time gives it from the start.
    """

    name: str
    size: int
    open: Callable[[], AsyncGenerator[bytes, None]]


@dataclass(frozen=True, slots=True)
class RunWish:
    """A prompt, the files that go with it, what may be spent, and the machine it is done in."""

    prompt: str
    files: tuple[Upload, ...] = ()
    caps: Caps = field(default_factory=Caps)
    machine: SandboxSpec = field(default_factory=SandboxSpec)


async def checked(wish: RunWish) -> tuple[FileFact, ...]:
    """Check a wish and find out its files' digests.

    Raises:
        InputRefused: the prompt is empty, too long or not text; the files do not fit the machine's
            disk, share a name, or are not the size they were said to be.
        PathRefused: a file's name is not one plain name.
    """
    if not wish.prompt.strip():
        raise InputRefused("There is nothing asked: the prompt is empty.")
    if len(wish.prompt) > LONGEST_PROMPT:
        raise InputRefused(
            f"The prompt is {len(wish.prompt)} characters long; at most {LONGEST_PROMPT} can be "
            "asked. Give long text as a file."
        )
    _check_text(wish.prompt)
    _check_files(wish)
    return tuple([await _fact(upload) for upload in wish.files])


def check_name(name: str) -> None:
    """Refuse what is not one plain file name.

    Raises:
        PathRefused: it is empty, a path, `.` or `..`, too long, or not printable text.
    """
    shown = name if len(name) <= LONGEST_NAME else f"{name[:40]}…"
    if name in ("", ".", "..") or "/" in name:
        raise PathRefused(f"{shown!r} is not a plain file name.")
    # Surrogates (bytes that are not UTF-8), NUL, control and direction characters among them.
    if not name.isprintable():
        raise PathRefused(f"The file name {shown!r} holds characters that cannot be shown.")
    size = len(name.encode())
    if size > LONGEST_NAME:
        raise PathRefused(
            f"The file name {shown!r} is {size} bytes long; at most {LONGEST_NAME} are possible."
        )


def _check_text(prompt: str) -> None:
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise InputRefused("The prompt holds bytes that are not UTF-8 text.") from error


def _check_files(wish: RunWish) -> None:
    for upload in wish.files:
        check_name(upload.name)
    names = [upload.name for upload in wish.files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputRefused(f"More than one file is named {twice[0]!r}.")
    size, room = sum(upload.size for upload in wish.files), wish.machine.limits.disk_mib * _MIB
    if size > room:
        raise InputRefused(
            f"The files are {size} bytes; the machine's disk holds {room}.",
            hint="Give fewer or smaller files, or choose a machine with a larger disk.",
        )


async def _fact(upload: Upload) -> FileFact:
    digest, size = hashlib.sha256(), 0
    async with aclosing(upload.open()) as chunks:
        async for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            if size > upload.size:
                break
    if size != upload.size:
        raise InputRefused(f"The file {upload.name} changed while it was read.")
    return FileFact(name=upload.name, size=size, sha256=digest.hexdigest())
