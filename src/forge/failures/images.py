"""What machines start from cannot be used: an image, a template, a snapshot."""

from typing import ClassVar

from forge.failures.base import Fault, ForgeError


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
