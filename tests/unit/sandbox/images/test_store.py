"""An image is found whole or not at all."""

import json
from pathlib import Path

import pytest

from forge.errors import ImageError
from forge.sandbox.images.key import guest_sources, plan_image
from forge.sandbox.images.recipe import read_recipe
from forge.sandbox.images.store import Image, ImageStore

RECIPE = """
name = "tiny"
summary = "A test."
[debian]
suite = "bookworm"
[environment]
A = "1"
"""


class Bench:
    """A store, and a recipe and guest to ask it for."""

    def __init__(self, folder: Path) -> None:
        self.recipe_dir, self.guest_dir = folder / "recipe", folder / "guest"
        self.recipe_dir.mkdir()
        self.guest_dir.mkdir()
        (self.recipe_dir / "recipe.toml").write_text(RECIPE)
        (self.recipe_dir / "preload.txt").write_text("json\n")
        (self.guest_dir / "init.py").write_text("pass")
        self.made = folder / "made"
        self.made.mkdir()
        self.store = ImageStore(folder / "home")

    def find(self) -> Image | None:
        return self.store.find("tiny", self.recipe_dir, self.guest_dir)

    def file(self, content: bytes) -> Path:
        path = self.made / "file"
        path.write_bytes(content)
        return path

    def keep(self) -> Image:
        recipe = read_recipe("tiny", self.recipe_dir)
        plan = plan_image(recipe, guest_sources(self.guest_dir))
        vmlinuz, initrd = self.made / "v", self.made / "i"
        vmlinuz.write_bytes(b"kernel")
        initrd.write_bytes(b"initrd")
        kernel = self.store.keep_part(
            "kernel", plan.kernel, {"vmlinuz": vmlinuz, "initrd": initrd}, {"linux": "6.1"}
        )
        agent = self.store.keep_part("agent", plan.agent, {"img": self.file(b"agent")}, {})
        root = self.store.keep_part("root", plan.root, {"img": self.file(b"root")}, {"git": "2"})
        return self.store.keep_image(recipe, plan, (kernel, agent, root))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_nothing_is_found_in_an_empty_home(bench: Bench):
    """Looking makes nothing: an empty home stays empty."""
    assert bench.find() is None
    assert not bench.store.folder.exists()


def test_what_was_kept_is_found(bench: Bench):
    """The image found is the image kept, with its files, environment and preload list."""
    kept = bench.keep()
    assert bench.find() == kept
    assert kept.vmlinuz.read_bytes() == b"kernel"
    assert kept.initrd.read_bytes() == b"initrd"
    assert kept.agent.read_bytes() == b"agent"
    assert kept.root.read_bytes() == b"root"
    assert (kept.preload, kept.env, kept.root_kind) == (("json",), {"A": "1"}, "squashfs")
    bench.store.verify(kept)


def test_a_changed_recipe_is_another_image(bench: Bench):
    """An image built from yesterday's recipe is not taken for today's."""
    bench.keep()
    (bench.recipe_dir / "preload.txt").write_text("json\ncsv\n")
    assert bench.find() is None


@pytest.mark.parametrize("name", ["vmlinuz", "initrd", "agent", "root"])
@pytest.mark.parametrize("damage", ["gone", "short"])
def test_an_image_with_a_damaged_file_is_not_found(bench: Bench, name: str, damage: str):
    """A file that is missing or has another size makes the whole image count as missing."""
    path: Path = getattr(bench.keep(), name)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    assert bench.find() is None


def _edit(text: str, *steps: str, value: object) -> str:
    whole = json.loads(text)
    at = whole
    for step in steps[:-1]:
        at = at[int(step) if step.isdigit() else step]
    at[steps[-1]] = value
    return json.dumps(whole)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda _: "",
        lambda _: "[]",
        lambda text: _edit(text, "key", value="0" * 16),
        lambda text: _edit(text, "name", value="other"),
        lambda text: _edit(text, "extra", value=1),
        lambda text: _edit(text, "parts", "0", "key", value="../../../../etc/passwd"),
        lambda text: _edit(text, "parts", "0", "files", value={"../passwd": {}}),
        lambda text: _edit(text, "parts", "0", "kind", value="root"),
        lambda text: _edit(text, "parts", value=[]),
    ],
)
def test_a_damaged_manifest_counts_as_missing(bench: Bench, damage):
    """Cut off, emptied, renamed or edited to lead elsewhere: such an image has to be built."""
    image = bench.keep()
    manifest = bench.store.folder / f"tiny-{image.key}.json"
    manifest.write_text(damage(manifest.read_text()))
    assert bench.find() is None


def test_verifying_names_a_file_whose_bytes_changed(bench: Bench):
    """Damage that keeps the size is beyond `find`, and `verify` finds it."""
    image = bench.keep()
    image.root.write_bytes(b"tooR")
    assert bench.find() == image
    with pytest.raises(ImageError, match=image.root.name):
        bench.store.verify(image)


def test_a_part_without_its_facts_is_not_there(bench: Bench):
    """A builder killed between a file and its facts has not made the part."""
    image = bench.keep()
    key = image.root.stem.removeprefix("root-")
    assert bench.store.part("root", key) is not None
    image.root.with_suffix(".json").unlink()
    assert bench.store.part("root", key) is None


def test_a_part_cannot_pass_for_another(bench: Bench):
    """Facts copied under another key do not make that part exist."""
    image = bench.keep()
    facts = image.root.with_suffix(".json")
    (facts.parent / f"root-{'0' * 16}.json").write_bytes(facts.read_bytes())
    assert bench.store.part("root", "0" * 16) is None
