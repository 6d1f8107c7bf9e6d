"""This host, or the way to another one, lacks what is needed."""

from typing import ClassVar

from forge.failures.base import Fault, ForgeError


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


class ServerUnreachable(HostUnfit):
    """The server that the terminal asks does not answer. What it was told may go on there."""

    code: ClassVar[str] = "server_unreachable"
    retry: ClassVar[bool] = True
    outcome_known: ClassVar[bool] = False
    default_hint: ClassVar[str] = (
        "See to it that the server runs and can be reached from here; `forge runs list` then says "
        "what became of a run."
    )


class ServerForeign(HostUnfit):
    """What answers at the server's address does not speak as this release of Forge does."""

    code: ClassVar[str] = "server_foreign"
    default_hint: ClassVar[str] = (
        "Check the address in FORGE_SERVER, and install the same release of Forge on both sides."
    )


class StorageUnreachable(HostUnfit):
    """The object store of files does not answer, or not as one does."""

    code: ClassVar[str] = "storage_unreachable"
    retry: ClassVar[bool] = True
    default_hint: ClassVar[str] = (
        "See to it that the bucket of FORGE_BLOBS_URL is there and can be reached from here."
    )


class StorageRefused(HostUnfit):
    """The object store of files does not accept our key."""

    code: ClassVar[str] = "storage_refused"
    default_hint: ClassVar[str] = "Check the key and the secret in FORGE_BLOBS_URL."


class DatabaseUnreachable(HostUnfit):
    """The database's server does not answer, or the connection to it was lost."""

    code: ClassVar[str] = "database_unreachable"
    retry: ClassVar[bool] = True
    outcome_known: ClassVar[bool] = False
    default_hint: ClassVar[str] = (
        "See to it that the server of FORGE_DATABASE_URL runs and can be reached from here."
    )


class DatabaseRefused(HostUnfit):
    """The database's server does not let us in, or not do what Forge needs to."""

    code: ClassVar[str] = "database_refused"
    default_hint: ClassVar[str] = (
        "Check the user, password and database of FORGE_DATABASE_URL; the user must own the "
        "database, or be granted CREATE on its schema."
    )


class DatabaseBusy(HostUnfit):
    """Someone else kept the database locked for too long; nothing was changed."""

    code: ClassVar[str] = "database_busy"
    retry: ClassVar[bool] = True
    default_hint: ClassVar[str] = "Try again in a moment."
