"""What a file is: the facts that `stat` and `list` tell, and walking a tree for them.

Pure but for reading: nothing here changes anything. Called with the person's user id in effect.
"""

import os
import re
import stat
from collections.abc import Iterator
from typing import Any

from forge_guest.linux import open_in_root
from forge_guest.refusal import Refused

MAX_ENTRIES = 10_000
ATTRIBUTE = "user.forge."
"""Before each name of metadata, as an extended attribute of the file."""

_MAX_METADATA = 4096
_NAMES_SIZE = 256 * 1024
_KEY = re.compile(r"[a-z0-9._-]{1,64}")
_NAME = re.compile(r"[!-~]{1,64}")


class Names:
    """The template's names of users and groups, as they are now."""

    def __init__(self, root: int) -> None:
        self.root = root
        self._users = _names(root, b"/etc/passwd")
        self._groups = _names(root, b"/etc/group")

    def owner(self, uid: int) -> str:
        """A user's name, or its number."""
        return self._users.get(uid, str(uid))

    def group(self, gid: int) -> str:
        """A group's name, or its number."""
        return self._groups.get(gid, str(gid))


def _names(root: int, path: bytes) -> dict[int, str]:
    try:
        fd = open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return {}
    try:
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
        text = os.read(fd, _NAMES_SIZE).decode("utf-8", "replace") if regular else ""
    finally:
        os.close(fd)
    found: dict[int, str] = {}
    for line in text.splitlines():
        name, _, number, *_ = [*line.split(":"), "", "", ""]
        if _NAME.fullmatch(name) and number.isdigit() and len(number) < 11:
            found.setdefault(int(number), name)
    return found


def facts(folder: int, name: bytes, full: bytes, names: Names) -> dict[str, Any]:
    """What is true of one entry of an open folder; symlinks are not followed.

    Raises:
        OSError: it is not there.
    """
    found = os.lstat(name, dir_fd=folder)
    kind = kind_of(found.st_mode)
    told: dict[str, Any] = {
        "path": os.fsdecode(full),
        "kind": kind,
        "size": found.st_size,
        "mode": stat.S_IMODE(found.st_mode),
        "modified": found.st_mtime,
        "owner": names.owner(found.st_uid),
        "group": names.group(found.st_gid),
    }
    if kind == "symlink":
        told["target"] = os.fsdecode(os.readlink(name, dir_fd=folder))
        told["target_kind"] = _leads_to(names.root, full)
    elif kind in ("file", "directory"):
        told["metadata"] = metadata(folder, name)
    return told


def _leads_to(root: int, path: bytes) -> str | None:
    try:
        fd = open_in_root(root, path, os.O_PATH)
    except OSError:
        return None
    try:
        return kind_of(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def kind_of(mode: int) -> str:
    """What a mode says a file is."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(mode) else "other"


def metadata(folder: int, name: bytes) -> dict[str, str]:
    """What was kept with a file when it was written."""
    found: dict[str, str] = {}
    left = _MAX_METADATA
    # The agent's own /proc: a path to an entry of an open folder, its last part not followed.
    path = b"/proc/self/fd/%d/" % folder + name
    try:
        for key in os.listxattr(path, follow_symlinks=False):
            short = key.removeprefix(ATTRIBUTE)
            if short == key or not _KEY.fullmatch(short):
                continue
            value = os.getxattr(path, key, follow_symlinks=False)
            left -= len(value)
            if left >= 0:
                found[short] = value.decode("utf-8", "replace").replace("\0", "\ufffd")
    except OSError:
        return found  # gone, or a file system without attributes
    return found


def walk(fd: int, path: bytes, depth: int, names: Names) -> Iterator[dict[str, Any]]:
    """The facts of everything in an open folder, `depth` levels deep.

    Raises:
        Refused: one folder alone holds too many entries.
        OSError: it cannot be read.
    """
    with os.scandir(fd) as found:
        here: list[bytes] = []
        for entry in found:
            here.append(os.fsencode(entry.name))
            if len(here) > MAX_ENTRIES:
                raise Refused("refused", f"it holds more than {MAX_ENTRIES} entries")
    for name in here:
        try:
            entry_facts = facts(fd, name, path + b"/" + name, names)
        except FileNotFoundError:
            continue
        yield entry_facts
        if entry_facts["kind"] == "directory" and depth > 1:
            yield from _descend(fd, name, path + b"/" + name, depth - 1, names)


def _descend(
    fd: int, name: bytes, full: bytes, depth: int, names: Names
) -> Iterator[dict[str, Any]]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        below = os.open(name, flags, dir_fd=fd)
    except (PermissionError, FileNotFoundError, NotADirectoryError):
        return
    try:
        yield from walk(below, full, depth, names)
    finally:
        os.close(below)
