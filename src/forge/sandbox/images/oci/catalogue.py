"""A person's templates, as commands use them: build, show that it works, keep, list, remove, tidy.

It stands between the shelf and the recipes: every template runs on the kernel and the agent of one
of the recipes, so these are made with it where they are missing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from forge.errors import InputRefused, NameUnknown
from forge.sandbox.images.build import Tell, build_frame
from forge.sandbox.images.key import Plan, guest_sources, plan_image
from forge.sandbox.images.oci.build import Order, build_template
from forge.sandbox.images.oci.shelf import Made, Shelf, collect
from forge.sandbox.images.recipe import read_recipe
from forge.sandbox.images.store import Image, ImageStore
from forge.sandbox.images.workplace import locked, remove_left

FRAME = "base"
"""The recipe whose kernel and agent every template of a person's own runs on."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """What went: how many files, and their bytes."""

    files: int
    size: int


class Templates:
    """The templates of one home. It holds nothing open."""

    def __init__(self, store: ImageStore, recipes: Path, guest: Path) -> None:
        self._store = store
        self._recipes = recipes
        self._guest = guest
        self._shelf = Shelf(store)
        self._trying: dict[str, Image] = {}

    def names(self) -> tuple[str, ...]:
        """The name of each."""
        return self._shelf.names()

    def show(self, name: str) -> Made:
        """One template.

        Raises:
            NameUnknown: there is none of this name.
        """
        made = self._shelf.find(name)
        if made is None:
            raise self._unknown(name)
        return made

    def image(self, name: str) -> Image:
        """What a template's machines boot from; a candidate under trial goes before what is kept.

        Raises:
            NameUnknown: there is no template of this name.
        """
        return self._trying.get(name) or self.show(name).image(self._store, self._plan())

    def trying(self, name: str) -> bool:
        """Whether a candidate of this name is under trial here."""
        return name in self._trying

    def size(self, made: Made) -> int:
        """Bytes of its own root."""
        return sum(facts.size for facts in made.root.files.values())

    async def build(self, order: Order, tell: Tell) -> Made:
        """Build a template, up to a candidate that `image` answers with until it is kept.

        Raises:
            InputRefused, SourceRefused, HostUnfit, ProgramMissing, NoSpace, ImageBuildFailed: see
                `forge.sandbox.images.oci.build.build_template`.
        """
        if (self._recipes / order.name / "recipe.toml").is_file():
            raise InputRefused(
                f"{order.name!r} is the name of a template that comes with Forge",
                hint="Take another name.",
            )
        await self.build_frame(tell)
        made = await build_template(self._store, order, tell)
        self._trying[made.name] = made.image(self._store, self._plan())
        return made

    async def build_frame(self, tell: Tell) -> None:
        """Make the kernel and the agent where they are missing.

        Raises:
            InputRefused, ProgramMissing, NoSpace, ImageBuildFailed: see `build_frame`.
        """
        await build_frame(self._store, FRAME, self._recipes / FRAME, self._guest, tell)

    def keep(self, made: Made) -> None:
        """A candidate works: put it in the place of what had its name."""
        self._shelf.keep(made)
        self._trying.pop(made.name, None)

    def reject(self, made: Made) -> None:
        """A candidate does not work: what had its name stays."""
        self._shelf.reject(made)
        self._trying.pop(made.name, None)

    def remove(self, name: str) -> None:
        """Forget a template. Machines that run are not disturbed.

        Raises:
            NameUnknown: there is none of this name.
            InputRefused: it comes with Forge.
        """
        if (self._recipes / name / "recipe.toml").is_file():
            raise InputRefused(f"{name!r} comes with Forge and cannot be removed")
        if self._shelf.find(name) is None or not self._shelf.remove(name):
            raise self._unknown(name)

    async def gc(self, waiting: Callable[[], None]) -> Tidied:
        """Remove every part that nothing needs, and what killed builds left.

        Raises:
            ImageBuildFailed: a build has held the lock for an hour.
            InputRefused: a recipe cannot be used.
        """
        async with locked(self._store.folder, waiting):
            await asyncio.to_thread(remove_left, self._store.work)
            return await asyncio.to_thread(self._collect)

    def _collect(self) -> Tidied:
        before = self._files()
        names = (path.parent.name for path in self._recipes.glob("*/recipe.toml"))
        plans = {name: self._plan(name) for name in names}
        gone = collect(self._store, plans, self._shelf)
        return Tidied(len(gone), before - self._files())

    def _files(self) -> int:
        return sum(path.stat().st_size for path in self._store.parts.glob("*-*"))

    def _plan(self, name: str = FRAME) -> Plan:
        return plan_image(read_recipe(name, self._recipes / name), guest_sources(self._guest))

    def _unknown(self, name: str) -> NameUnknown:
        own = ", ".join(self.names()) or "none yet"
        return NameUnknown(
            f"There is no template of your own called {name[:80]!r}; there are: {own}.",
            hint="`forge template list` shows every template; `forge template build` makes one.",
        )
