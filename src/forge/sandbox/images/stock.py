"""Every template's image, found by name: of the recipes that come with Forge, and of one's own.

It holds nothing open, and makes nothing unasked.
"""

import asyncio
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from forge.errors import HostUnfit, ImageMissing, NameUnknown
from forge.sandbox.images import build as building
from forge.sandbox.images.oci.catalogue import Templates
from forge.sandbox.images.recipe import read_recipe
from forge.sandbox.images.store import Image, ImageStore


@dataclass(frozen=True, slots=True)
class TemplateFact:
    """A template there is a recipe for. `size` is its image's bytes, None where not built."""

    name: str
    summary: str
    key: str | None
    size: int | None


class Images:
    """The templates' images: found by name, and made where missing. It holds nothing open."""

    def __init__(self, home: Path) -> None:
        self._store = ImageStore(home)
        self._recipes = recipes_folder()
        self._guest = guest_folder()
        self._found: dict[str, Image] = {}
        self.own = Templates(self._store, self._recipes, self._guest)

    def has(self, name: str) -> bool:
        """Whether there is a template of this name, built or not."""
        return name in self._names() or name in self.own.names() or self.own.trying(name)

    def find(self, name: str) -> Image:
        """The image of a template, as it was built here.

        Raises:
            NameUnknown: there is no such template.
            ImageMissing: it was not built, or its recipe has changed since.
        """
        found = self._found.get(name)
        if found is None or not found.whole():  # another process may have tidied up
            self._check(name)
            found = self._own(name) or self._store.find(name, self._recipes / name, self._guest)
            if found is None:
                raise ImageMissing(f"The image of the template {name!r} has not been built here.")
            if name in self._names():
                self._found[name] = found  # a person's own is read each time: it may be replaced
        return found

    def _own(self, name: str) -> Image | None:
        if name in self._names():
            return None
        image = self.own.image(name)
        if not image.whole():
            raise ImageMissing(
                f"A part of what the template {name!r} boots from is missing here.",
                hint="Run `forge image build`; if that does not mend it, `forge template build`.",
            )
        return image

    async def build(self, name: str, tell: building.Tell) -> Image:
        """Make an image where it is missing; see `forge.sandbox.images.build.build`.

        Raises:
            NameUnknown: there is no such template.
            InputRefused, ProgramMissing, NoSpace, ImageBuildFailed: as in `build`.
        """
        self._check(name)
        if name not in self._names():
            return await self._build_own(name, tell)
        return await building.build(self._store, name, self._recipes / name, self._guest, tell)

    async def _build_own(self, name: str, tell: building.Tell) -> Image:
        await self.own.build_frame(tell)
        return self.find(name)

    async def verify(self, image: Image) -> None:
        """Compare every byte of an image with what was built.

        Raises:
            ImageError: some differ.
        """
        await asyncio.to_thread(self._store.verify, image)

    def known(self) -> tuple[TemplateFact, ...]:
        """Every template there is a recipe for.

        Raises:
            InputRefused: a recipe cannot be used.
        """
        return tuple(self._fact(name) for name in self._names())

    def _fact(self, name: str) -> TemplateFact:
        summary = read_recipe(name, self._recipes / name).declared.summary
        image = self._store.find(name, self._recipes / name, self._guest)
        if image is None:
            return TemplateFact(name, summary, None, None)
        return TemplateFact(name, summary, image.key, size_of(image))

    def _names(self) -> tuple[str, ...]:
        return tuple(sorted(path.parent.name for path in self._recipes.glob("*/recipe.toml")))

    def _check(self, name: str) -> None:
        known = (*self._names(), *self.own.names())
        if name not in known and not self.own.trying(name):
            raise NameUnknown(f"There is no template {name[:80]!r}; there are: {', '.join(known)}.")


def size_of(image: Image) -> int:
    """What a machine boots from, in bytes."""
    files = (image.vmlinuz, image.initrd, image.agent, image.root)
    return sum(path.stat().st_size for path in files)


def recipes_folder() -> Path:
    """Where the templates' recipes are: in the installed package, or in the checkout.

    Raises:
        HostUnfit: neither is there.
    """
    here = Path(__file__).parents[2]
    for folder in (here / "_images", here.parents[1] / "images"):
        if folder.is_dir():
            return folder
    raise HostUnfit(
        f"The templates' recipes are missing beside {here}.", hint="Reinstall forge-microvm."
    )


def guest_folder() -> Path:
    """Where the agent's sources are. Found without importing them: they are the guest's.

    Raises:
        HostUnfit: they are not installed.
    """
    spec = find_spec("forge_guest")
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise HostUnfit("The guest's sources are missing.", hint="Reinstall forge-microvm.")
    return Path(places[0])
