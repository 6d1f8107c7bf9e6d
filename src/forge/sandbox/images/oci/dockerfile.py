"""Finds the images that a Dockerfile starts from. Pure.

Fetching them is Forge's part, with the network; building is buildah's, without. So each `FROM` of
an image is rewritten to a name in the build's own store. Everything else in the file
is left to buildah, which reads it for real.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from forge.errors import SourceRefused

BASE = "localhost/forge-base-{}:latest"
"""What the n-th image is called in the build's own store."""

_FROM = re.compile(
    r"^\s*FROM\s+(?P<options>(?:--\S+\s+)*)(?P<image>\S+)(?P<rest>(?:\s+AS\s+(?P<stage>\S+))?)\s*$",
    re.IGNORECASE,
)
_ARG = re.compile(r"^\s*ARG\s+(?P<name>\w+)(?:=(?P<value>\S*))?\s*$", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\})")
_MAX_BYTES = 1 << 20
_MAX_BASES = 32


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A Dockerfile whose images were renamed, and what they are, in that order."""

    text: str
    images: tuple[str, ...]


def read_dockerfile(text: str) -> Dockerfile:
    """Rename the images of a Dockerfile's `FROM` lines: the n-th becomes the n-th `BASE`.

    Raises:
        SourceRefused: it has none, too many, or one whose name cannot be told.
    """
    if len(text.encode()) > _MAX_BYTES:
        raise SourceRefused("the Dockerfile has more than a megabyte")
    images: list[str] = []
    stages: set[str] = set()
    arguments: dict[str, str] = {}
    lines: list[str] = []
    begun = goes_on = False
    for line in text.splitlines():
        match = None if goes_on else _FROM.match(line)
        goes_on = line.rstrip().endswith("\\")
        argument = None if begun else _ARG.match(line)
        if argument:
            arguments[argument["name"]] = (argument["value"] or "").strip("\"'")
        if match is None:
            lines.append(line)
            continue
        begun = True
        image = _filled(match["image"], arguments)
        if image != "scratch" and image.lower() not in stages:
            if image not in images:
                images.append(image)
            lines.append(f"FROM {BASE.format(images.index(image))}{match['rest']}")
        else:
            lines.append(line)
        stages.add((match["stage"] or "").lower())
    if not begun or len(images) > _MAX_BASES:
        raise SourceRefused(
            f"the Dockerfile has no FROM line, or starts from more than {_MAX_BASES} images",
            hint="Begin it with `FROM` and the image to start from.",
        )
    return Dockerfile("".join(f"{line}\n" for line in lines), tuple(images))


def _filled(image: str, arguments: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match["plain"] or match["name"]
        found = arguments.get(name) or match["default"]
        if not found:
            raise SourceRefused(
                f"the Dockerfile starts from {image[:200]!r}, and {name} has no value",
                hint=f"Give it one before the first FROM: `ARG {name}=value`.",
            )
        return found

    return _VARIABLE.sub(value, image)
