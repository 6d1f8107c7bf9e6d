"""Every error Forge raises on purpose, in one tree.

An error answers, in its type, the questions a caller has: whose fault it is (`fault`), whether the
same call may be tried again (`retry`), and whether we know what happened (`outcome_known`). Its
message says what happened; its `hint` says what to do next. `code` is the stable name that the
ledger, the command line and later the API use; it never changes once released.

    ForgeError
    ├── InputRefused
    │   ├── SettingsInvalid
    │   ├── NameUnknown
    │   ├── PathRefused
    │   ├── MachineUnknown
    │   ├── MachineBusy
    │   ├── SourceRefused
    │   └── RunNotFound
    ├── HostUnfit
    │   ├── ProgramMissing
    │   ├── NoAccelerator
    │   ├── NoSpace
    │   ├── WorkerUnreachable
    │   └── WorkerForeign
    ├── ImageError
    │   ├── ImageMissing
    │   └── ImageBuildFailed
    ├── TemplateError
    │   ├── TemplateCorrupt
    │   ├── TemplateForeign
    │   └── TemplateNotReady
    ├── SnapshotError
    │   ├── SnapshotCorrupt
    │   └── SnapshotForeign
    ├── SandboxError
    │   ├── SandboxDied
    │   ├── SandboxUnresponsive
    │   ├── SandboxStopped
    │   ├── SandboxPaused
    │   ├── ResumeFailed
    │   ├── GuestViolation
    │   ├── GuestRefused
    │   ├── FileNotFound
    │   ├── ContextNotFound
    │   ├── ArchiveRefused
    │   ├── QuotaExceeded
    │   ├── ProcessNotFound
    │   └── PortUnreachable
    ├── VolumeError
    │   ├── VolumeBusy
    │   └── VolumeUnusable
    ├── ModelError
    │   ├── ModelUnauthorized
    │   ├── ModelRequestRefused
    │   ├── ModelRateLimited
    │   │   └── ModelOverloaded
    │   ├── ModelUnreachable
    │   └── ModelStreamBroken
    ├── BudgetError
    │   ├── CapReached
    │   └── PriceUnknown
    └── LedgerError
        ├── LedgerCorrupt
        └── LedgerUnwritable
"""

from typing import ClassVar, Literal

Fault = Literal["person", "host", "guest", "provider", "forge"]


class ForgeError(Exception):
    """Anything Forge refuses or fails at on purpose.

    Args:
        message: what happened, with the facts (names, sizes, limits), one sentence or two.
        hint: what the person can do next; the class's own hint when not given.
    """

    code: ClassVar[str] = "forge_error"
    fault: ClassVar[Fault] = "forge"
    retry: ClassVar[bool] = False
    outcome_known: ClassVar[bool] = True
    default_hint: ClassVar[str] = "Please report this with the output of `forge runs show`."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint


class InputRefused(ForgeError):
    """What the person gave cannot be used; nothing was changed."""

    code: ClassVar[str] = "input_refused"
    fault: ClassVar[Fault] = "person"
    default_hint: ClassVar[str] = "Correct the input and try again."


class SettingsInvalid(InputRefused):
    """A setting has a value Forge cannot use."""

    code: ClassVar[str] = "settings_invalid"
    default_hint: ClassVar[str] = "Correct the named setting; docs/settings.md lists them all."


class NameUnknown(InputRefused):
    """A name (of a provider, template or model) that nothing answers to."""

    code: ClassVar[str] = "name_unknown"
    default_hint: ClassVar[str] = "Use one of the names listed in the message."


class PathRefused(InputRefused):
    """A path that is malformed, too long, or leads outside where it may."""

    code: ClassVar[str] = "path_refused"
    default_hint: ClassVar[str] = (
        "Give a plain relative name, or an absolute path inside the machine."
    )


class MachineUnknown(InputRefused):
    """No paused machine of this home has this id."""

    code: ClassVar[str] = "machine_unknown"
    default_hint: ClassVar[str] = "Use the id of a machine that was paused and not removed."


class MachineBusy(InputRefused):
    """Another process has this machine; one at a time may."""

    code: ClassVar[str] = "machine_busy"
    retry: ClassVar[bool] = True
    default_hint: ClassVar[str] = "Use it where it is open, or close it there first."


class SourceRefused(InputRefused):
    """What a template shall be made from cannot be built, fetched or used."""

    code: ClassVar[str] = "source_refused"
    default_hint: ClassVar[str] = "Mend the image or its Dockerfile, then build again."


class RunNotFound(InputRefused):
    """No run, or more than one, has this id."""

    code: ClassVar[str] = "run_not_found"
    default_hint: ClassVar[str] = "`forge runs list` shows the runs there are."


class HostUnfit(ForgeError):
    """This host lacks something that a machine needs."""

    code: ClassVar[str] = "host_unfit"
    fault: ClassVar[Fault] = "host"
    default_hint: ClassVar[str] = (
        "`forge microvm probe` says what this host can do and what to change."
    )


class ProgramMissing(HostUnfit):
    """A program Forge starts is not installed."""

    code: ClassVar[str] = "program_missing"
    default_hint: ClassVar[str] = (
        "On Debian run `scripts/setup-debian.sh`; elsewhere install the named program."
    )


class NoAccelerator(HostUnfit):
    """No accelerator booted a guest, not even software emulation."""

    code: ClassVar[str] = "no_accelerator"
    default_hint: ClassVar[str] = (
        "`forge microvm probe --fresh` tries again and prints each reason."
    )


class NoSpace(HostUnfit):
    """The host's disk or memory is too full for what was asked."""

    code: ClassVar[str] = "no_space"
    default_hint: ClassVar[str] = "Free some space, or point FORGE_HOME at a larger disk."


class WorkerUnreachable(HostUnfit):
    """The command that leads to a worker did not lead to one."""

    code: ClassVar[str] = "worker_unreachable"
    retry: ClassVar[bool] = True
    default_hint: ClassVar[str] = (
        "Run the command of FORGE_WORKER by hand: it must print a line that begins with "
        "`forge-worker`; docs/worker.md has examples."
    )


class WorkerForeign(HostUnfit):
    """The worker is of a release of Forge that speaks otherwise."""

    code: ClassVar[str] = "worker_foreign"
    default_hint: ClassVar[str] = "Install the same release of Forge on both computers."


class ImageError(ForgeError):
    """The image a template boots from cannot be used."""

    code: ClassVar[str] = "image_error"
    fault: ClassVar[Fault] = "host"
    default_hint: ClassVar[str] = "`forge image build` makes it anew."


class ImageMissing(ImageError):
    """The image has not been built here."""

    code: ClassVar[str] = "image_missing"
    default_hint: ClassVar[str] = "Run `forge image build` first (a few minutes, once)."


class ImageBuildFailed(ImageError):
    """A build step failed; nothing half-made was kept."""

    code: ClassVar[str] = "image_build_failed"
    default_hint: ClassVar[str] = (
        "Read the log named in the message, mend the cause and build again."
    )


class TemplateError(ForgeError):
    """A saved machine that clones start from cannot be used."""

    code: ClassVar[str] = "template_error"
    fault: ClassVar[Fault] = "host"
    retry: ClassVar[bool] = True
    default_hint: ClassVar[str] = "Forge makes the template anew on the next use."


class TemplateCorrupt(TemplateError):
    """A template's files are not what was saved."""

    code: ClassVar[str] = "template_corrupt"


class TemplateForeign(TemplateError):
    """A template was saved by another QEMU, host or version of Forge."""

    code: ClassVar[str] = "template_foreign"


class TemplateNotReady(TemplateError):
    """A template's start command ended, or its ready check did not succeed in time."""

    code: ClassVar[str] = "template_not_ready"
    fault: ClassVar[Fault] = "person"
    retry: ClassVar[bool] = False
    default_hint: ClassVar[str] = (
        "Mend the start command or the ready check, then build the template again."
    )


class SnapshotError(ForgeError):
    """What was saved of one machine cannot be used."""

    code: ClassVar[str] = "snapshot_error"
    fault: ClassVar[Fault] = "host"
    default_hint: ClassVar[str] = "Remove it and start from a template, or from another snapshot."


class SnapshotCorrupt(SnapshotError):
    """A snapshot's files are not what was saved, or were not yet durable when the host stopped."""

    code: ClassVar[str] = "snapshot_corrupt"


class SnapshotForeign(SnapshotError):
    """A snapshot was saved by another QEMU, host or version of Forge."""

    code: ClassVar[str] = "snapshot_foreign"
    default_hint: ClassVar[str] = (
        "Use it with what saved it, which the message names, or remove it and start anew."
    )


class SandboxError(ForgeError):
    """A machine failed, or refused what was asked of it."""

    code: ClassVar[str] = "sandbox_error"
    fault: ClassVar[Fault] = "guest"
    default_hint: ClassVar[str] = "Start a new machine and try again."


class SandboxDied(SandboxError):
    """The machine ended while it was in use; what it was doing is lost."""

    code: ClassVar[str] = "sandbox_died"
    retry: ClassVar[bool] = True
    outcome_known: ClassVar[bool] = False


class SandboxUnresponsive(SandboxError):
    """The machine did not answer within the deadline of the call and was destroyed."""

    code: ClassVar[str] = "sandbox_unresponsive"
    retry: ClassVar[bool] = True
    outcome_known: ClassVar[bool] = False


class SandboxStopped(SandboxError):
    """The machine was already stopped by its owner."""

    code: ClassVar[str] = "sandbox_stopped"
    fault: ClassVar[Fault] = "person"


class SandboxPaused(SandboxError):
    """The machine was paused while the call was under way, which ended the call."""

    code: ClassVar[str] = "sandbox_paused"
    fault: ClassVar[Fault] = "person"
    retry: ClassVar[bool] = True
    outcome_known: ClassVar[bool] = False
    default_hint: ClassVar[str] = "Call again: the machine resumes by itself on its next use."


class ResumeFailed(SandboxError):
    """A paused machine could not be started; it has not run, and is paused as before."""

    code: ClassVar[str] = "resume_failed"
    fault: ClassVar[Fault] = "host"
    retry: ClassVar[bool] = True
    default_hint: ClassVar[str] = "Try again; the message says what this host lacked."


class GuestViolation(SandboxError):
    """The guest sent what the wire forbids; the machine was destroyed."""

    code: ClassVar[str] = "guest_violation"
    outcome_known: ClassVar[bool] = False
    default_hint: ClassVar[str] = (
        "Code in the machine tampered with its agent. Start a new machine."
    )


class GuestRefused(SandboxError):
    """The guest understood the request and could not carry it out; the machine goes on."""

    code: ClassVar[str] = "guest_refused"
    default_hint: ClassVar[str] = "Read the reason in the message; the machine is still usable."


class FileNotFound(SandboxError):
    """There is no such file in the machine."""

    code: ClassVar[str] = "file_not_found"
    fault: ClassVar[Fault] = "person"
    default_hint: ClassVar[str] = "List the folder to see what is there."


class ContextNotFound(SandboxError):
    """There is no such code context in the machine."""

    code: ClassVar[str] = "context_not_found"
    fault: ClassVar[Fault] = "person"
    default_hint: ClassVar[str] = "List the contexts to see what is there, or create one."


class ArchiveRefused(SandboxError):
    """A tar archive is malformed, cut off, or holds what may not be unpacked."""

    code: ClassVar[str] = "archive_refused"
    fault: ClassVar[Fault] = "person"
    default_hint: ClassVar[str] = (
        "Entries before the one named were unpacked. Make the archive anew without it."
    )


class QuotaExceeded(SandboxError):
    """A write went past the machine's disk quota; what fitted was removed again."""

    code: ClassVar[str] = "quota_exceeded"
    fault: ClassVar[Fault] = "person"
    default_hint: ClassVar[str] = "Remove files in the machine, or start one with a larger disk."


class ProcessNotFound(SandboxError):
    """No process with this number was started here, or it has ended."""

    code: ClassVar[str] = "process_not_found"
    fault: ClassVar[Fault] = "person"
    default_hint: ClassVar[str] = "List the machine's processes to see which run."


class PortUnreachable(SandboxError):
    """Nothing in the machine answers on this port, or what did broke the connection off."""

    code: ClassVar[str] = "port_unreachable"
    retry: ClassVar[bool] = True
    default_hint: ClassVar[str] = "List the machine's ports; a server may need a moment to start."


class VolumeError(ForgeError):
    """A volume cannot be given to a machine."""

    code: ClassVar[str] = "volume_error"
    fault: ClassVar[Fault] = "person"
    default_hint: ClassVar[str] = "`forge volume list` shows the volumes there are."


class VolumeBusy(VolumeError):
    """Another machine has the volume, and one of the two wants it for writing."""

    code: ClassVar[str] = "volume_busy"
    retry: ClassVar[bool] = True
    default_hint: ClassVar[str] = "Stop the machine that has it, or let all of them only read it."


class VolumeUnusable(VolumeError):
    """A machine's kernel does not take what is in the volume; the machine was destroyed."""

    code: ClassVar[str] = "volume_unusable"
    fault: ClassVar[Fault] = "guest"
    default_hint: ClassVar[str] = (
        "Code in a machine may have damaged it. Remove the volume and make it anew."
    )


class ModelError(ForgeError):
    """A model's provider failed or refused."""

    code: ClassVar[str] = "model_error"
    fault: ClassVar[Fault] = "provider"
    default_hint: ClassVar[str] = "Try again later, or choose another model with --model."


class ModelUnauthorized(ModelError):
    """The provider did not accept the key."""

    code: ClassVar[str] = "model_unauthorized"
    fault: ClassVar[Fault] = "person"
    default_hint: ClassVar[str] = "Check the API key of this provider."


class ModelRequestRefused(ModelError):
    """The provider refused the request itself; sending it again gives the same answer."""

    code: ClassVar[str] = "model_request_refused"
    default_hint: ClassVar[str] = (
        "Read the provider's reason; check the model's name and the prompt's size."
    )


class ModelRateLimited(ModelError):
    """The provider asks to slow down.

    Args:
        message: what happened.
        retry_after_s: how many seconds the provider asked us to wait, if it said.
    """

    code: ClassVar[str] = "model_rate_limited"
    retry: ClassVar[bool] = True

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class ModelOverloaded(ModelRateLimited):
    """The provider is overloaded or broken on its side (5xx, 529)."""

    code: ClassVar[str] = "model_overloaded"


class ModelUnreachable(ModelError):
    """No connection to the provider could be made."""

    code: ClassVar[str] = "model_unreachable"
    fault: ClassVar[Fault] = "host"
    retry: ClassVar[bool] = True
    default_hint: ClassVar[str] = "Check the network and the provider's base URL."


class ModelStreamBroken(ModelError):
    """The provider's answer ended before it was complete; it may have been billed."""

    code: ClassVar[str] = "model_stream_broken"
    retry: ClassVar[bool] = True
    outcome_known: ClassVar[bool] = False


class BudgetError(ForgeError):
    """The run may not go on under its budget."""

    code: ClassVar[str] = "budget_error"
    fault: ClassVar[Fault] = "person"


class CapReached(BudgetError):
    """The next model call would pass a cap; it was not made."""

    code: ClassVar[str] = "cap_reached"
    default_hint: ClassVar[str] = "Raise the cap named in the message and run again."


class PriceUnknown(BudgetError):
    """A USD cap applies and the model has no known price."""

    code: ClassVar[str] = "price_unknown"
    default_hint: ClassVar[str] = (
        "Add the model to the price file, or set the USD cap to 0 for none."
    )


class LedgerError(ForgeError):
    """The ledger could not be read or written."""

    code: ClassVar[str] = "ledger_error"
    fault: ClassVar[Fault] = "host"


class LedgerCorrupt(LedgerError):
    """A run's events do not match their hash chain."""

    code: ClassVar[str] = "ledger_corrupt"
    default_hint: ClassVar[str] = (
        "The database was changed outside Forge; restore it from a backup."
    )


class LedgerUnwritable(LedgerError):
    """An event could not be made durable, so the run was stopped."""

    code: ClassVar[str] = "ledger_unwritable"
    default_hint: ClassVar[str] = "Check that FORGE_HOME is writable and its disk has space."


def of_code(code: str) -> type[ForgeError]:
    """The class that a code names; `ForgeError` itself for one that none has."""
    return _below(ForgeError).get(code, ForgeError)


def _below(kind: type[ForgeError]) -> dict[str, type[ForgeError]]:
    found = {kind.code: kind}
    for each in kind.__subclasses__():
        found |= _below(each)
    return found
