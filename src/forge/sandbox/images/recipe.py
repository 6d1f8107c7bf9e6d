"""A template's recipe: a folder with `recipe.toml`, a locked `requirements.txt`, and `preload.txt`.

The recipe only declares; every key is checked and an unknown one is refused, so a misspelt key
cannot silently do nothing. Recipes belong to whoever installed Forge: their package names and globs
reach programs that run as root where Forge does.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from forge.errors import InputRefused

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def _relative_glob(pattern: str) -> str:
    parts = PurePosixPath(pattern).parts
    if (
        not parts
        or pattern.startswith("/")
        or ".." in parts
        or re.search(r"[\s'\"\\$`;&|<>]", pattern)
    ):
        raise ValueError("must be a plain glob below the root, without spaces or quotes")
    return pattern


def _module(name: str) -> str:
    if not _MODULE.fullmatch(name):
        raise ValueError(f"“{name}” is not the name of a Python module")
    return name


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Suite = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,32}$")]
Package = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]{1,63}$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]{0,63}$")]
Value = Annotated[str, StringConstraints(pattern=r"^[^\n\x00\"'\\$]{0,256}$")]
Glob = Annotated[str, AfterValidator(_relative_glob)]
Module = Annotated[str, AfterValidator(_module)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DebianSection(_Strict):
    """What Debian provides: the suite's code name and packages beyond the essential ones."""

    suite: Suite
    packages: tuple[Package, ...] = ()


class PythonSection(_Strict):
    """What PyPI provides. `caches` are modules imported once as the person's user while building,
    so that what they cache in the home folder is already there.
    """

    caches: tuple[Module, ...] = ()


class Declaration(_Strict):
    """The whole of `recipe.toml`. `environment` is what every process of the template finds in its
    environment; `remove` are globs below the root that the image does without.
    """

    name: Name
    summary: Annotated[str, Field(max_length=200)]
    debian: DebianSection
    python: PythonSection = PythonSection()
    environment: Mapping[Variable, Value] = Field(default_factory=dict)
    remove: tuple[Glob, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe that was read and checked. `requirements` is empty where there are no wheels."""

    declared: Declaration
    requirements: str
    preload: tuple[str, ...]


def read_recipe(name: str, folder: Path) -> Recipe:
    """Read and check the recipe in `folder`.

    Raises:
        InputRefused: it is missing, malformed, or has another name.
    """
    path = folder / "recipe.toml"
    try:
        declared = Declaration.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as missing:
        raise InputRefused(
            f"there is no recipe for a template “{name}”: {path} is missing",
            hint="Name a template that has a folder with a recipe.toml.",
        ) from missing
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputRefused(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        raise InputRefused(f"{path} is not a recipe: {_first_fault(error)}") from error
    if declared.name != name:
        raise InputRefused(f"{path} names its template “{declared.name}”, not “{name}”")
    return Recipe(
        declared, _optional(folder / "requirements.txt"), _read_preload(folder / "preload.txt")
    )


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(step) for step in fault["loc"])
    return f"{where}: {fault['msg']}"


def _optional(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _read_preload(path: Path) -> tuple[str, ...]:
    names = [line.partition("#")[0].strip() for line in _optional(path).splitlines()]
    try:
        return tuple(_module(name) for name in names if name)
    except ValueError as error:
        raise InputRefused(f"{path}: {error}") from error
