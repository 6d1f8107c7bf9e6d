"""Every error Forge raises on purpose, in one tree.

An error answers, in its type, the questions a caller has: whose fault it is (`fault`), whether the
same call may be tried again (`retry`), and whether we know what happened (`outcome_known`). Its
message says what happened; its `hint` says what to do next. `code` is the stable name that the
ledger, the command line and later the API use; it never changes once released. The classes are
written in `forge.failures`, a file for each family, and imported from here.

    ForgeError
    ├── InputRefused
    │   ├── SettingsInvalid
    │   ├── NameUnknown
    │   ├── PathRefused
    │   ├── MachineUnknown
    │   ├── MachineBusy
    │   ├── SourceRefused
    │   ├── BackupRefused
    │   ├── RunNotFound
    │   ├── NotFound
    │   │   ├── ConversationNotFound
    │   │   └── FileUnknown
    │   ├── KeyReused
    │   ├── PreferenceUnmet
    │   └── Conflict
    │       ├── RequestUnderWay
    │       ├── RunOver
    │       └── NothingWaits
    ├── HostUnfit
    │   ├── ProgramMissing
    │   ├── NoAccelerator
    │   ├── NoSpace
    │   ├── WorkerUnreachable
    │   ├── WorkerForeign
    │   ├── ServerUnreachable
    │   ├── ServerForeign
    │   ├── StorageUnreachable
    │   ├── StorageRefused
    │   ├── DatabaseUnreachable
    │   ├── DatabaseRefused
    │   └── DatabaseBusy
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
    ├── AccessError
    │   ├── LoginRequired
    │   ├── LoginRefused
    │   ├── LoginUnavailable
    │   ├── NotAllowed
    │   ├── TooMany
    │   │   └── StorageFull
    │   └── SecretUnreadable
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
    ├── LedgerError
    │   ├── LedgerCorrupt
    │   └── LedgerUnwritable
    └── SlowReader
"""

from forge.failures.asked import *  # noqa: F403 - the tree is one name space
from forge.failures.base import *  # noqa: F403 - the tree is one name space
from forge.failures.base import ForgeError as ForgeError
from forge.failures.host import *  # noqa: F403 - the tree is one name space
from forge.failures.images import *  # noqa: F403 - the tree is one name space
from forge.failures.machine import *  # noqa: F403 - the tree is one name space
from forge.failures.people import *  # noqa: F403 - the tree is one name space
from forge.failures.run import *  # noqa: F403 - the tree is one name space


def of_code(code: str) -> type[ForgeError]:
    """The class that a code names; `ForgeError` itself for one that none has."""
    return _below(ForgeError).get(code, ForgeError)


def _below(kind: type[ForgeError]) -> dict[str, type[ForgeError]]:
    found = {kind.code: kind}
    for each in kind.__subclasses__():
        found |= _below(each)
    return found
