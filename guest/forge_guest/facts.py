"""Fresh facts after a restore: what two copies of one machine must not share.

The host sends them in its first request; the agent answers only once all are applied, and the host
destroys a machine that fails. A code context renews its random numbers before its next cell.
"""

import fcntl
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any

from forge_guest.linux import MS_BIND, mount
from forge_guest.mounts import ROOT

# linux/random.h
_RNDADDENTROPY, _RNDRESEEDCRNG = 0x40085203, 0x5207
_SEED_BYTES = 64


class Facts:
    """Holds open what will be written, for the agent's whole life.

    Under emulation a clone pays for each new piece of code it runs, most of all for opening and
    renaming files on a disk, so the files stand in memory and everything is opened beforehand.
    """

    def __init__(self) -> None:
        self._random = os.open("/dev/urandom", os.O_RDWR | os.O_CLOEXEC)
        self._hostname = _shown_at("etc/hostname")
        self._machine_id = _shown_at("etc/machine-id")

    def apply(self, facts: dict[str, Any]) -> None:
        """Renew the kernel's random numbers, the clock, the host name and the machine's id.

        Raises:
            OSError, KeyError, ValueError: a fact is missing or was refused.
        """
        seed = bytes.fromhex(facts["entropy"])
        if len(seed) != _SEED_BYTES:
            raise ValueError(f"{len(seed)} bytes of entropy instead of {_SEED_BYTES}")
        _reseed_kernel(self._random, seed)
        time.clock_settime_ns(time.CLOCK_REALTIME, int(facts["realtime_ns"]))
        hostname = str(facts["hostname"])
        socket.sethostname(hostname)
        _rewrite(self._hostname, f"{hostname}\n")
        _rewrite(self._machine_id, f"{facts['machine_id']}\n")


def _shown_at(name: str) -> int:
    """Put a file of memory in the place of a file of the template; returns its descriptor."""
    kept, place = f"{ROOT}/run/forge/{Path(name).name}", f"{ROOT}/{name}"
    fd = os.open(kept, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    os.close(os.open(place, os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o444))
    mount(kept, place, "", MS_BIND)
    return fd


def _rewrite(fd: int, text: str) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, text.encode(), 0)


def _reseed_kernel(device: int, seed: bytes) -> None:
    fcntl.ioctl(device, _RNDADDENTROPY, struct.pack("ii", len(seed) * 8, len(seed)) + seed)
    fcntl.ioctl(device, _RNDRESEEDCRNG)
