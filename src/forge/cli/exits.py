"""What the command ends with: one exit code for each kind of outcome. Pure.

0 done · 1 failed · 2 input · 3 host · 4 model · 5 cap · 6 machine · 7 ledger · 70 Forge itself
130 stopped by Ctrl-C · 141 nobody reads the output · 143 stopped by SIGTERM
"""

from enum import IntEnum

from forge.errors import (
    AccessError,
    BudgetError,
    ForgeError,
    HostUnfit,
    ImageError,
    InputRefused,
    LedgerError,
    ModelError,
    SandboxError,
    TemplateError,
    TemplateNotReady,
    VolumeError,
    of_code,
)
from forge.events import RunFinished


class Exit(IntEnum):
    """Every exit code there is; docs/cli.md has a row for each."""

    DONE = 0
    FAILED = 1
    INPUT = 2
    HOST = 3
    MODEL = 4
    CAP = 5
    MACHINE = 6
    LEDGER = 7
    BUG = 70
    INTERRUPTED = 130
    UNREAD = 141
    TERMINATED = 143


_KINDS: tuple[tuple[type[ForgeError], Exit], ...] = (
    (InputRefused, Exit.INPUT),
    (AccessError, Exit.INPUT),
    (HostUnfit, Exit.HOST),
    (ImageError, Exit.HOST),
    (TemplateNotReady, Exit.INPUT),
    (TemplateError, Exit.HOST),
    (SandboxError, Exit.MACHINE),
    (VolumeError, Exit.MACHINE),
    (ModelError, Exit.MODEL),
    (BudgetError, Exit.CAP),
    (LedgerError, Exit.LEDGER),
)


def of_error(kind: type[ForgeError]) -> Exit:
    """The code for an error of this class."""
    return next((code for base, code in _KINDS if issubclass(kind, base)), Exit.FAILED)


def of_run(finished: RunFinished) -> Exit:
    """The code for a run's end; a cancelled one's depends on the signal, which it does not know."""
    if finished.status == "done":
        return Exit.DONE
    if finished.status == "cancelled":
        return Exit.INTERRUPTED
    if finished.error is None:
        return Exit.FAILED
    return of_error(of_code(finished.error.code))
