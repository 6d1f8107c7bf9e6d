"""The contract of a sandbox: a machine of its own kernel that runs commands and code.

A *failed command is a result* and comes back as a value. A *broken machine is an exception*:
whatever raises `SandboxDied`, `SandboxUnresponsive` or `GuestViolation` has destroyed the machine,
and every later call raises `SandboxStopped`. Any call on a machine may raise those four. Everything
a guest sends is hostile: implementations bound, check and clip it.

A *paused* machine is on the host's disk and takes neither memory nor processor. Any use resumes it
first, so callers need not know. Its variables, background processes and files are as they were; its
luck (random numbers, clock, names, ids) is new after every resume and in every copy, before
anyone's code goes on in it. What a call may raise besides, where it finds the machine paused:
`ResumeFailed` (it is still paused, and whole), `SnapshotCorrupt`, `SnapshotForeign`, `NoSpace`; and
`SandboxPaused` where the machine was paused under it. `lifecycle` has the states.

What a machine can do has a page for each: `commands`, `files`, `code`, `ports`; `output` is what
they show.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from forge.errors import InputRefused
from forge.ids import SandboxId
from forge.sandbox.code import Interpreter
from forge.sandbox.commands import Commands
from forge.sandbox.files import Files
from forge.sandbox.lifecycle import State
from forge.sandbox.metrics import Metrics
from forge.sandbox.ports import Ports
from forge.sandbox.volumes import VolumeMount

OnTimeout = Literal["pause", "kill"]


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
    """What machine is wanted.

    Attributes:
        template: a template's name, or a snapshot's, whose machine's limits then hold.
        limits: what it may use.
        env: variables for its commands and code, secrets among them. They are told to the machine
            when it starts, resumes or is copied, and kept in memory alone.
        idle_s: pause it after so many seconds without a call; 0: never.
        lifetime_s: how many seconds it may run at a stretch; 0: without end.
        volumes: what it has of `volumes`, each at its place. While it has any, it cannot be forked
            or kept under a name; paused, it keeps them.
        on_timeout: what happens then. It ends calls under way, which an idle pause never does.
    """

    template: str = "base"
    limits: Limits = Limits()
    volumes: tuple[VolumeMount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    idle_s: float = 0.0
    lifetime_s: float = 0.0
    on_timeout: OnTimeout = "pause"


@dataclass(frozen=True, slots=True)
class SandboxFacts:
    """What is true of a machine for its whole life. `create_ms` is wish to first answer."""

    id: SandboxId
    provider: str
    accelerator: str
    template: str
    create_ms: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A machine as it was at one moment, kept under a name that `SandboxSpec.template` takes."""

    name: str
    template: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class MachineInfo:
    """A machine of this home: one that this provider runs, or that is paused."""

    id: SandboxId
    state: State
    template: str


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

    @property
    def ports(self) -> Ports:
        """The ports that its programs listen on."""

    @property
    def state(self) -> State:
        """Where it is in its life."""

    async def pause(self) -> None:
        """Save it to the host's disk and end its VMM; calls under way raise `SandboxPaused`.

        Raises:
            NoSpace: it could not be saved, and goes on.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see above.
        """

    async def resume(self) -> None:
        """Have it run, as any use would. A machine that runs is left alone.

        Raises:
            ResumeFailed, SnapshotCorrupt, SnapshotForeign, NoSpace: it is paused as before.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see above.
        """

    async def snapshot(self, name: str) -> Snapshot:
        """Keep what it is now under a name; it goes on, its calls unharmed.

        Raises:
            InputRefused: the name is malformed, or taken.
            NoSpace, ResumeFailed, SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped.
        """

    async def fork(
        self, count: int = 1, *, env: Mapping[str, str] | None = None
    ) -> "tuple[Sandbox, ...]":
        """Copies of it that live on their own; it goes on, its calls unharmed.

        Args:
            count: how many; all of them are made, or none.
            env: the copies' variables in place of this machine's. What a process of the machine
                has read into its memory is copied with it.

        Raises:
            InputRefused: `count` is below 1.
            NoSpace, ResumeFailed, SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped.
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

    async def list(self) -> tuple[MachineInfo, ...]:
        """The machines that this provider runs, and those of this home that are paused."""

    async def open(self, sandbox_id: SandboxId) -> Sandbox:
        """A paused machine, to go on with; one process at a time has it.

        Raises:
            MachineUnknown: there is none of this id that is whole.
            MachineBusy: another process has it.
            SnapshotCorrupt, SnapshotForeign: it cannot be used here.
        """

    async def remove(self, sandbox_id: SandboxId) -> None:
        """Destroy a machine, paused or running here.

        Raises:
            MachineUnknown, MachineBusy: as in `open`.
        """

    async def snapshots(self) -> tuple[Snapshot, ...]:
        """What is kept under a name, sorted by name."""

    async def remove_snapshot(self, name: str) -> None:
        """Remove a snapshot; machines that were made from it go on.

        Raises:
            NameUnknown: there is none of this name.
        """

    async def reap(self) -> int:
        """Remove what dead owners left behind, except paused machines; returns how many machines
        that was.
        """

    async def close(self) -> None:
        """Stop every machine that runs here, let paused ones be, and free all that is held."""
