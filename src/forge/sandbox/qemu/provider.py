"""The QEMU provider's door."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from forge.sandbox.images.store import Image
from forge.sandbox.machines.provider import MachineProvider, Notify, opened
from forge.sandbox.qemu.engine import QemuEngine


def open_provider(
    home: Path, images: Callable[[str], Image], notify: Notify
) -> AbstractAsyncContextManager[MachineProvider]:
    """See `machines.provider.opened`."""
    return opened(home, images, notify, QemuEngine(home, images, notify))
