"""What is saved of one machine: a folder that says what it is, and for whom.

    memory          its memory, mapped privately by whoever starts from it
    state           its device state
    data.img        its writable disk
    manifest.json   what is needed to load the three, and what they were when saved

A paused machine's folder and a named snapshot's are the same. The manifest is written last and by
renaming, so what is saved is there whole or not at all. Written, it is *complete*: any process of
this boot of the host may use it. `Sealing` makes it *durable*: it syncs the files and notes their
digests, which takes a second and is done in the background. After the host stopped, only what was
sealed is trusted, and only after its bytes were compared.

Nothing in the folder is believed: it must be ours alone, its files plain files of ours, and the
manifest what it should be.
"""

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forge.errors import SnapshotCorrupt, SnapshotForeign
from forge.sandbox import records
from forge.sandbox.base import Limits, OnTimeout
from forge.sandbox.machines.engine import Accelerator
from forge.sandbox.machines.template import TICK_S, digest
from forge.sandbox.machines.thread import GivenUp
from forge.sandbox.vmm import GID
from forge.sandbox.volumes import VolumeMount

FORMAT = 1
FILES = ("memory", "state", "data.img")
MANIFEST = "manifest.json"
HALF_WRITTEN = "manifest.tmp"
_LARGEST_STATE = 16 * 1024 * 1024

_SHAPE_WORDS = {
    "format": "format of snapshots",
    "qemu": "QEMU",
    "firecracker": "Firecracker",
    "argv": "shape of machine",
    "wire": "version of the wire",
    "agent": "version of the agent's verbs",
    "host": "processor",
}
"""What must be the same where a snapshot is loaded, in the words of an error."""


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stamp(_Facts):
    """A file as it was when saved; `sha256` is empty until it was sealed. Times in nanoseconds."""

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    inode: int
    modified: int
    changed: int


class ImageFact(_Facts):
    """The image that a machine's read-only disks come from."""

    name: str
    key: Annotated[str, Field(pattern=r"^[0-9a-zA-Z._-]{1,80}$")]
    agent: Annotated[str, Field(pattern=r"^[0-9a-zA-Z._-]{1,120}$")]
    root: Annotated[str, Field(pattern=r"^[0-9a-zA-Z._-]{1,120}$")]
    root_kind: str


class Wish(_Facts):
    """What its owner asked for, without secrets."""

    template: str
    limits: Limits
    volumes: tuple[VolumeMount, ...] = ()
    idle_s: float = 0.0
    lifetime_s: float = 0.0
    on_timeout: OnTimeout = "pause"


class Manifest(_Facts):
    """What is saved, for whom, and as what."""

    shape: Mapping[str, str]
    accelerator: Accelerator
    image: ImageFact
    wish: Wish
    boot: str
    sealed: bool
    files: Mapping[Literal["memory", "state", "data.img"], Stamp]


def short(parts: Sequence[str]) -> str:
    """A digest of some words that is short enough to be shown."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Say that a folder's files are whole, as they are now.

    Raises:
        OSError: the host cannot write it.
    """
    temporary = folder / HALF_WRITTEN
    temporary.write_text(manifest.model_dump_json())
    temporary.replace(folder / MANIFEST)


def discard(folder: Path, *, all_of_it: bool) -> None:
    """Remove what a save that failed has begun. A machine that goes on from the folder's own memory
    needs that (not `all_of_it`).
    """
    for name in (*(["memory"] if all_of_it else []), "state.tmp", HALF_WRITTEN):
        (folder / name).unlink(missing_ok=True)


def restamp(folder: Path) -> None:
    """Note what the end of a VMM changed of a paused machine's files: a link's count, an owner.

    Raises:
        OSError: the host cannot write it.
    """
    manifest = glance(folder)
    if manifest is not None and (now := stamps(folder)) != dict(manifest.files):
        write_manifest(folder, manifest.model_copy(update={"files": now}))


def stamps(folder: Path, digests: Mapping[str, str] | None = None) -> dict[str, Stamp]:
    """What the files are now."""
    found = {}
    for name in FILES:
        facts = (folder / name).stat(follow_symlinks=False)
        found[name] = Stamp(
            size=facts.st_size,
            sha256=(digests or {}).get(name, ""),
            inode=facts.st_ino,
            modified=facts.st_mtime_ns,
            changed=facts.st_ctime_ns,
        )
    return found


def share(memory: Path) -> None:
    """Let VMMs of their own users open a memory file, where Forge runs as root."""
    if os.geteuid() == 0:
        os.chown(memory, 0, GID)
        memory.chmod(0o660)


class Sealing:
    """Makes what is saved durable, and notes its digests: `run` in a thread, `give_up` to end it.

    After `give_up` the folder is left alone, whatever the thread still waits for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = threading.Lock()
        self._given_up = False

    def give_up(self) -> None:
        """Write nothing any more."""
        with self._writing:
            self._given_up = True

    def _check(self) -> None:
        if self._given_up:
            raise GivenUp

    def run(self) -> None:
        """Do it.

        Raises:
            GivenUp: it was given up, or what was saved is there no more.
            OSError: the host cannot.
        """
        manifest = glance(self._folder)
        if manifest is None:
            raise GivenUp
        time.sleep(TICK_S)  # see `template.TICK_S`
        digests = {}
        for name in FILES:
            file = _plain(self._folder / name)
            try:
                os.fsync(file)
                digests[name] = digest(Path(f"/proc/self/fd/{file}"), self._check)
            finally:
                os.close(file)
        sealed = manifest.model_copy(
            update={"files": stamps(self._folder, digests), "sealed": True}
        )
        with self._writing:
            self._check()
            if stamps(self._folder) == dict(manifest.files):
                write_manifest(self._folder, sealed)
        for place in (self._folder / MANIFEST, self._folder):
            fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def _plain(path: Path) -> int:
    """A plain file, open to be read. What took its place must not hold a thread: a FIFO would, for
    as long as nobody writes to it.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise GivenUp
    return file


def load(folder: Path, shape: Callable[[Manifest], Mapping[str, str]]) -> tuple[Manifest, bytes]:
    """What is saved in a folder, checked, and its device state. Runs in a thread: a digest may be
    compared.

    Args:
        folder: where it is.
        shape: what this host and program would save such a machine with.

    Raises:
        SnapshotCorrupt: it is not what was saved, or not ours.
        SnapshotForeign: it was saved by another VMM, host or version.
    """
    try:
        _ours(folder, stat.S_ISDIR)
        manifest = _read(folder)
        for name in (*FILES, MANIFEST):
            _ours(folder / name, stat.S_ISREG)
        _same_shape(folder.name, manifest.shape, shape(manifest))
        _same_files(folder, manifest)
        state = (folder / "state").read_bytes()
    except OSError as error:
        raise SnapshotCorrupt(f"{folder.name} cannot be read: {error.strerror}") from error
    if len(state) > _LARGEST_STATE:
        raise SnapshotCorrupt(f"the device state of {folder.name} is too large")
    return manifest, state


def glance(folder: Path) -> Manifest | None:
    """What a folder says it holds, unchecked but for its form; None where it holds nothing."""
    try:
        _ours(folder, stat.S_ISDIR)
        return _read(folder)
    except (OSError, SnapshotCorrupt):
        return None


def _read(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        _ours(path, stat.S_ISREG)
        manifest = Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise SnapshotCorrupt(f"the manifest of {folder.name} is damaged") from error
    if set(manifest.files) != set(FILES):
        raise SnapshotCorrupt(f"the manifest of {folder.name} is damaged")
    return manifest


def _ours(path: Path, kind: Callable[[int], bool]) -> None:
    facts = path.stat(follow_symlinks=False)
    if not kind(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o002:
        raise SnapshotCorrupt(f"{path.name} is not Forge's own, or others may write to it")


def _same_shape(name: str, then: Mapping[str, str], now: Mapping[str, str]) -> None:
    for key, is_now in now.items():
        if then.get(key) != is_now:
            words = _SHAPE_WORDS.get(key, key)
            was, is_ = then.get(key, "unknown")[:120], is_now[:120]
            raise SnapshotForeign(f"{name} was saved with another {words}: {was}; here: {is_}")


def _same_files(folder: Path, manifest: Manifest) -> None:
    restarted = manifest.boot != records.boot_id()
    if restarted and not manifest.sealed:
        raise SnapshotCorrupt(
            f"{folder.name} was not durable yet when the host stopped, and may be half written"
        )
    digests: dict[str, str] = {name: stamp.sha256 for name, stamp in manifest.files.items()}
    now = stamps(folder, digests)
    for name, stamp in manifest.files.items():
        if now[name] == stamp and not restarted:
            continue
        # Restored from a backup, perhaps: the same bytes under another inode are the same file.
        same_size = now[name].size == stamp.size
        if not (stamp.sha256 and same_size and digest(folder / name) == stamp.sha256):
            raise SnapshotCorrupt(f"{name} of {folder.name} is not what was saved")
