"""Writes a tree as one tar, from its layers to whoever makes the root: the only time files move.

What is written is made here, entry by entry, of what was checked; no header of a layer goes
through.
"""

import tarfile
from pathlib import Path
from typing import IO

from forge.errors import SourceRefused
from forge.sandbox.images.oci.tree import File, Folder, Link, Node, Pipe, Tree


def write(tree: Tree, target: IO[bytes], newest: int) -> None:
    """Write a tree as one tar, in order of its names, no file newer than `newest`.

    Raises:
        SourceRefused: a layer changed, or ends inside a file.
        OSError: the target cannot be written.
    """
    layers: dict[Path, IO[bytes]] = {}
    written: dict[int, str] = {}
    try:
        with tarfile.open(
            fileobj=target,
            mode="w",
            format=tarfile.GNU_FORMAT,
            encoding="utf-8",
            errors="surrogateescape",
        ) as archive:
            for path, node in tree.nodes():
                info = _info(path, node, newest)
                if isinstance(node, File):
                    first = written.setdefault(id(node), path)
                    if first != path:
                        info.type, info.linkname, info.size = tarfile.LNKTYPE, first, 0
                        archive.addfile(info)
                    else:
                        _write_file(archive, info, node, layers)
                else:
                    archive.addfile(info)
                archive.members = []  # type: ignore[attr-defined]  # else it keeps them all
    finally:
        for file in layers.values():
            file.close()


def _write_file(
    archive: tarfile.TarFile, info: tarfile.TarInfo, node: File, layers: dict[Path, IO[bytes]]
) -> None:
    if node.layer is None or node.member is None:
        archive.addfile(info, _Bytes(node.content))
        return
    file = layers.get(node.layer)
    if file is None:
        file = layers[node.layer] = node.layer.open("rb")
    try:
        archive.addfile(info, tarfile.ExFileObject(_Source(file), node.member))  # type: ignore[arg-type]
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise SourceRefused(f"a layer of the image ends inside {info.name[:200]!r}") from error


class _Source:
    """What `tarfile.ExFileObject` needs of an archive: the file it lies in."""

    def __init__(self, file: IO[bytes]) -> None:
        self.fileobj = file


class _Bytes:
    """Bytes as a file that is read once."""

    def __init__(self, content: bytes) -> None:
        self._left = memoryview(content)

    def read(self, size: int = 0, /) -> bytes:
        piece, self._left = self._left[:size], self._left[size:]
        return bytes(piece)


def _info(path: str, node: Node, newest: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    meta = node.meta
    info.mode, info.uid, info.gid = meta.mode, meta.uid, meta.gid
    info.mtime = min(meta.mtime, newest)
    if isinstance(node, Folder):
        info.type = tarfile.DIRTYPE
    elif isinstance(node, Link):
        info.type, info.linkname = tarfile.SYMTYPE, node.target
    elif isinstance(node, Pipe):
        info.type = tarfile.FIFOTYPE
    else:
        info.size = node.size
    return info
