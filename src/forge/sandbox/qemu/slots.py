"""Slots for volumes: disks that every machine has, empty in a template, filled in a clone.

A machine of virtio-mmio devices cannot be given a disk while it lives, and a clone's devices must
match its template's. So a template has `SLOTS` disks with nothing behind them (`null-co`: reads are
zeroes, no file, no descriptor), and a clone's QEMU puts a volume's file behind as many as it needs.
The guest looks at a slot's size only when it binds its driver, which it does when it mounts.

A volume outlives its machine: the host's page cache is used, and a flush of the guest's reaches the
host's disk (cache=writeback), unlike the machine's own disk. Without O_DIRECT, a volume may lie on
any filesystem.
"""

from dataclasses import dataclass

from forge.sandbox.machines.holding import serial

SLOTS = 4
"""How many volumes one machine can hold."""


@dataclass(frozen=True, slots=True)
class VolumeFds:
    """Open descriptors of a volume's file: for reading, and for writing too (None: read-only)."""

    reading: int
    writing: int | None


def slot_argv(volumes: tuple[VolumeFds, ...]) -> list[str]:
    """The part of QEMU's command line for all slots, the first ones filled with `volumes`."""
    empty = (None,) * (SLOTS - len(volumes))
    return [word for slot, volume in enumerate((*volumes, *empty)) for word in _slot(slot, volume)]


def _slot(slot: int, volume: VolumeFds | None) -> list[str]:
    device = f"virtio-blk-device,drive=vol{slot},id=disk-vol{slot},serial={serial(slot)}"
    return [
        *_backend(f"vol{slot}", volume),
        *("-device", f"{device},werror=report"),
    ]


def _backend(name: str, volume: VolumeFds | None) -> list[str]:
    if volume is None:
        return ["-drive", f"if=none,id={name},driver=null-co,size=1M,read-zeroes=on"]
    fds = [fd for fd in (volume.writing, volume.reading) if fd is not None]
    mode = "readonly=on" if volume.writing is None else "discard=unmap,detect-zeroes=unmap"
    return [
        *(word for fd in fds for word in ("-add-fd", f"fd={fd},set={fds[0]}")),
        "-drive",
        f"if=none,id={name},file=/dev/fdset/{fds[0]},format=raw,cache=writeback,{mode}",
    ]
