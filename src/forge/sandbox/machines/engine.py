"""What machines need of a VMM: to be started from what was saved, to run, and to be saved.

A room per VMM brings an `Engine`. All that people see of a machine, its states, its names, its
files and its end, is made of it here, once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from forge.errors import SandboxError
from forge.sandbox.agent.connection import Connection
from forge.sandbox.base import Limits, Probe, SandboxSpec
from forge.sandbox.cpu_share import Share
from forge.sandbox.images.store import Image
from forge.sandbox.volumes import HeldVolume

Accelerator = Literal["kvm", "tcg"]

DATA = "data.img"
"""A machine's writable disk, in its own folder and beside what is saved."""


@dataclass(frozen=True, slots=True)
class Clone:
    """What a machine starts from: saved files, and what they were saved with."""

    accelerator: Accelerator
    image: Image
    limits: Limits
    memory: Path
    state: bytes
    data: Path


class Running(Protocol):
    """A machine that was started. Whoever has one closes it."""

    @property
    def agent(self) -> Connection:
        """Its agent's line, once `go` has returned. Where saving ends a line there is a new one
        afterwards.
        """

    @property
    def pid(self) -> int:
        """Its VMM's process id."""

    @property
    def share(self) -> Share:
        """Keeps it to its share of processor time, once it is run."""

    @property
    def cpu_seconds(self) -> float:
        """Processor time it has used, its VMM included.

        Raises:
            OSError: it has ended.
        """

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes sent to the guest and received from it, since it was started."""

    async def go(self) -> None:
        """Let it run for the first time; it stood still until now.

        Raises:
            SandboxDied, SandboxUnresponsive: it does not.
        """

    async def go_on(self) -> None:
        """Let it run on, after it was saved and stood still.

        Raises:
            SandboxDied, SandboxUnresponsive: it does not.
        """

    async def read(self) -> None:
        """Read its line, and the one after it, until it ends; one task runs this."""

    async def limit(self, volumes: int) -> None:
        """Hold its disks to their pace; `volumes` is how many it has.

        Raises:
            SandboxDied: the VMM refused it.
        """

    async def save(self, into: Path, *, goes_on: bool) -> bytes:
        """Write its memory, disk and device state into a folder; returns the state.

        It stands still meanwhile. Where `goes_on`, or where this fails, it then runs again; where
        it fails, what was begun is gone. The folder may be its own.

        Raises:
            NoSpace: the host cannot write it.
            TemplateError: the state is of no form that Forge knows.
            SandboxDied, SandboxUnresponsive, GuestViolation, GuestRefused: see `sandbox.base`.
        """

    async def close(self, why: SandboxError | None = None) -> None:
        """End it; calls under way raise `why`, or `SandboxStopped`."""


class Engine(Protocol):
    """One VMM on this host."""

    @property
    def name(self) -> str:
        """The provider's name; a key of `shape` too, so no other's machine is taken for its own."""

    async def probe(self, *, fresh: bool) -> Probe:
        """See `forge.sandbox.base.SandboxProvider.probe`."""

    def check(self, spec: SandboxSpec) -> None:
        """Refuse a wish that this VMM cannot fulfil.

        Raises:
            InputRefused: the message says what.
        """

    def shape(self, accelerator: Accelerator, limits: Limits) -> Mapping[str, str]:
        """What it would save a machine of this kind with, in short: whatever must be the same where
        the machine is loaded.
        """

    async def template(self, spec: SandboxSpec) -> Clone:
        """A warm machine of this kind to start from, made first where there is none.

        Raises:
            NoAccelerator, NameUnknown, ImageMissing, ProgramMissing, TemplateError, NoSpace: there
                cannot be one.
        """

    async def start(
        self,
        clone: Clone,
        folder: Path,
        on_broken: Callable[[SandboxError], None],
        volumes: tuple[HeldVolume, ...],
    ) -> Running:
        """Start a machine in its own folder, recorded there; it stands still until told to go.

        Raises:
            ProgramMissing, NoSpace, HostUnfit: the host cannot start it.
            SandboxDied: the VMM ended, or did not take the state.
        """

    def remove_abandoned(self) -> None:
        """Remove templates that processes which no longer live left half-made."""
