"""Makes an image's root fit for a machine, and tells what is in it. Pure.

Whatever a person's image lacks or bends is put right here, before it becomes read-only: the places
where the agent mounts something or writes a fact must be what they seem, because the agent works
from outside the root, where a symlink in one of them would lead into the agent's own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from forge.errors import SourceRefused
from forge.sandbox.images.oci.tree import File, Folder, Link, Meta, Tree

FINISH = 1
"""Goes up whenever finishing makes something else of the same layers."""

_UID = _GID = 1000
_FOLDERS = (
    *(("proc", 0o555), ("sys", 0o555), ("dev", 0o755), ("run", 0o755), ("tmp", 0o1777)),
    *(("home", 0o755), ("root", 0o700)),
)
_FACTS = {
    "etc/hostname": b"forge\n",
    "etc/hosts": b"127.0.0.1 localhost forge\n",
    "etc/resolv.conf": b"# This machine has no network.\n",
    "etc/machine-id": b"",
}
_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_PASSWD = 1 << 20
_VERSION = re.compile(r"python3\.(\d{1,2})")
OLDEST_PYTHON = 11
"""The minor version of the oldest Python 3 that can be an interpreter."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a root holds: its shell for people, and its Python's version (None: it has none)."""

    shell: str
    python: str | None

    @property
    def interpreter(self) -> bool:
        """Whether its Python can run code contexts."""
        return self.python is not None and int(self.python.partition(".")[2]) >= OLDEST_PYTHON


def examine(tree: Tree, env: Mapping[str, str]) -> Found:
    """What there is to run.

    Raises:
        SourceRefused: there is no shell, so no command could be run.
    """
    if not _runs(tree, "bin/sh"):
        raise SourceRefused(
            "the image has no shell: /bin/sh is missing or not executable",
            hint="Start from an image that has one (not a distroless one, nor `FROM scratch`).",
        )
    shell = "/bin/bash" if _runs(tree, "bin/bash") else "/bin/sh"
    return Found(shell, _python(tree, env.get("PATH", _SEARCH)))


def _runs(tree: Tree, path: str) -> bool:
    node = tree.find(path)
    return isinstance(node, File) and bool(node.meta.mode & 0o111) and node.size > 0


def _python(tree: Tree, search: str) -> str | None:
    """The version of the `python3` that the search path leads to, by the name of its file."""
    for folder in search.split(":"):
        place = f"{folder.strip('/')}/python3"
        if not _runs(tree, place):
            continue
        node = tree.at(place)
        while isinstance(node, Link):
            match = _VERSION.search(node.target)
            if match:
                return f"3.{match[1]}"
            step = node.target
            place = (
                step.strip("/") if step.startswith("/") else f"{place.rpartition('/')[0]}/{step}"
            )
            following = tree.at(place)
            if following is node:
                break
            node = following
        parent = tree.find(place.rpartition("/")[0])
        same = parent.names if isinstance(parent, Folder) else {}
        # A file of that name, as a hard link or copy: its versioned twin stands beside it.
        minors = [int(match[1]) for name in same if (match := _VERSION.fullmatch(name))]
        return f"3.{max(minors)}" if minors else "3.0"
    return None


def finish(tree: Tree, found: Found) -> None:
    """Put the root right: folders for mounts, files for facts, a home and a name for the person.

    Raises:
        SourceRefused: its `/etc` is no folder.
    """
    etc = tree.at("etc")
    if etc is not None and not isinstance(etc, Folder):
        raise SourceRefused("the image cannot be used: its /etc is no folder")
    tree.root.meta = Meta(0o755)
    if etc is None:
        tree.put("etc", Folder())
    for path, mode in _FOLDERS:
        tree.folder(path, Meta(mode))
    tree.folder("home/user", Meta(0o755, _UID, _GID))
    for path, content in _FACTS.items():
        tree.put(path, _file(content, 0o644))
    _name_person(tree, found.shell)


def _file(content: bytes, mode: int) -> File:
    return File(Meta(mode), len(content), content=content)


def _name_person(tree: Tree, shell: str) -> None:
    _add_line(
        tree,
        "etc/passwd",
        b"root:x:0:0:root:/root:/bin/sh\n",
        f"user:x:{_UID}:{_GID}::/home/user:{shell}\n".encode(),
    )
    _add_line(tree, "etc/group", b"root:x:0:\n", f"user:x:{_GID}:\n".encode())


def _add_line(tree: Tree, path: str, empty: bytes, line: bytes) -> None:
    """Add the person to an account file, unless someone has their id or name already."""
    node = tree.at(path)
    if node is not None and not isinstance(node, File):
        return  # a symlink: whoever bent it may keep it; names are a comfort, no wall
    content = empty if node is None else read_file(node)
    taken = {tuple(entry.split(b":")[:3:2]) for entry in content.splitlines()}
    if any(len(each) > 1 and each[1] == b"1000" for each in taken):
        return
    if any(each and each[0] == b"user" for each in taken):
        return
    gap = b"" if not content or content.endswith(b"\n") else b"\n"
    tree.put(path, _file(content + gap + line, 0o644))


def read_file(node: File) -> bytes:
    """What a small file of the tree holds.

    Raises:
        SourceRefused: it is not small.
    """
    if node.size > _MAX_PASSWD:
        raise SourceRefused("the image cannot be used: its /etc/passwd or /etc/group is a giant")
    if node.layer is None or node.member is None:
        return node.content
    if node.member.sparse is not None:
        raise SourceRefused("the image cannot be used: its /etc/passwd or /etc/group has holes")
    with node.layer.open("rb") as file:
        file.seek(node.member.offset_data)
        return file.read(node.size)
