"""Which accelerator works here, found out by booting a real guest on each, best first.

A device that opens proves nothing: on nested hosts `/dev/kvm` opens, makes a vCPU, and then the
guest never gets through its first second. So each attempt boots the real image to the agent's
handshake under a deadline. The verdict is kept per QEMU version, image, CPU and boot of the host.
"""

import shutil
import time
from pathlib import Path

from forge.errors import HostUnfit, SandboxError
from forge.sandbox import records, verdicts
from forge.sandbox.base import Attempt, Probe
from forge.sandbox.images.store import Image
from forge.sandbox.machines.engine import Accelerator
from forge.sandbox.qemu.argv import Shape
from forge.sandbox.qemu.warm import Cold, booted

ORDER: tuple[Accelerator, ...] = ("kvm", "tcg")
_DEADLINE_S: dict[Accelerator, float] = {
    "kvm": 8.0,  # a guest on working hardware answers in under a second
    "tcg": 60.0,  # it takes 3 s here; a loaded host may take many times that
}
_MEMORY_MIB = 256
_DISK_MIB = 64


async def probe(home: Path, version: str, image: Image, *, fresh: bool) -> Probe:
    """Find the best accelerator that boots a guest.

    Raises:
        ProgramMissing, NoSpace: nothing could be tried at all.
    """
    cache, key = home / "probe.json", verdicts.cache_key(version, image)
    known = None if fresh else verdicts.recall(cache, key)
    if known is not None:
        return known
    attempts: list[Attempt] = []
    for accelerator in ORDER:
        attempts.append(await _attempt(home, accelerator, image))
        if attempts[-1].works:
            break
    best = attempts[-1].accelerator if attempts[-1].works else None
    verdict = Probe("qemu", best, tuple(attempts), version, cached=False)
    verdicts.keep(cache, key, verdict)
    return verdict


async def _attempt(home: Path, accelerator: Accelerator, image: Image) -> Attempt:
    started = time.monotonic()
    works, reason = False, ""
    if accelerator == "kvm" and not Path("/dev/kvm").exists():
        reason = "there is no /dev/kvm on this host"
    else:
        folder = records.new_folder(home / "machines", f"probe-{accelerator}-{time.time_ns()}")
        cold = Cold(image, Shape(accelerator, _MEMORY_MIB), _DISK_MIB)
        try:
            async with booted(cold, folder, _DEADLINE_S[accelerator]):
                works, reason = True, "a real guest booted and answered"
        except (SandboxError, HostUnfit) as error:
            reason = error.message
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return Attempt(accelerator, works, reason, (time.monotonic() - started) * 1000)
