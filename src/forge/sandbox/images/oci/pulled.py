"""Reads the image that skopeo or buildah left in a folder (`dir:`), and believes none of it.

The folder holds a manifest, a config and uncompressed layers, each named by its SHA-256. Every one
is hashed again here, and each layer's hash must be what the config says of it, so a root's key can
be made of those hashes alone.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from forge.errors import SourceRefused

_MAX_JSON = 4 << 20  # OCI registries' own limit for a manifest
_MAX_LAYERS = 128  # one more than any engine makes
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_MAX_VALUE = 8192
_MAX_VARIABLES = 256

_Hash = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
_Model = TypeVar("_Model", bound=BaseModel)


class _Foreign(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Blob(_Foreign):
    digest: _Hash


class _Manifest(_Foreign):
    config: _Blob
    layers: Annotated[tuple[_Blob, ...], Field(max_length=_MAX_LAYERS)]


class _Run(_Foreign):
    env: tuple[str, ...] | None = Field(default=None, alias="Env")
    working_dir: str | None = Field(default=None, alias="WorkingDir")


class _RootFs(_Foreign):
    diff_ids: Annotated[tuple[_Hash, ...], Field(max_length=_MAX_LAYERS)] = ()


class _Config(_Foreign):
    architecture: str = ""
    os: str = ""
    config: _Run | None = None
    rootfs: _RootFs = _RootFs()


@dataclass(frozen=True, slots=True)
class Pulled:
    """An image, checked: its layers lowest first, their hashes, and its environment."""

    layers: tuple[Path, ...]
    diff_ids: tuple[str, ...]
    env: Mapping[str, str]


def read_pulled(folder: Path) -> Pulled:
    """Read and check the image in a folder; takes as long as hashing it does.

    Raises:
        SourceRefused: it is no image, made for another kind of computer, or not what it says.
    """
    manifest = _parsed(_Manifest, folder / "manifest.json", "manifest")
    config_file = _blob(folder, manifest.config.digest)
    config = _parsed(_Config, config_file, "config")
    _check_hash(config_file, manifest.config.digest)
    if (config.os, config.architecture) != ("linux", "amd64"):
        raise SourceRefused(
            f"the image is made for {config.os[:40]}/{config.architecture[:40]}; machines here are "
            "linux/amd64",
            hint="Take the image for linux/amd64.",
        )
    layers = tuple(_blob(folder, layer.digest) for layer in manifest.layers)
    if len(layers) != len(config.rootfs.diff_ids) or not layers:
        raise SourceRefused("the image has no layers, or not as many as its config says")
    for layer, diff_id in zip(layers, config.rootfs.diff_ids, strict=True):
        _check_hash(layer, diff_id)
    run = config.config or _Run()
    return Pulled(layers, config.rootfs.diff_ids, _environment(run.env or ()))


def _parsed(model: type[_Model], path: Path, what: str) -> _Model:
    try:
        if not path.is_file() or path.stat().st_size > _MAX_JSON:
            raise SourceRefused(f"the image's {what} is missing or too large")
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in fault["loc"])
        raise SourceRefused(f"the image's {what} is not OCI's: {where}: {fault['msg']}") from error


def _blob(folder: Path, digest: str) -> Path:
    path = folder / digest.removeprefix("sha256:")
    if path.is_symlink() or not path.is_file():
        raise SourceRefused(f"the image lacks {digest}, which its manifest names")
    return path


def _check_hash(path: Path, digest: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if f"sha256:{found}" != digest:
        raise SourceRefused(
            f"the image is damaged: {path.name[:12]}… is not what its manifest and config say",
            hint="Fetch the image again.",
        )


def _environment(given: tuple[str, ...]) -> dict[str, str]:
    if len(given) > _MAX_VARIABLES:
        raise SourceRefused(f"the image sets more than {_MAX_VARIABLES} environment variables")
    env: dict[str, str] = {}
    for line in given:
        name, _, value = line.partition("=")
        if not _VARIABLE.fullmatch(name) or "\0" in value or len(value.encode()) > _MAX_VALUE:
            raise SourceRefused(
                f"the image's environment cannot be used: {name[:100]!r} is no name of a variable, "
                f"or its value has more than {_MAX_VALUE} bytes"
            )
        env[name] = value
    # Whose home it is depends on who runs a command, which the machine knows.
    return {name: value for name, value in env.items() if name not in ("HOME", "USER", "LOGNAME")}
