"""What a person's template is made from, told apart by what is there.

    a folder with a Dockerfile, or such a file     built by buildah
    a folder with an `oci-layout`, FOLDER[:TAG]    taken as it is
    anything else that is a name                   an image of a registry

`stamp` says whether two builds have the same before them; it reads names, sizes and times of a
context, not its content.
"""

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from forge.errors import SourceRefused

SourceKind = Literal["dockerfile", "layout", "image"]

_REFERENCE = re.compile(
    r"(?=.{1,255}$)[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_MAX_CONTEXT = 2 << 30
_MAX_FILES = 100_000


@dataclass(frozen=True, slots=True)
class Source:
    """Where an image comes from. `place` is the Dockerfile, or the layout's folder; `name` is the
    layout's tag, or the reference.
    """

    kind: SourceKind
    place: Path
    name: str = ""

    @property
    def words(self) -> str:
        """For people: where it was made from."""
        if self.kind == "image":
            return self.name
        return f"{self.place}:{self.name}" if self.name else str(self.place)

    @property
    def context(self) -> Path:
        """The folder that a Dockerfile may copy from."""
        return self.place.parent

    @property
    def skopeo(self) -> str:
        """What skopeo calls it."""
        if self.kind == "image":
            return f"docker://{self.name}"
        return f"oci:{self.place}{':' if self.name else ''}{self.name}"

    def stamp(self) -> str:
        """A hash of what there is to build from.

        Raises:
            SourceRefused: a Dockerfile's folder is too large, or cannot be read.
        """
        total = hashlib.sha256(f"{self.kind} {self.words}".encode(errors="surrogateescape"))
        if self.kind == "layout":
            total.update((self.place / "index.json").read_bytes())
        elif self.kind == "dockerfile":
            _add_context(total, self.context)
        return total.hexdigest()


def find_source(words: str, relative_to: Path) -> Source:
    """What a person's words mean; a path is taken from `relative_to`.

    Raises:
        SourceRefused: nothing is there, or it is no name of an image.
    """
    path, tag = relative_to / words, ""
    if not path.exists() and ":" in words:
        before, _, tag = words.rpartition(":")
        path = relative_to / before
    if path.is_file() and not tag:
        return Source("dockerfile", path.resolve())
    if (path / "oci-layout").is_file():
        if tag and not _TAG.fullmatch(tag):
            raise SourceRefused(f"{tag[:100]!r} is no tag of an image")
        return Source("layout", path.resolve(), tag)
    for name in ("Dockerfile", "Containerfile"):
        if not tag and (path / name).is_file():
            return Source("dockerfile", (path / name).resolve())
    looks_local = words.startswith((".", "/", "~")) or path.is_dir()
    if looks_local or not _REFERENCE.fullmatch(words):
        raise SourceRefused(
            f"there is nothing to build from at {words[:200]!r}",
            hint="Give a folder with a Dockerfile, a Dockerfile, a folder with an OCI layout "
            "(FOLDER or FOLDER:TAG), or the name of an image.",
        )
    return Source("image", Path(), words)


def find_base(words: str, context: Path) -> Source:
    """What a Dockerfile's `FROM` means: `oci:FOLDER[:TAG]`, or the name of an image.

    Raises:
        SourceRefused: it is neither.
    """
    if words.startswith("oci:"):
        found = find_source(words.removeprefix("oci:"), context)
        if found.kind == "layout":
            return found
    if ":/" in words or words.startswith("oci:") or not _REFERENCE.fullmatch(words):
        raise SourceRefused(
            f"the Dockerfile starts from {words[:200]!r}, which is no name of an image",
            hint="Write the name of an image, or oci:FOLDER[:TAG] for an OCI layout.",
        )
    return Source("image", Path(), words)


def _add_context(total: "hashlib._Hash", context: Path) -> None:
    size = count = 0
    for folder, folders, files in os.walk(context, onerror=_unreadable):
        folders.sort()
        for name in sorted(files):
            facts = Path(folder, name).lstat()
            line = f"{folder}/{name} {facts.st_mode} {facts.st_size} {facts.st_mtime_ns}\n"
            total.update(line.encode(errors="surrogateescape"))
            count += 1
            size += facts.st_size if stat.S_ISREG(facts.st_mode) else 0
            if count > _MAX_FILES or size > _MAX_CONTEXT:
                raise SourceRefused(
                    f"the Dockerfile's folder {context} holds more than {_MAX_FILES:,} files or "
                    f"{_MAX_CONTEXT >> 20:,} MiB",
                    hint="Put the Dockerfile and what it copies into a folder of their own.",
                )


def _unreadable(error: OSError) -> None:
    raise SourceRefused(f"the Dockerfile's folder cannot be read: {error}") from error
