"""Named volumes: disks that outlive every machine. Their files, their names and their locks.

    <home>/volumes/<name>/
        volume.img     an ext4 filesystem in a sparse file; its size is the quota
        volume.json    when it was made, its size, and whether its last writer gave it back whole

One machine may have a volume for writing, or many for reading. The lock is the kernel's: it stands
on the open file that QEMU inherits, so it is held exactly as long as that QEMU lives, and no crash
of anything leaves a volume locked. The host never looks into a volume: whatever is in it was
written by a guest. Only the kernel of another machine reads it.
"""

import errno
import fcntl
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from forge.errors import InputRefused, NameUnknown, NoSpace, VolumeBusy
from forge.sandbox import records
from forge.sandbox.images.data_disk import make_volume_disk

SMALLEST_MIB, LARGEST_MIB = 16, 1 << 20
"""A smaller one has no room for a journal; ext4 in one sparse file is well tried up to a TiB."""

MAX_MOUNTS = 4
"""How many volumes one machine can have."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PLACE = re.compile(r"(?:/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){1,8}")
_KEPT_FREE = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "usr")
_IMAGE, _MANIFEST, _NOTES = "volume.img", "volume.json", "paused"


@dataclass(frozen=True, slots=True)
class VolumeMount:
    """A volume that a machine is to have, and where: an absolute path in the machine."""

    name: str
    path: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Volume:
    """What is known of a volume. `clean`: its last writer gave it back whole; else its journal is
    replayed at the next use. `used` is what it occupies of the host's disk, in bytes.
    """

    name: str
    size_mib: int
    made: str
    clean: bool
    used: int = 0


@dataclass(slots=True)
class HeldVolume:
    """A volume's open, locked file. `close` gives Forge's hold back; a QEMU that inherited the
    descriptors holds the lock until it ends.
    """

    name: str
    size_mib: int
    reading: int
    writing: int | None

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self.reading)
        if self.writing is not None:
            os.close(self.writing)


def check_mounts(mounts: tuple[VolumeMount, ...]) -> None:
    """Refuse volumes that no machine could have.

    Raises:
        InputRefused: too many, a name or path that is malformed, or the same one twice.
    """
    if len(mounts) > MAX_MOUNTS:
        raise InputRefused(f"a machine can have {MAX_MOUNTS} volumes; {len(mounts)} were asked for")
    if len({mount.name for mount in mounts}) < len(mounts):
        raise InputRefused("a machine can have a volume only once")
    for mount in mounts:
        check_name(mount.name)
        top = mount.path.split("/")[1:2]
        if not _PLACE.fullmatch(mount.path) or top[0] in _KEPT_FREE or mount.path == "/home":
            raise InputRefused(
                f"a volume cannot be mounted at {mount.path[:100]!r}",
                hint="Give an absolute path of plain names outside the system's folders, "
                "for example /data or /home/user/data.",
            )
        others = [other.path for other in mounts if other is not mount]
        if any(other == mount.path or other.startswith(f"{mount.path}/") for other in others):
            raise InputRefused(f"two volumes cannot share the place {mount.path}")


def check_name(name: str) -> None:
    """Refuse a name that is no volume's.

    Raises:
        InputRefused: it is not 1 to 63 lower-case letters, digits and inner hyphens.
    """
    if not _NAME.fullmatch(name):
        raise InputRefused(
            f"{name[:80]!r} cannot be a volume's name",
            hint="Use 1 to 63 lower-case letters, digits and hyphens, such as my-data.",
        )


class VolumeStore:
    """The volumes under one home. It holds nothing open."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "volumes"
        self._machines = home / "machines"

    async def create(self, name: str, size_mib: int) -> Volume:
        """Make an empty volume.

        Raises:
            InputRefused: the name is malformed or taken, or the size is out of range.
            ProgramMissing, NoSpace, HostUnfit: the disk could not be made.
        """
        check_name(name)
        if not SMALLEST_MIB <= size_mib <= LARGEST_MIB:
            raise InputRefused(
                f"a volume has {SMALLEST_MIB} to {LARGEST_MIB} MiB; {size_mib} were asked for"
            )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        volume = Volume(name, size_mib, datetime.now(UTC).isoformat(timespec="seconds"), clean=True)
        half_made = records.half_made(self._folder, name)
        half_made.mkdir(mode=0o700)
        try:
            await make_volume_disk(half_made / _IMAGE, size_mib)
            _write_manifest(half_made, volume)
            with (half_made / _IMAGE).open("rb") as file:
                os.fsync(file.fileno())
            # A folder that holds files is never renamed over, so of two makers one is refused.
            half_made.rename(self._folder / name)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                raise InputRefused(f"the volume {name!r} is there already") from error
            raise NoSpace(f"a volume could not be made: {error.strerror}") from error
        finally:
            shutil.rmtree(half_made, ignore_errors=True)
        return self.show(name)

    def list(self) -> tuple[Volume, ...]:
        """Every volume, by name."""
        if not self._folder.is_dir():
            return ()
        names = sorted(each.name for each in self._folder.iterdir() if _NAME.fullmatch(each.name))
        return tuple(self.show(name) for name in names)

    def show(self, name: str) -> Volume:
        """What is known of a volume.

        Raises:
            InputRefused: the name is malformed.
            NameUnknown: there is none of this name.
        """
        check_name(name)
        folder = self._folder / name
        try:
            volume = Volume(**json.loads((folder / _MANIFEST).read_text()))
            used = (folder / _IMAGE).stat().st_blocks * 512
        except FileNotFoundError as error:
            raise self._unknown(name) from error
        return replace(volume, used=used)

    def remove(self, name: str) -> None:
        """Remove a volume and all that is in it.

        Raises:
            InputRefused, NameUnknown: as in `show`.
            VolumeBusy: a machine has it.
        """
        held = self.hold(name, read_only=False)
        try:
            gone = self._folder / f".gone-{name}-{os.getpid()}"
            (self._folder / name).rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        finally:
            held.close()

    def hold(self, name: str, *, read_only: bool, machine: str = "") -> HeldVolume:
        """Open and lock a volume for one machine: alone for writing, with others for reading.

        Args:
            name: the volume's.
            read_only: whether it is only to be read.
            machine: for whom: the note it left when it was paused is no hindrance.

        Raises:
            InputRefused, NameUnknown: as in `show`.
            VolumeBusy: another machine has it, and one of the two for writing.
        """
        volume = self.show(name)
        path = self._folder / name / _IMAGE
        reading = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        held = HeldVolume(name, volume.size_mib, reading, None)
        try:
            if not read_only:
                held.writing = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            locked = reading if held.writing is None else held.writing
            kind = fcntl.LOCK_SH if read_only else fcntl.LOCK_EX
            fcntl.flock(locked, kind | fcntl.LOCK_NB)
            if not self._free(name, machine, read_only=read_only):
                raise BlockingIOError
            # Removed, and perhaps made anew, since it was opened.
            if not path.exists() or not path.samefile(f"/proc/self/fd/{locked}"):
                raise self._unknown(name)
        except BlockingIOError as error:
            held.close()
            raise VolumeBusy(f"the volume {name!r} is in use by another machine") from error
        except BaseException:
            held.close()
            raise
        return held

    def note(self, name: str, machine: str, *, read_only: bool) -> None:
        """Note that a machine which is to be paused has a volume.

        Raises:
            OSError: the host cannot write it.
        """
        notes = self._folder / name / _NOTES
        notes.mkdir(mode=0o700, exist_ok=True)
        (notes / machine).write_text("ro" if read_only else "rw")

    def _free(self, name: str, machine: str, *, read_only: bool) -> bool:
        notes = self._folder / name / _NOTES
        for note in sorted(notes.iterdir()) if notes.is_dir() else ():
            if note.name == machine:
                continue
            if not (self._machines / note.name).is_dir():
                note.unlink(missing_ok=True)  # that machine is gone
            elif not read_only or note.read_text() != "ro":
                return False
        return True

    def mark(self, name: str, *, clean: bool) -> None:
        """Note whether a volume was given back whole; called by whoever holds it for writing."""
        _write_manifest(self._folder / name, replace(self.show(name), clean=clean))

    def _unknown(self, name: str) -> NameUnknown:
        return NameUnknown(
            f"There is no volume {name!r}.",
            hint=f"`forge volume list` shows those there are; `forge volume create {name}` "
            "makes it.",
        )


def _write_manifest(folder: Path, volume: Volume) -> None:
    facts = asdict(volume)
    del facts["used"]
    temporary = folder / f"{_MANIFEST}.tmp"
    with temporary.open("w") as file:
        json.dump(facts, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / _MANIFEST)
