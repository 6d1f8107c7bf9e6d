"""Keeps a person's templates by name, and tells what nothing needs any more.

    <home>/images/templates/<name>.json       a template: its root's part, and what it adds to it
    <home>/images/templates/<name>.candidate  one that was built and has not yet shown that it works

The root lies among the parts of every image and is shared by what has the same layers; the kernel
and the agent are those of the recipes, whatever release of Forge reads this. A template is replaced
by renaming: it is the old one or the new one, whatever kills the builder.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from forge.errors import InputRefused
from forge.sandbox.images.config import TemplateConfig
from forge.sandbox.images.key import ROOT_KIND, Plan, template_image_key
from forge.sandbox.images.oci.source import SourceKind
from forge.sandbox.images.recipe import Name
from forge.sandbox.images.store import Digest, Facts, Image, ImageStore, Part, write_whole

_NAME: TypeAdapter[str] = TypeAdapter(Name)
_ABANDONED_S = 3600.0  # a candidate is looked at for minutes: a boot, and ten for its ready check


class Made(Facts):
    """A template of a person's own. `stamp` tells what it was built from, `built_ns` when by the
    host's monotonic clock, so that builders that wait for each other can tell; `python` is its
    Python's version.
    """

    version: Literal[1] = 1
    name: Name
    kind: SourceKind
    source: str
    stamp: Digest
    built_at: str
    built_ns: Annotated[int, Field(ge=0)]
    boot: str
    root: Part
    env: Mapping[str, str]
    python: str | None
    interpreter: bool
    config: TemplateConfig

    def image(self, store: ImageStore, plan: Plan) -> Image:
        """What its machines boot from, on the kernel and agent of this plan."""
        run = {
            "env": dict(self.env),
            "interpreter": self.interpreter,
            "preload": self.config.preload,
            "warming": self.config.warming.model_dump(mode="json"),
        }
        return Image(
            name=self.name,
            key=template_image_key(plan, self.root.key, run),
            vmlinuz=store.path("kernel", plan.kernel, "vmlinuz"),
            initrd=store.path("kernel", plan.kernel, "initrd"),
            agent=store.path("agent", plan.agent, "img"),
            root=store.path("root", self.root.key, "img"),
            root_kind=ROOT_KIND,
            preload=self.config.preload,
            env=self.env,
            interpreter=self.interpreter,
            sizes=self.config.sizes,
            warming=self.config.warming,
        )


class Shelf:
    """The templates below one home. It holds nothing open."""

    def __init__(self, store: ImageStore) -> None:
        self._folder = store.folder / "templates"

    def names(self) -> tuple[str, ...]:
        """Every template's name."""
        found = (path.stem for path in self._folder.glob("*.json"))
        return tuple(sorted(name for name in found if self.find(name) is not None))

    def find(self, name: str) -> Made | None:
        """The template of this name, if there is one that can be read."""
        return self._read(name, "json")

    def candidate(self, name: str) -> Made | None:
        """What was built under this name and is not kept yet."""
        return self._read(name, "candidate")

    def propose(self, made: Made) -> None:
        """Note what was built."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self._folder / f"{made.name}.candidate", made)

    def keep(self, made: Made) -> None:
        """Put it in the place of what had its name."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self._folder / f"{made.name}.json", made)
        self.reject(made)

    def reject(self, made: Made) -> None:
        """Forget a candidate; the template of its name, if there is one, stays."""
        if self.candidate(made.name) == made:
            (self._folder / f"{made.name}.candidate").unlink(missing_ok=True)

    def remove(self, name: str) -> bool:
        """Forget a template; whether there was one. Its root goes with the next `gc`."""
        try:
            (self._folder / f"{check_name(name)}.json").unlink()
        except FileNotFoundError:
            return False
        return True

    def roots(self) -> set[str]:
        """The keys of the roots that are needed. Candidates that nobody looks at any more go."""
        for path in self._folder.glob("*.candidate"):
            if time.monotonic_ns() - _built(self.candidate(path.stem)) > _ABANDONED_S * 1e9:
                path.unlink(missing_ok=True)
        every = (*self._folder.glob("*.json"), *self._folder.glob("*.candidate"))
        found = (self._read(path.stem, path.suffix.removeprefix(".")) for path in every)
        return {made.root.key for made in found if made is not None}

    def _read(self, name: str, kind: str) -> Made | None:
        path = self._folder / f"{name}.{kind}"
        try:
            made = Made.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None
        return made if made.name == name and made.root.kind == "root" else None


def _built(made: Made | None) -> int:
    return made.built_ns if made is not None and made.boot == boot_id() else 0


def boot_id() -> str:
    """This boot of the host: monotonic times of another mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def check_name(name: str) -> str:
    """A name that a template may have.

    Raises:
        InputRefused: it may not.
    """
    try:
        return _NAME.validate_python(name)
    except ValidationError as error:
        raise InputRefused(
            f"{name[:80]!r} cannot be the name of a template",
            hint="Take lower-case letters, digits and hyphens: at most 32, a letter first.",
        ) from error


def collect(store: ImageStore, plans: Mapping[str, Plan], shelf: Shelf) -> tuple[Path, ...]:
    """Remove every part and manifest that no recipe of this release, no template and nothing that
    was saved needs; returns what went. The caller holds the builder's lock. A machine that runs
    keeps its files open.
    """
    needed = {("root", key) for key in shelf.roots()} | _saved_parts(store.folder.parent)
    for plan in plans.values():
        needed |= {("kernel", plan.kernel), ("interpreter", plan.interpreter)}
        needed |= {("agent", plan.agent), ("root", plan.root)}
    current = {f"{name}-{plan.image}" for name, plan in plans.items()}
    manifests = (path for path in store.folder.glob("*.json") if path.stem not in current)
    parts = (path for path in store.parts.glob("*-*") if _part_of(path) not in needed)
    gone = (*sorted(manifests), *sorted(parts))
    for path in gone:
        path.unlink(missing_ok=True)
    if gone and store.parts.is_dir():
        descriptor = os.open(store.parts, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return gone


def _saved_parts(home: Path) -> set[tuple[str, str]]:
    """What paused machines and snapshots start from: their manifests name the files."""
    found = set()
    for folder in ("machines", "snapshots"):
        for manifest in (home / folder).glob("*/manifest.json"):
            try:
                image = json.loads(manifest.read_bytes())["image"]
                found |= {_part_of(Path(str(image[part]))) for part in ("agent", "root")}
            except (OSError, ValueError, KeyError, TypeError):
                continue  # it was removed meanwhile, or cannot be opened anyway
    return found


def _part_of(path: Path) -> tuple[str, str]:
    kind, _, key = path.name.partition(".")[0].rpartition("-")
    return kind, key
