"""Lays an image's layers over each other, in memory: nothing of an image is unpacked on the host.

Layers are archives from anywhere. Unpacking them on a disk means to trust that no entry leads out,
that no link is followed, that no owner, device or set-user-id file matters there. Here a layer only
changes a tree of names; what a file holds stays in its layer until the root is written
(`writing`), from one stream to the next. So the same steps work with and without root, and an
attack has nothing to hit.

What layers mean is what OCI's image specification says: an entry replaces what had its name, a
folder keeps what is in it, `.wh.NAME` removes a name of the layers below, `.wh..wh..opq` all of a
folder's. Names lead through symlinks as they would in the finished root, and never above it.
Devices and sockets are left out: a machine makes its own.
"""

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from forge.errors import SourceRefused

_WHITEOUT, _OPAQUE, _AUFS = ".wh.", ".wh..wh..opq", ".wh..wh."
_MAX_NAME = 255
_MAX_PATH = 4096
_MAX_HOPS = 40
_MAX_READ = 1 << 20  # a header that claims more is a bomb: tarfile reads it into memory whole
_MAX_ID = 0xFFFF_FFFE
_MAX_TIME = 0x7FFF_FFFF


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an image may hold: bytes of files as they unpack, and entries of its layers."""

    size: int
    entries: int


@dataclass(frozen=True, slots=True)
class Meta:
    """What every node has."""

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0


@dataclass(slots=True)
class File:
    """A file: bytes of its own, or a member of a layer. Two names of one file share one node."""

    meta: Meta
    size: int
    layer: Path | None = None
    member: tarfile.TarInfo | None = None
    content: bytes = b""


@dataclass(slots=True)
class Link:
    """A symlink."""

    meta: Meta
    target: str


@dataclass(slots=True)
class Pipe:
    """A FIFO."""

    meta: Meta


@dataclass(slots=True)
class Folder:
    """A folder."""

    meta: Meta = Meta(0o755)
    names: "dict[str, Node]" = field(default_factory=dict)


Node = File | Link | Pipe | Folder


class Tree:
    """A root, layer upon layer."""

    def __init__(self, bounds: Bounds) -> None:
        self.root = Folder()
        self._bounds = bounds
        self._entries = self._size = 0

    def apply(self, layer: Path) -> None:
        """Lay one layer, an uncompressed tar, over what is there.

        Raises:
            SourceRefused: it is no tar, too large, or holds a name that leads out of the root.
        """
        try:
            for member in _members(layer):  # what it removes is of the layers below, so first
                self._count()
                self._remove(member)
            for member in _members(layer):
                self._add(layer, member)
        except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
            raise SourceRefused(f"a layer of the image is not a proper archive: {error}") from error

    def find(self, path: str) -> Node | None:
        """What a path leads to in the finished root, symlinks followed; None where nowhere."""
        return self._walk(path)

    def at(self, path: str) -> Node | None:
        """What stands at a path, symlinks not followed at its last step."""
        folder, _, name = path.rpartition("/")
        parent = self._walk(folder)
        return parent.names.get(name) if isinstance(parent, Folder) else None

    def put(self, path: str, node: Node) -> None:
        """Put a node at a path in place of what is there; its folder must be real."""
        folder, _, name = path.rpartition("/")
        parent = self._walk(folder)
        assert isinstance(parent, Folder)
        parent.names[name] = node

    def folder(self, path: str, meta: Meta) -> None:
        """See to it that a real folder is there, no symlink or file, with this owner and mode."""
        node = self.at(path)
        if isinstance(node, Folder):
            node.meta = meta
        else:
            self.put(path, Folder(meta))

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """Every node but the root with its path, each folder before what is in it."""
        waiting: list[tuple[str, Node]] = [("", self.root)]
        while waiting:
            path, node = waiting.pop()
            if path:
                yield path, node
            if isinstance(node, Folder):
                below = f"{path}/" if path else ""
                waiting.extend(
                    (f"{below}{name}", node.names[name])
                    for name in sorted(node.names, reverse=True)
                )

    def _count(self) -> None:
        self._entries += 1
        if self._entries > self._bounds.entries:
            raise SourceRefused(
                f"the image is too large: its layers hold more than {self._bounds.entries:,} files",
                hint="Leave out of it what a machine does not need.",
            )

    def _remove(self, member: tarfile.TarInfo) -> None:
        *above, name = _steps(member.name) or [""]
        if not name.startswith(_WHITEOUT):
            return
        parent = self._walk("/".join(above))
        if not isinstance(parent, Folder):
            return
        if name == _OPAQUE:
            parent.names.clear()
        elif not name.startswith(_AUFS):
            parent.names.pop(name.removeprefix(_WHITEOUT), None)

    def _add(self, layer: Path, member: tarfile.TarInfo) -> None:
        steps = _steps(member.name)
        if not steps:
            if member.isdir():
                self.root.meta = _meta(member)
            return
        if any(step.startswith(_WHITEOUT) for step in steps):
            return
        node = self._node(layer, member)
        if node is None:
            return
        parent = self._parent(steps[:-1])
        there = parent.names.get(steps[-1])
        if isinstance(node, Folder) and isinstance(there, Folder):
            there.meta = node.meta
        else:
            parent.names[steps[-1]] = node

    def _node(self, layer: Path, member: tarfile.TarInfo) -> Node | None:
        meta = _meta(member)
        if member.isdir():
            return Folder(meta)
        if member.issym():
            return Link(meta, _text(member.linkname))
        if member.islnk():
            return self._linked(member)
        if member.isfile():
            self._size += member.size
            if member.size < 0 or self._size > self._bounds.size:
                raise SourceRefused(
                    f"the image is too large: it unpacks to more than "
                    f"{self._bounds.size >> 20:,} MiB",
                    hint="Leave out of it what a machine does not need.",
                )
            return File(meta, member.size, layer, member)
        return Pipe(meta) if member.isfifo() else None

    def _linked(self, member: tarfile.TarInfo) -> Node:
        steps = _steps(member.linkname)
        node = self.at("/".join(steps)) if steps else None
        if node is None or isinstance(node, Folder):
            raise SourceRefused(
                f"the image has a hard link {member.name[:200]!r} to what is not in it"
            )
        return node

    def _parent(self, steps: list[str]) -> Folder:
        """The folder an entry goes into; what is missing of it is made."""
        folder = self.root
        for done, step in enumerate(steps, 1):
            there = folder.names.get(step)
            if isinstance(there, Link):
                there = self._walk("/".join(steps[:done]))
            if not isinstance(there, Folder):
                there = Folder()
                folder.names[step] = there
            folder = there
        return folder

    def _walk(self, path: str) -> Node | None:
        """Follow a path as the kernel would with this root; `..` of the root is the root."""
        left = _reversed_steps(path)
        trail: list[Folder] = [self.root]
        node: Node | None = self.root
        hops = 0
        while left:
            step = left.pop()
            if step == "..":
                del trail[max(1, len(trail) - 1) :]
                node = trail[-1]
                continue
            node = trail[-1].names.get(step)
            if isinstance(node, Folder):
                trail.append(node)
            elif isinstance(node, Link) and hops < _MAX_HOPS:
                hops += 1
                del trail[1 if node.target.startswith("/") else len(trail) :]
                left += _reversed_steps(node.target)
                node = trail[-1]
            elif isinstance(node, Link) or left:
                return None
        return node


def _reversed_steps(path: str) -> list[str]:
    return [step for step in reversed(path.split("/")) if step not in ("", ".")]


class _Careful:
    """A layer's file, for tarfile: no read takes more memory than an honest archive's would."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise ValueError(f"a header of {size} bytes")
        return self._file.read(size)


def _members(layer: Path) -> Iterator[tarfile.TarInfo]:
    if layer.stat().st_size == 0:
        return
    with (
        layer.open("rb") as file,
        tarfile.open(
            fileobj=cast("IO[bytes]", _Careful(file)),
            mode="r:",
            encoding="utf-8",
            errors="surrogateescape",
        ) as archive,
    ):
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # else it keeps them all
            yield member


def _steps(name: str) -> list[str]:
    steps = [step for step in _text(name).split("/") if step not in ("", ".")]
    if ".." in steps:
        raise SourceRefused(
            f"the image has an entry {name[:200]!r} that leads out of its root",
            hint="Such an image is damaged or hostile; do not use it.",
        )
    if any(len(step.encode("utf-8", "surrogateescape")) > _MAX_NAME for step in steps):
        raise SourceRefused("the image has a file name of more than 255 bytes")
    return steps


def _text(name: str) -> str:
    if "\0" in name or len(name.encode("utf-8", "surrogateescape")) > _MAX_PATH:
        raise SourceRefused("the image has a path of more than 4096 bytes, or with a NUL in it")
    return name


def _meta(member: tarfile.TarInfo) -> Meta:
    return Meta(
        mode=member.mode & 0o7777,
        uid=_bounded(member.uid, _MAX_ID),
        gid=_bounded(member.gid, _MAX_ID),
        mtime=_bounded(int(member.mtime), _MAX_TIME),
    )


def _bounded(value: int, most: int) -> int:
    return value if 0 <= value <= most else 0


def flatten(layers: Iterable[Path], bounds: Bounds) -> Tree:
    """All layers, lowest first, as one tree.

    Raises:
        SourceRefused: see `Tree.apply`.
    """
    tree = Tree(bounds)
    for layer in layers:
        tree.apply(layer)
    return tree
