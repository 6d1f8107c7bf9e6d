"""Where images are kept, and how they are found.

    <home>/images/<name>-<key>.json   a manifest: which parts make the image, and how to run it
    <home>/images/parts/              the parts, named by kind and key, each with a `.json` of facts
    <home>/images/work/               builds under way; everything in it is rubbish to the next
    <home>/images/logs/               the logs of builds that failed
    <home>/images/lock                held by whoever builds

A part's facts are written last and by renaming, so a part is there whole or not at all, whatever
kills the builder. Finding an image compares sizes; `verify` compares every byte. What a manifest or
a fact file says is checked before it is used: one that is damaged counts as missing.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from forge.errors import ImageError
from forge.sandbox.images.config import Sizes, Warming
from forge.sandbox.images.key import ROOT_KIND, Plan, guest_sources, plan_image
from forge.sandbox.images.recipe import Recipe, read_recipe

Kind = Literal["kernel", "interpreter", "agent", "root"]
FileName = Literal["vmlinuz", "initrd", "img", "tar"]
Key = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class Image:
    """Everything a machine boots from. `key` changes whenever any of it does; `env` is what every
    process of the template finds in its environment; `interpreter` is whether its Python can run
    code contexts.
    """

    name: str
    key: str
    vmlinuz: Path
    initrd: Path
    agent: Path
    root: Path
    root_kind: str
    preload: tuple[str, ...]
    env: Mapping[str, str]
    interpreter: bool = True
    sizes: Sizes = field(default_factory=Sizes)
    warming: Warming = field(default_factory=Warming)

    def whole(self) -> bool:
        """Whether every file of it is still there."""
        return all(path.is_file() for path in (self.vmlinuz, self.initrd, self.agent, self.root))


class Facts(BaseModel):
    """What the store writes down, checked whenever it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FileFacts(Facts):
    """A file's size in bytes and its SHA-256."""

    size: Annotated[int, Field(ge=1)]
    sha256: Digest


class Part(Facts):
    """A part that is there: its files by name, and the versions of what is in it."""

    kind: Kind
    key: Key
    files: Mapping[FileName, FileFacts]
    packages: Mapping[str, str] = Field(default_factory=dict)


class Manifest(Facts):
    """An image: its parts, and how to run it."""

    name: str
    key: Key
    root_kind: str
    preload: tuple[str, ...]
    env: Mapping[str, str]
    parts: tuple[Part, Part, Part]


class ImageStore:
    """The images below one home folder. It holds nothing open."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "images"
        self.parts = self.folder / "parts"
        self.work = self.folder / "work"
        self.logs = self.folder / "logs"

    def find(self, name: str, recipe_dir: Path, guest_dir: Path) -> Image | None:
        """The image that this recipe and guest make, if it was built here.

        Raises:
            InputRefused: the recipe or the guest's folder cannot be used.
        """
        recipe = read_recipe(name, recipe_dir)
        return self.load(recipe, plan_image(recipe, guest_sources(guest_dir)))

    def load(self, recipe: Recipe, plan: Plan) -> Image | None:
        """The image with these keys, if its manifest and files are whole."""
        manifest = self._manifest(recipe.declared.name, plan.image)
        if manifest is None or any(not self._whole(part) for part in manifest.parts):
            return None
        return self._image(manifest)

    def part(self, kind: Kind, key: str) -> Part | None:
        """A part, if it is there whole."""
        try:
            part = Part.model_validate_json((self.parts / f"{kind}-{key}.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return part if (part.kind, part.key) == (kind, key) and self._whole(part) else None

    def path(self, kind: Kind, key: str, file: FileName) -> Path:
        """Where a part's file is, or would be."""
        return self.parts / f"{kind}-{key}.{file}"

    def keep_part(
        self, kind: Kind, key: str, files: Mapping[FileName, Path], packages: Mapping[str, str]
    ) -> Part:
        """Move finished files in from the work folder; the part exists once this returns."""
        self.parts.mkdir(parents=True, exist_ok=True)
        facts: dict[FileName, FileFacts] = {}
        for name, made in files.items():
            made.chmod(0o644)
            _sync(made)
            facts[name] = FileFacts(size=made.stat().st_size, sha256=_sha256(made))
            made.replace(self.path(kind, key, name))
        part = Part(kind=kind, key=key, files=facts, packages=packages)
        write_whole(self.parts / f"{kind}-{key}.json", part)
        return part

    def keep_image(self, recipe: Recipe, plan: Plan, parts: tuple[Part, Part, Part]) -> Image:
        """Write an image's manifest: its parts are (kernel, agent, root)."""
        manifest = Manifest(
            name=recipe.declared.name,
            key=plan.image,
            root_kind=ROOT_KIND,
            preload=recipe.preload,
            env=recipe.declared.environment,
            parts=parts,
        )
        write_whole(self.folder / f"{manifest.name}-{manifest.key}.json", manifest)
        return self._image(manifest)

    def verify(self, image: Image) -> None:
        """Compare every byte of an image's files with what was built; takes about a second.

        Raises:
            ImageError: some are not what was built; the message names them.
        """
        manifest = self._manifest(image.name, image.key)
        if manifest is None:
            raise ImageError(f"the manifest of the image “{image.name}” is missing or damaged")
        wrong = [
            self.path(part.kind, part.key, name).name
            for part in manifest.parts
            for name, facts in part.files.items()
            if not self._whole(part)
            or _sha256(self.path(part.kind, part.key, name)) != facts.sha256
        ]
        if wrong:
            raise ImageError(
                f"the image “{image.name}” is damaged: {', '.join(wrong)}",
                hint=f"Remove the named files from {self.parts} and run `forge image build`.",
            )

    def _manifest(self, name: str, key: str) -> Manifest | None:
        try:
            content = (self.folder / f"{name}-{key}.json").read_bytes()
            manifest = Manifest.model_validate_json(content)
        except (FileNotFoundError, ValidationError):
            return None
        kinds = tuple(part.kind for part in manifest.parts)
        mine = (manifest.name, manifest.key) == (name, key)
        return manifest if mine and kinds == ("kernel", "agent", "root") else None

    def _whole(self, part: Part) -> bool:
        try:
            return bool(part.files) and all(
                self.path(part.kind, part.key, name).stat().st_size == facts.size
                for name, facts in part.files.items()
            )
        except FileNotFoundError:
            return False

    def _image(self, manifest: Manifest) -> Image:
        kernel, agent, root = manifest.parts
        return Image(
            name=manifest.name,
            key=manifest.key,
            vmlinuz=self.path("kernel", kernel.key, "vmlinuz"),
            initrd=self.path("kernel", kernel.key, "initrd"),
            agent=self.path("agent", agent.key, "img"),
            root=self.path("root", root.key, "img"),
            root_kind=manifest.root_kind,
            preload=manifest.preload,
            env=manifest.env,
            interpreter=bool(manifest.preload),
        )


def write_whole(path: Path, facts: Facts) -> None:
    """Write a file so that it is there whole or not at all, even after a power cut."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps(facts.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
    beside.write_text(text + "\n", encoding="utf-8")
    _sync(beside)
    beside.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
