"""The kernel part: Debian's cloud kernel, and an initrd that leads to the agent's root.

The initrd holds busybox, one script and the few modules a machine needs, each after those it
depends on, as the modules themselves say. It is written here, byte for byte the same each time.
"""

import gzip
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from forge.errors import ImageBuildFailed
from forge.sandbox.images.key import ROOT_KIND, read_script

PACKAGES = ("linux-image-cloud-amd64", "busybox-static")

_WANTED = (
    "virtio_ring",
    "virtio",
    "virtio_mmio",
    "virtio_blk",
    "virtio_console",
    "overlay",
    "virtio_rng",
    ROOT_KIND,
)
_VSOCK = ("vmw_vsock_virtio_transport",)
"""Loaded only by a machine that is told to wait for its host on vsock."""

_APPLETS = ("sh", "mount", "insmod", "cat", "usleep", "switch_root")
_FOLDERS = ("bin", "modules", "proc", "sys", "dev", "agent")
_DEPENDS = re.compile(rb"\0depends=([a-z0-9_,-]*)\0")


@dataclass(frozen=True, slots=True)
class KernelFiles:
    """What the Debian packages held: the kernel's release, its image, modules and busybox."""

    release: str
    vmlinuz: bytes
    modules: Mapping[str, bytes]
    busybox: bytes


def read_packages(tar: Path) -> KernelFiles:
    """Pick the kernel's files out of the tree that mmdebstrap wrote.

    Raises:
        ImageBuildFailed: something is missing from it.
    """
    found: dict[str, bytes] = {}
    modules: dict[str, bytes] = {}
    release = ""
    with tarfile.open(tar) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            if not member.isfile():
                continue
            if path.name.startswith("vmlinuz-"):
                release = path.name.removeprefix("vmlinuz-")
                found["vmlinuz"] = _content(archive, member)
            elif path.suffix == ".ko":
                modules[_module_name(path.stem)] = _content(archive, member)
            elif path.name == "busybox" and path.parent.name == "bin":
                found["busybox"] = _content(archive, member)
    missing = {"vmlinuz", "busybox"} - found.keys()
    if missing:
        raise ImageBuildFailed(f"Debian's packages held no {' and no '.join(sorted(missing))}")
    return KernelFiles(release, found["vmlinuz"], modules, found["busybox"])


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None  # it is a regular file
    return file.read()


def _module_name(stem: str) -> str:
    return stem.replace("-", "_")


def load_order(modules: Mapping[str, bytes], wanted: Iterable[str] = _WANTED) -> tuple[str, ...]:
    """The wanted modules and all they depend on, each after its dependencies.

    Raises:
        ImageBuildFailed: the kernel has no such module.
    """
    order: dict[str, None] = {}
    coming: set[str] = set()

    def take(name: str) -> None:
        if name in order:
            return
        if name in coming or name not in modules:
            raise ImageBuildFailed(f"the kernel's module {name} is missing or depends on itself")
        coming.add(name)
        match = _DEPENDS.search(modules[name])
        depends = match[1].decode() if match else ""
        for other in filter(None, depends.split(",")):
            take(_module_name(other))
        order[name] = None

    for name in wanted:
        take(name)
    return tuple(order)


def make_initrd(files: KernelFiles) -> bytes:
    """The initrd, compressed."""
    order = load_order(files.modules)
    vsock = [name for name in load_order(files.modules, _VSOCK) if name not in order]
    archive = Cpio()
    for folder in _FOLDERS:
        archive.folder(folder)
    archive.file("bin/busybox", files.busybox, executable=True)
    for applet in _APPLETS:
        archive.link(f"bin/{applet}", "busybox")
    archive.file("init", read_script("init.sh").encode(), executable=True)
    archive.file("root-kind", f"{ROOT_KIND}\n".encode())
    archive.file("modules/order", _lines(order))
    archive.file("modules/vsock", _lines(vsock))
    for name in (*order, *vsock):
        archive.file(f"modules/{name}.ko", files.modules[name])
    return gzip.compress(archive.finish(), compresslevel=9, mtime=0)


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


class Cpio:
    """Writes a cpio archive in the “newc” format, the kernel's own; all times are zero."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._count = 0

    def folder(self, name: str) -> None:
        """Add an empty folder."""
        self._entry(name, 0o040755, b"")

    def file(self, name: str, content: bytes, *, executable: bool = False) -> None:
        """Add a file."""
        self._entry(name, 0o100755 if executable else 0o100644, content)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._entry(name, 0o120777, target.encode())

    def finish(self) -> bytes:
        """The whole archive."""
        self._entry("TRAILER!!!", 0, b"")
        return b"".join(self._pieces)

    def _entry(self, name: str, mode: int, content: bytes) -> None:
        self._count += 1
        path = name.encode() + b"\0"
        fields = (self._count, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        self._pieces += [_padded(header + path), _padded(content)]


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 4)
