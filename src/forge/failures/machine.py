"""A machine, or a volume for one, failed or refused."""

from typing import ClassVar

from forge.failures.base import Fault, ForgeError


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
