"""What a recipe may say, and how what it may not say is refused."""

from pathlib import Path

import pytest

from forge.errors import InputRefused
from forge.sandbox.images.recipe import read_recipe

WHOLE = """
name = "tiny"
summary = "A test."
remove = ["usr/share/doc/*"]
[debian]
suite = "bookworm"
packages = ["git", "libstdc++6"]
[python]
caches = ["matplotlib.font_manager"]
[environment]
MPLBACKEND = "agg"
"""


def folder_with(tmp_path: Path, recipe: str, **files: str) -> Path:
    (tmp_path / "recipe.toml").write_text(recipe)
    for name, content in files.items():
        (tmp_path / f"{name}.txt").write_text(content)
    return tmp_path


def test_a_whole_recipe_is_read(tmp_path):
    """Each key of the file, the lock and the preload list arrive, comments left out."""
    folder = folder_with(
        tmp_path, WHOLE, requirements="numpy==1\n", preload="# first\nnumpy\nscipy.stats # two\n\n"
    )
    recipe = read_recipe("tiny", folder)
    assert recipe.declared.debian.packages == ("git", "libstdc++6")
    assert recipe.declared.environment == {"MPLBACKEND": "agg"}
    assert recipe.requirements == "numpy==1\n"
    assert recipe.preload == ("numpy", "scipy.stats")


def test_lock_and_preload_list_may_be_missing(tmp_path):
    """A template without Python has neither."""
    recipe = read_recipe("tiny", folder_with(tmp_path, WHOLE))
    assert (recipe.requirements, recipe.preload) == ("", ())


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('summary = "A test."', 'summary = "A test."\nsumary = "x"', "sumary"),
        ("packages = ", "package = ", "package"),
        ('"git"', '"git; reboot"', "packages"),
        ('"git"', '"--simulate"', "packages"),
        ('suite = "bookworm"', 'suite = "../x"', "suite"),
        ('"usr/share/doc/*"', '"/etc"', "remove"),
        ('"usr/share/doc/*"', '"usr/../../etc"', "remove"),
        ('"usr/share/doc/*"', '"$(reboot)"', "remove"),
        ('"usr/share/doc/*"', '"usr\\n/etc"', "remove"),
        ('"matplotlib.font_manager"', '"os; print()"', "caches"),
        ('MPLBACKEND = "agg"', 'MPLBACKEND = "a\\"b"', "MPLBACKEND"),
        ('MPLBACKEND = "agg"', '"a b" = "agg"', "environment"),
        ("[debian]", "[debian", "recipe.toml"),
    ],
)
def test_a_faulty_recipe_is_refused_by_the_name_of_its_fault(tmp_path, old, new, named):
    """An unknown key, or a value that could reach a shell as more than a word, is refused."""
    assert old in WHOLE
    with pytest.raises(InputRefused, match=named):
        read_recipe("tiny", folder_with(tmp_path, WHOLE.replace(old, new)))


def test_a_recipe_under_another_name_is_refused(tmp_path):
    """A folder copied without changing its name is noticed."""
    with pytest.raises(InputRefused, match="names its template “tiny”"):
        read_recipe("other", folder_with(tmp_path, WHOLE))


def test_a_missing_recipe_is_refused(tmp_path):
    """The message names the file that was looked for."""
    with pytest.raises(InputRefused, match=r"recipe\.toml is missing"):
        read_recipe("tiny", tmp_path)


def test_a_preload_line_that_is_not_a_module_is_refused(tmp_path):
    """A preload list is imported inside the machine, so it may hold module names only."""
    with pytest.raises(InputRefused, match="not the name of a Python module"):
        read_recipe("tiny", folder_with(tmp_path, WHOLE, preload="numpy as np\n"))


def test_the_base_recipe_is_sound():
    """The recipe that ships is one that the reader takes, its lock pinned by hashes."""
    recipe = read_recipe("base", Path(__file__).parents[4] / "images" / "base")
    assert "numpy" in recipe.preload
    pins = [line for line in recipe.requirements.splitlines() if line[:1].isalnum()]
    assert pins
    assert all("==" in line for line in pins)
    assert recipe.requirements.count("--hash=sha256:") >= len(pins)
