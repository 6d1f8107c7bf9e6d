"""The libkrun provider: a probe that tells the truth, and no machines yet.

libkrun tells a guest of its devices on the kernel's command line. Forge's kernel is Debian's, which
looks for them in ACPI tables alone, so it would find neither disks nor vsock; libkrun's own kernel
(libkrunfw) takes no initrd of ours. Until one of the two changes, `create` refuses with the reason.
"""

import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from forge.errors import HostUnfit, MachineUnknown, NameUnknown, NoAccelerator
from forge.ids import SandboxId
from forge.sandbox import records
from forge.sandbox.base import (
    Attempt,
    MachineInfo,
    Probe,
    Sandbox,
    SandboxSpec,
    Snapshot,
)
from forge.sandbox.images.store import Image
from forge.sandbox.libkrun.library import Looked, describes_by_acpi, find_library, look

NAME = "libkrun"
_KVM = Path("/dev/kvm")
_UNSEEN = (
    "libkrun tells a guest of its devices on the kernel's command line, and Forge's kernel, "
    "Debian's, looks for them in ACPI tables alone: it would find no disk to boot from"
)
_UNTRIED = "this libkrun may be able to boot Forge's kernel, but Forge does not run machines on it"


@contextlib.asynccontextmanager
async def open_provider(
    home: Path, images: Callable[[str], Image], notify: Callable[[str], None]
) -> AsyncIterator["LibkrunProvider"]:
    """A provider that looks for its library under `home` and on this host. It holds nothing open.

    Args:
        home: Forge's own folder; its folder `lib` may hold the library.
        images: finds a template's image by name; not asked, as nothing is booted.
        notify: told of what takes long; nothing does.
    """
    del images, notify
    yield LibkrunProvider(home)


class LibkrunProvider:
    """See `forge.sandbox.base.SandboxProvider` for the contract."""

    name = NAME

    def __init__(self, home: Path) -> None:
        self._home = home

    async def probe(self, *, fresh: bool = False) -> Probe:
        """Look the library and this host over. Nothing is booted, and nothing is remembered."""
        del fresh
        started = time.monotonic()
        library = find_library(self._home)
        try:
            reason = unfit(await look(library), _KVM)
        except HostUnfit as error:
            reason = error.message
        if not reason:
            reason = _UNTRIED if describes_by_acpi(library) else _UNSEEN
        passed_ms = (time.monotonic() - started) * 1000
        attempt = Attempt("kvm", works=False, reason=reason, duration_ms=passed_ms)
        return Probe(NAME, None, (attempt,), f"libkrun at {library}", cached=False)

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """Refuse, with the reason.

        Raises:
            ProgramMissing: there is no libkrun here.
            NoAccelerator: always, where there is.
        """
        (attempt,) = (await self.probe()).attempts
        raise NoAccelerator(
            f"no machine of the template {spec.template!r} can be made: {attempt.reason}",
            hint="Choose another provider with FORGE_SANDBOX; docs/providers.md lists them.",
        )

    async def list(self) -> tuple[MachineInfo, ...]:
        """See `forge.sandbox.base.SandboxProvider.list`; there are none."""
        return ()

    async def open(self, sandbox_id: SandboxId) -> Sandbox:
        """See `forge.sandbox.base.SandboxProvider.open`; there are none."""
        raise MachineUnknown(f"there is no machine {sandbox_id[:100]!r} here")

    async def remove(self, sandbox_id: SandboxId) -> None:
        """See `forge.sandbox.base.SandboxProvider.remove`; there are none."""
        await self.open(sandbox_id)

    async def snapshots(self) -> tuple[Snapshot, ...]:
        """See `forge.sandbox.base.SandboxProvider.snapshots`; there are none."""
        return ()

    async def remove_snapshot(self, name: str) -> None:
        """See `forge.sandbox.base.SandboxProvider.remove_snapshot`; there are none."""
        raise NameUnknown(f"there is no snapshot {name[:100]!r} of a machine under libkrun")

    async def reap(self) -> int:
        """See `forge.sandbox.base.SandboxProvider.reap`."""
        return records.reap(self._home / "machines")

    async def close(self) -> None:
        """There is nothing to free."""


def unfit(looked: Looked, kvm: Path) -> str:
    """Why no machine could run even with a fitting kernel; nothing where one might."""
    faults = (
        (
            bool(looked.missing),
            f"the library lacks what Forge would ask of libkrun: {', '.join(looked.missing)}",
        ),
        (not looked.disks, "the library was built without disks"),
        (not looked.context, "the library makes no machine's context"),
        (not kvm.exists(), f"there is no {kvm} on this host, and libkrun runs on nothing else"),
        (
            not os.access(kvm, os.R_OK | os.W_OK),
            f"{kvm} may not be opened by this user; its group may (usually `kvm`)",
        ),
    )
    return next((reason for true, reason in faults if true), "")
