"""Which change remakes which part."""

import dataclasses
from pathlib import Path

import pytest

from forge.errors import InputRefused
from forge.sandbox.images.key import guest_sources, plan_image
from forge.sandbox.images.recipe import Declaration, Recipe

DECLARED = {
    "name": "tiny",
    "summary": "A test.",
    "debian": {"suite": "bookworm", "packages": ["git"]},
    "environment": {"A": "1"},
}
GUEST = {"init.py": b"print()", "wire/frames.py": b"x = 1"}


def recipe(requirements: str = "", preload: tuple[str, ...] = (), **changes: object) -> Recipe:
    return Recipe(Declaration.model_validate(DECLARED | changes), requirements, preload)


def changed(one, other) -> set[str]:
    before, after = dataclasses.asdict(one), dataclasses.asdict(other)
    return {name for name in before if before[name] != after[name]}


def test_the_same_inputs_give_the_same_keys():
    """A key depends on nothing else: not on time, place or the order of a mapping."""
    turned = dict(reversed(GUEST.items()))
    assert plan_image(recipe(), GUEST) == plan_image(recipe(), turned)


@pytest.mark.parametrize(
    ("other", "guest", "parts"),
    [
        (recipe(), GUEST | {"init.py": b"print(1)"}, {"agent"}),
        (recipe(), GUEST | {"new.py": b""}, {"agent"}),
        (recipe(requirements="numpy==1"), GUEST, {"root"}),
        (recipe(preload=("numpy",)), GUEST, set()),
        (recipe(environment={"A": "2"}), GUEST, {"root"}),
        (recipe(remove=["boot"]), GUEST, {"root"}),
        (
            recipe(debian={"suite": "trixie", "packages": ["git"]}),
            GUEST,
            {"kernel", "interpreter", "agent", "root"},
        ),
        (recipe(debian={"suite": "bookworm", "packages": ["git", "jq"]}), GUEST, {"root"}),
        (recipe(name="other"), GUEST, set()),
    ],
)
def test_a_change_remakes_what_depends_on_it_alone(other, guest, parts):
    """Every input is in the image's key, and in the keys of exactly the parts it goes into."""
    assert changed(plan_image(recipe(), GUEST), plan_image(other, guest)) == parts | {"image"}


def test_a_summary_may_be_reworded():
    """What is only for people to read remakes nothing."""
    assert plan_image(recipe(summary="Another."), GUEST) == plan_image(recipe(), GUEST)


def test_only_source_files_count_as_the_guest(tmp_path: Path):
    """Byte code that a test run left beside the source does not change the key."""
    (tmp_path / "init.py").write_text("pass")
    before = guest_sources(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "init.cpython-311.pyc").write_bytes(b"x")
    assert guest_sources(tmp_path) == before == {"init.py": b"pass"}


def test_a_folder_without_the_agent_is_refused(tmp_path: Path):
    """A wrong folder is noticed before anything is built from it."""
    with pytest.raises(InputRefused, match=r"init\.py is missing"):
        guest_sources(tmp_path)


def test_programs_of_other_languages_belong_to_the_guest(tmp_path: Path):
    """What drives Node is part of the agent, and so of its key; notes beside it are not."""
    for name in ("init.py", "node/driver.js", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert list(guest_sources(tmp_path)) == ["init.py", "node/driver.js"]
