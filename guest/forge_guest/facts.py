"""Fresh facts after a restore: what two copies of one machine must not share.

The host sends them in its first request; the agent answers only once all are applied, and the host
destroys a machine that fails. Random numbers of the interpreters are renewed by `contexts`.
"""

import fcntl
import os
import struct
import time
from pathlib import Path
from typing import Any

from forge_guest.mounts import ROOT

# linux/random.h
_RNDADDENTROPY, _RNDRESEEDCRNG = 0x40085203, 0x5207
_SEED_BYTES = 64


def apply(facts: dict[str, Any]) -> None:
    """Renew the kernel's random numbers, the clock, the host name and the machine's id.

    Raises:
        OSError, KeyError, ValueError: a fact is missing or was refused.
    """
    seed = bytes.fromhex(facts["entropy"])
    if len(seed) != _SEED_BYTES:
        raise ValueError(f"{len(seed)} bytes of entropy instead of {_SEED_BYTES}")
    _reseed_kernel(seed)
    time.clock_settime_ns(time.CLOCK_REALTIME, int(facts["realtime_ns"]))
    hostname = str(facts["hostname"])
    Path("/proc/sys/kernel/hostname").write_text(hostname)
    _replace("etc/machine-id", f"{facts['machine_id']}\n")
    _replace("etc/hostname", f"{hostname}\n")


def _replace(name: str, text: str) -> None:
    """Replace a file below the template's root without following what stands in its place."""
    folder, leaf = os.path.split(name)
    parent = os.open(f"{ROOT}/{folder}", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fd = os.open(".forge-fact", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o444, dir_fd=parent)
        with os.fdopen(fd, "w") as file:
            file.write(text)
        os.rename(".forge-fact", leaf, src_dir_fd=parent, dst_dir_fd=parent)
    finally:
        os.close(parent)


def _reseed_kernel(seed: bytes) -> None:
    with Path("/dev/urandom").open("wb") as device:
        fcntl.ioctl(device, _RNDADDENTROPY, struct.pack("ii", len(seed) * 8, len(seed)) + seed)
        fcntl.ioctl(device, _RNDRESEEDCRNG)
