"""What was asked for cannot be done as it was asked; nothing was changed."""

from typing import ClassVar

from forge.failures.base import Fault, ForgeError


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


class BackupRefused(InputRefused):
    """The file is no backup, or one that was changed; nothing was restored."""

    code: ClassVar[str] = "backup_refused"
    default_hint: ClassVar[str] = "Use another copy of the backup."


class RunNotFound(InputRefused):
    """No run, or more than one, has this id."""

    code: ClassVar[str] = "run_not_found"
    default_hint: ClassVar[str] = "`forge runs list` shows the runs there are."
