"""The `mount` and `unmount` verbs: volumes, each the disk of one slot, in the template's tree.

A slot's driver is bound anew before a mount: only then does the kernel ask the disk for its size
and whether it may be written. The agent mounts before anyone uses the machine; a filesystem that
the kernel does not take, or that a former machine has damaged on purpose, costs this machine at
most. What is in a volume may be anything: no device node of it works and no program of it gains
rights (`nodev`, `nosuid`), and an error in it makes it read-only instead of ending the machine.
"""

import asyncio
import contextlib
import os
from pathlib import Path

from forge_guest import cgroups
from forge_guest.linux import (
    MS_NOATIME,
    MS_NODEV,
    MS_NOSUID,
    MS_RDONLY,
    mount,
    open_in_root,
    unmount,
)
from forge_guest.mounts import ROOT, disk_with
from forge_guest.refusal import Refused, Verb
from forge_guest.wire.channel import Stream

_DRIVER = Path("/sys/bus/virtio/drivers/virtio_blk")
_RELEASE_S = 2.0  # what was killed gives its files back in milliseconds
_STEP_S = 0.02


class Volumes:
    """Knows what is mounted; the last is the first to be given back."""

    def __init__(self) -> None:
        self._mounted: list[str] = []

    def verbs(self) -> dict[str, Verb]:
        """What is answered here."""
        return {"mount": self.mount, "unmount": self.unmount}

    async def mount(self, stream: Stream) -> None:
        """Mount volumes, in the order given.

        Raises:
            Refused: one cannot be mounted; the message says which and why.
        """
        for wanted in stream.request["volumes"]:
            serial, path = str(wanted["serial"]), str(wanted["path"])
            try:
                self._mount(serial, path, read_only=wanted["read_only"] is True)
            except OSError as error:
                raise Refused("refused", f"{path}: {error.strerror or error}") from error
        await stream.message({"mounted": len(self._mounted)}, fin=True)

    def _mount(self, serial: str, path: str, *, read_only: bool) -> None:
        device = _bind(disk_with(serial))
        place = _folder(path)
        flags = MS_NOSUID | MS_NODEV | MS_NOATIME
        # A disk that cannot be written cannot have its journal replayed either.
        options = "noload" if read_only else "errors=remount-ro,discard"
        try:
            # By descriptor: a symlink in the template cannot lead the mount out of its tree.
            target = f"/proc/self/fd/{place}"
            mounted = str(Path(target).readlink())
            mount(device, target, "ext4", flags | (MS_RDONLY if read_only else 0), options)
        finally:
            os.close(place)
        self._mounted.append(mounted)

    async def unmount(self, stream: Stream) -> None:
        """End everything that a person runs, and give every volume back.

        Answers `clean`: whether all were given back, so that no journal need be replayed.
        """
        cgroups.kill_all()
        clean = True
        while self._mounted:
            clean &= await _give_back(self._mounted.pop())
        await stream.message({"clean": clean}, fin=True)


def _bind(device: str) -> str:
    """Bind a disk's driver anew; returns the disk's name then."""
    virtio = (Path("/sys/block") / Path(device).name / "device").resolve()
    (_DRIVER / "unbind").write_text(virtio.name)
    (_DRIVER / "bind").write_text(virtio.name)
    (block,) = (virtio / "block").iterdir()
    return f"/dev/{block.name}"


def _folder(path: str) -> int:
    """Open a folder of the template's tree, making what is missing; the caller closes it."""
    root = os.open(ROOT, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    fd, done = root, b""
    try:
        for part in os.fsencode(path).split(b"/")[1:]:
            done += b"/" + part
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=fd)
            following = open_in_root(root, done, os.O_PATH | os.O_DIRECTORY)
            if fd != root:
                os.close(fd)
            fd = following
    except BaseException:
        if fd != root:
            os.close(fd)
        raise
    finally:
        os.close(root)
    return fd


async def _give_back(place: str) -> bool:
    clock = asyncio.get_running_loop().time
    give_up = clock() + _RELEASE_S
    while True:
        try:
            unmount(place)
        except OSError:
            if clock() > give_up:
                os.sync()  # what is in it is whole, though its journal must be replayed
                return False
            await asyncio.sleep(_STEP_S)
        else:
            return True
