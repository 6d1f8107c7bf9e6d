"""The Firecracker provider's door."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from forge.sandbox.firecracker.engine import FirecrackerEngine
from forge.sandbox.images.store import Image
from forge.sandbox.machines.provider import MachineProvider, Notify, opened


def open_provider(
    home: Path, images: Callable[[str], Image], notify: Notify
) -> AbstractAsyncContextManager[MachineProvider]:
    """See `machines.provider.opened`; the folder `bin` of `home` may hold the program."""
    return opened(home, images, notify, FirecrackerEngine(home, images, notify))
