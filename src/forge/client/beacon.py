"""Where the server of this home folder is: a file that it writes and the terminal commands read.

    server.json: {"url": …, "owner": …, "key": …}, for its owner alone

The key is made at each start and lets in whoever may read the file: the one whose folder it is, who
owns the database beside it too. The file is removed at the end; one that a crash left behind names
a process that is gone, and is not believed.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from forge.client.wire import Place

_LONGEST = 4096


class Beacon(BaseModel):
    """What the file says. `owner` names the process so that no later one passes for it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    owner: str
    key: str


def new_key() -> str:
    """A key for one start of a server."""
    return f"fgl_{secrets.token_urlsafe(32)}"


@contextlib.contextmanager
def lit(home: Path, beacon: Beacon) -> Iterator[None]:
    """Say where the server is until the block is left."""
    path = _path(home)
    partial = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w") as file:  # noqa: PTH123  (a descriptor, no path)
        file.write(beacon.model_dump_json())
    partial.replace(path)
    try:
        yield
    finally:
        # Only our own: another server of this folder may have come since.
        if read(home) == beacon:
            path.unlink(missing_ok=True)


def read(home: Path) -> Beacon | None:
    """What the file says; None where there is none, or none that only its owner could write."""
    try:
        descriptor = os.open(_path(home), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123  (a descriptor, no path)
        facts = os.fstat(descriptor)
        private = facts.st_uid == os.geteuid() and not facts.st_mode & 0o077
        if not (stat.S_ISREG(facts.st_mode) and private):
            return None
        text = file.read(_LONGEST)
    try:
        return Beacon.model_validate_json(text)
    except ValidationError:
        return None


def place(home: Path, lives: Callable[[str], bool]) -> Place | None:
    """Where the running server of this folder is; None where none runs. `lives` says whether the
    process that an owner names is there still.
    """
    beacon = read(home)
    if beacon is None or not lives(beacon.owner):
        return None
    return Place(beacon.url, beacon.key, local=True)


def _path(home: Path) -> Path:
    return home / "server.json"
