"""Templates: a machine booted and warmed once, saved, and cloned for every use.

    <home>/templates/<key>/
        memory          the machine's memory, shared copy-on-write by every clone
        state           its device state, about 64 KiB
        data.img        its writable disk, copied (sparse) for every clone
        manifest.json   sizes, digests and inode facts of the three

The key hashes everything that went in, so a template of another QEMU, image or size is never found.
Saving happens in a folder of another name that is renamed when complete.

A clone's QEMU must be able to open the memory for writing (QEMU 7.2 knows no other way), though it
maps it privately. So each use compares the file's change time, which nobody but the kernel sets,
with the manifest: a file that was written to since is hashed again, and refused if it differs.
"""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from forge.errors import HostUnfit, TemplateCorrupt, TemplateForeign
from forge.sandbox import records
from forge.sandbox.vmm import GID

VERSION = 1
KEPT = 4
"""How many templates stay: each takes some 300 MiB, and a new image or QEMU makes another."""

_FILES = ("memory", "state", "data.img")
_PIECE = 1024 * 1024
_MAKING_S = 400.0  # another process may be making the template, import by import

TICK_S = 0.02
"""How long the kernel may give two writes the same change time: two of its ticks, at 100 Hz."""


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What a file was when it was saved. Times are nanoseconds."""

    size: int
    sha256: str
    inode: int
    modified: int
    changed: int


@dataclass(frozen=True, slots=True)
class Template:
    """A saved machine, checked."""

    key: str
    folder: Path
    state: bytes

    @property
    def memory(self) -> Path:
        """The memory file."""
        return self.folder / "memory"

    @property
    def data(self) -> Path:
        """The writable disk as it was when saved."""
        return self.folder / "data.img"


def template_key(parts: dict[str, object]) -> str:
    """The key of everything that goes in: 32 hex digits."""
    text = json.dumps({"version": VERSION, **parts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def seal(folder: Path, key: str) -> None:
    """Make a folder of saved files durable and write its manifest."""
    memory = folder / "memory"
    if os.geteuid() == 0:
        os.chown(memory, 0, GID)
        memory.chmod(0o660)
    # A change in the same tick as the last write would keep its change time, and not be noticed.
    time.sleep(TICK_S)
    stamps = {}
    for name in _FILES:
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())
        stamps[name] = asdict(_stamp(folder / name, digest(folder / name)))
    manifest = folder / "manifest.json"
    with manifest.open("w") as file:
        json.dump({"version": VERSION, "key": key, "files": stamps}, file)
        file.flush()
        os.fsync(file.fileno())


def find(templates: Path, key: str) -> Template | None:
    """The template of this key, if it was saved.

    Raises:
        TemplateCorrupt: it was saved and is not what was saved.
        TemplateForeign: it was saved for something else.
    """
    folder = templates / key
    if not folder.is_dir():
        return None
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        stamps = {name: FileStamp(**manifest["files"][name]) for name in _FILES}
        if manifest["key"] != key or manifest["version"] != VERSION:
            raise TemplateForeign(f"template {key} was saved under another name or version")
        state = (folder / "state").read_bytes()
        for name, stamp in stamps.items():
            _check(folder / name, stamp)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TemplateCorrupt(f"template {key} cannot be read: {error}") from error
    os.utime(folder)  # the last use, for `sweep`
    return Template(key, folder, state)


def remove(templates: Path, key: str) -> None:
    """Remove a template."""
    shutil.rmtree(templates / key, ignore_errors=True)


def remove_abandoned(templates: Path) -> None:
    """Remove what processes that no longer live left half-made."""
    records.remove_half_made(templates)


def half_made(templates: Path, key: str) -> Path:
    """Where this process makes a template until it is whole."""
    return records.half_made(templates, key)


def sweep(templates: Path) -> int:
    """Remove all but the templates used last; returns how many went.

    A machine that runs keeps its template's memory open, so it is not disturbed.
    """
    kept = [folder for folder in templates.iterdir() if (folder / "manifest.json").is_file()]
    stale = sorted(kept, key=lambda folder: folder.stat().st_mtime_ns, reverse=True)[KEPT:]
    for folder in stale:
        shutil.rmtree(folder, ignore_errors=True)
    return len(stale)


def digest(path: Path, check: Callable[[], None] = lambda: None) -> str:
    """SHA-256 over a sparse file's data and where it stands; `check` may end it by raising."""
    total = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        for start, end in extents(file.fileno()):
            total.update(f"{start}:{end};".encode())
            file.seek(start)
            left = end - start
            while left and (data := file.read(min(_PIECE, left))):
                total.update(data)
                left -= len(data)
                check()
    return total.hexdigest()


def extents(fd: int) -> Iterator[tuple[int, int]]:
    """Where a sparse file has data: pairs of start and end offsets in bytes."""
    end, size = 0, os.fstat(fd).st_size
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError:
            return  # ENXIO: nothing but a hole is left
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file, leaving its holes holes.

    Raises:
        OSError: the host cannot write it.
    """
    with source.open("rb", buffering=0) as read, target.open("xb", buffering=0) as write:
        os.ftruncate(write.fileno(), os.fstat(read.fileno()).st_size)
        for start, end in extents(read.fileno()):
            _copy_range(read.fileno(), write.fileno(), start, end)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    done = start
    while done < end:
        try:
            done += os.copy_file_range(source, target, end - done, done, done)
        except OSError as error:
            if error.errno != errno.EXDEV:  # between file systems the kernel copies in another way
                raise
            os.lseek(target, done, os.SEEK_SET)
            done += os.sendfile(target, source, done, end - done)


def _stamp(path: Path, sha256: str) -> FileStamp:
    facts = path.stat()
    return FileStamp(facts.st_size, sha256, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns)


def _check(path: Path, stamp: FileStamp) -> None:
    now = _stamp(path, stamp.sha256)
    if now == stamp:
        return
    # Restored from a backup, perhaps: the same bytes under another inode are the same template.
    if now.size != stamp.size or digest(path) != stamp.sha256:
        raise TemplateCorrupt(f"{path.name} of template {path.parent.name} has changed")


@contextlib.asynccontextmanager
async def only_one(templates: Path, key: str) -> AsyncIterator[None]:
    """Hold a lock over processes while a template is made.

    Raises:
        HostUnfit: another process held it for too long.
    """
    templates.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (templates / f".{key}.lock").open("w") as file:
        deadline = time.monotonic() + _MAKING_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise HostUnfit("another process is making this template, too slowly") from None
                await asyncio.sleep(0.1)
        yield
