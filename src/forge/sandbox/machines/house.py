"""What a machine needs of whoever made it: a place for what it saves, and copies of it.

The provider is one. A machine knows no folder but its own, and no other machine.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from forge.errors import SandboxError
from forge.sandbox.base import Sandbox, SandboxSpec, Snapshot
from forge.sandbox.machines import saved
from forge.sandbox.machines.engine import Clone, Running
from forge.sandbox.machines.holding import Holding


class House(Protocol):
    """What a machine needs of whoever made it."""

    def manifest(self, clone: Clone, spec: SandboxSpec, folder: Path) -> saved.Manifest:
        """What to say of files that were just saved."""

    async def start(
        self,
        clone: Clone,
        spec: SandboxSpec,
        folder: Path,
        on_broken: Callable[[SandboxError], None],
    ) -> Running:
        """See `engine.Engine.start`; with its volumes."""

    def load(self, folder: Path) -> Clone:
        """What was saved, checked; see `saved.load`. Runs in a thread."""

    async def keep(
        self, name: str, spec: SandboxSpec, save: Callable[[Path], Awaitable[Clone]]
    ) -> Snapshot:
        """Have `save` fill a folder, and keep it under a name."""

    async def multiply(
        self, spec: SandboxSpec, count: int, save: Callable[[Path], Awaitable[Clone]]
    ) -> tuple[Sandbox, ...]:
        """Have `save` fill a folder, and start machines from it."""

    @property
    def volumes(self) -> Holding:
        """The volumes of its machines."""

    def notify(self, words: str) -> None:
        """Tell a person of what went wrong while nobody waited."""
