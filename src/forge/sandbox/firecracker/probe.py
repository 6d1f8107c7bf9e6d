"""Whether a guest boots under Firecracker here, found out by booting one.

Firecracker runs guests on KVM alone, and a device that opens proves nothing: on nested and
paravirtual hosts `/dev/kvm` opens, Firecracker starts the guest, pauses it, saves it and answers
every call, and the guest never executes its first useful instruction. So the real image is booted
to the agent's first answer, under a deadline.
"""

import os
import shutil
import time
from pathlib import Path

from forge.errors import HostUnfit, SandboxError
from forge.sandbox import records, verdicts
from forge.sandbox.base import Attempt, Probe
from forge.sandbox.firecracker.config import OLDEST, parse_version
from forge.sandbox.firecracker.launch import Boot
from forge.sandbox.firecracker.warm import Cold, booted
from forge.sandbox.images.store import Image

NAME = "firecracker"
ACCELERATOR = "kvm"
DEADLINE_S = 8.0
"""A guest on working hardware answers in under a second."""

_KVM = Path("/dev/kvm")
_MEMORY_MIB = 256
_DISK_MIB = 64


async def probe(home: Path, said: str, boot: Boot, image: Image, *, fresh: bool) -> Probe:
    """Boot a guest, or recall that one booted. `said` is what the program says of its version.

    Raises:
        ProgramMissing, NoSpace: nothing could be tried at all.
        OSError: the host cannot write the machine's files.
    """
    cache, key = home / "probe-firecracker.json", verdicts.cache_key(said, image)
    known = None if fresh else verdicts.recall(cache, key)
    if known is not None:
        return known
    attempt = await _attempt(home, said, boot, image)
    best = ACCELERATOR if attempt.works else None
    verdict = Probe(NAME, best, (attempt,), said, cached=False)
    verdicts.keep(cache, key, verdict)
    return verdict


def unfit(said: str, kvm: Path) -> str:
    """Why there is no use in trying, in plain words; nothing where there may be."""
    version = parse_version(said)
    if version is None:
        return "the program called firecracker does not say that it is Firecracker"
    if version[:2] < OLDEST:
        return f"{said} is too old: {OLDEST[0]}.{OLDEST[1]} or later is needed"
    if not kvm.exists():
        return f"there is no {kvm} on this host, and Firecracker runs on nothing else"
    if not os.access(kvm, os.R_OK | os.W_OK):
        return f"{kvm} may not be opened by this user; its group may (usually `kvm`)"
    return ""


async def _attempt(home: Path, said: str, boot: Boot, image: Image) -> Attempt:
    started = time.monotonic()
    works, reason = False, unfit(said, _KVM)
    if not reason:
        folder = records.new_folder(home / "machines", f"probe-{NAME}-{time.time_ns()}")
        try:
            async with booted(Cold(boot, image, _MEMORY_MIB, _DISK_MIB), folder, DEADLINE_S):
                works, reason = True, "a real guest booted and answered"
        except (SandboxError, HostUnfit) as error:
            reason = error.message
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return Attempt(ACCELERATOR, works, reason, (time.monotonic() - started) * 1000)
