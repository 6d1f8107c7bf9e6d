"""The contract of a sandbox: a machine of its own kernel that runs commands and code.

A *failed command is a result* and comes back as a value. A *broken machine is an exception*:
whatever raises `SandboxDied`, `SandboxUnresponsive` or `GuestViolation` has destroyed the machine,
and every later call raises `SandboxStopped`. Any call on a machine may raise those four. Everything
a guest sends is hostile: implementations bound, check and clip it.

What a machine can do has a page for each: `commands`, `files`, `code`; `output` is what they show.
"""

from dataclasses import dataclass
from typing import Protocol

from forge.errors import InputRefused
from forge.ids import SandboxId
from forge.sandbox.code import Interpreter
from forge.sandbox.commands import Commands
from forge.sandbox.files import Files
from forge.sandbox.metrics import Metrics
from forge.sandbox.volumes import VolumeMount


@dataclass(frozen=True, slots=True)
class Limits:
    """What a machine may use. Sizes are MiB; a zero is no limit where it is the default.

    The host keeps all of these but `processes`: that one is kept by the guest's kernel, to spare a
    machine its own accidents, and one that breaks it harms itself alone.

    Attributes:
        memory_mib: the machine's memory.
        disk_mib: how much its disk holds.
        processes: how many processes and threads its programs may have at once.
        cpus: how many processors it has.
        cpu_percent: the processor time it may take, in percent of one processor of the host.
        disk_mib_s: how much it may read and write per second, on all its disks together.
        disk_iops: how many reads and writes per second that may be.
        max_output_bytes: what one call may show; more is dropped, with a mark.
    """

    memory_mib: int = 1024
    disk_mib: int = 1024
    processes: int = 256
    cpus: int = 1
    cpu_percent: int = 0
    disk_mib_s: int = 0
    disk_iops: int = 0
    max_output_bytes: int = 0

    def check(self, host_cpus: int) -> None:
        """Refuse what no machine of this host can have.

        Raises:
            InputRefused: a limit is out of range; the message says which and what it may be.
        """
        whole = 100 * self.cpus
        ranges = {
            "memory_mib": (256, 65536),
            "disk_mib": (64, 65536),
            "processes": (16, 32768),
            "cpus": (1, host_cpus),
            "cpu_percent": (5, whole),
            "disk_mib_s": (1, 65536),
            "disk_iops": (10, 1_000_000),
            "max_output_bytes": (1, 1 << 40),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            optional = getattr(Limits(), name) == 0
            if not (least <= value <= most or (optional and value == 0)):
                raise InputRefused(
                    f"a machine's {name} is from {least} to {most}"
                    f"{', or 0 for no limit' if optional else ''}; {value} was asked for"
                )


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What machine is wanted."""

    template: str = "base"
    limits: Limits = Limits()
    volumes: tuple[VolumeMount, ...] = ()


@dataclass(frozen=True, slots=True)
class SandboxFacts:
    """What is true of a machine for its whole life. `create_ms` is wish to first answer."""

    id: SandboxId
    provider: str
    accelerator: str
    template: str
    create_ms: float


class Sandbox(Protocol):
    """One machine, owned by whoever created it."""

    @property
    def facts(self) -> SandboxFacts:
        """What is true of this machine for its whole life."""

    @property
    def commands(self) -> Commands:
        """The programs it runs."""

    @property
    def files(self) -> Files:
        """Its files."""

    @property
    def code(self) -> Interpreter:
        """Its interpreter."""

    async def metrics(self, *, claims: bool = True) -> Metrics:
        """What the machine uses now; with `claims`, what it says of itself too.

        Raises:
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see above; without
                `claims` only SandboxStopped, as the guest is not asked.
        """

    async def stop(self) -> None:
        """Destroy the machine and everything in it. Calling it again does nothing."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One accelerator tried: did a real guest boot on it, and if not, why, in plain words."""

    accelerator: str
    works: bool
    reason: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Probe:
    """What this host can do. `accelerator` is the best that booted a guest, or None."""

    provider: str
    accelerator: str | None
    attempts: tuple[Attempt, ...]
    version: str
    cached: bool


class SandboxProvider(Protocol):
    """Somewhere machines come from."""

    @property
    def name(self) -> str:
        """The name settings choose it by."""

    async def probe(self, *, fresh: bool = False) -> Probe:
        """Find out, by booting a real guest, what this host can do. Verdicts are cached per host
        boot; `fresh` tries again.

        Raises:
            ProgramMissing: the VMM is not installed.
            ImageMissing: there is nothing to boot.
        """

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """Make a fresh machine, ready to use; makes the template first where it is missing.

        Raises:
            NameUnknown: no such template, or no such volume.
            InputRefused: a limit or a volume's place is out of range.
            VolumeBusy: another machine has a volume, and one of the two for writing.
            VolumeUnusable: a volume holds what the machine's kernel does not take.
            ProgramMissing, NoAccelerator, NoSpace, ImageMissing: the host cannot do it.
            TemplateError: the template could not be made or loaded.
            SandboxDied, SandboxUnresponsive, GuestViolation: the new machine failed and is gone.
        """

    async def reap(self) -> int:
        """Remove what dead owners left behind; returns how many machines that was."""

    async def close(self) -> None:
        """Stop every machine this provider made and free everything it holds."""
