"""Each of several processes of tests has a home of its own, and harms nobody's files."""

from pathlib import Path

import homes

FORGE = Path(".local/share/forge")


def test_homes_share_images_and_templates_and_nothing_else(tmp_path: Path):
    """What is expensive and made under a lock is the person's; machines and volumes are not."""
    (tmp_path / FORGE / "machines" / "sbx_1").mkdir(parents=True)
    (tmp_path / FORGE / "probe.json").write_text("the verdict")
    (tmp_path / ".gitconfig").write_text("[user]")
    with homes.made(tmp_path, 2) as (one, other):
        (one / FORGE / "templates/made").mkdir()
        (one / FORGE / "machines").mkdir()
        (one / FORGE / "probe.json").write_text("another")
        assert (other / FORGE / "templates/made").is_dir()
        assert not (other / FORGE / "machines").exists()
        assert (other / FORGE / "probe.json").read_text() == "the verdict"
        assert (other / ".gitconfig").read_text() == "[user]"


def test_the_homes_go_and_what_they_shared_stays(tmp_path: Path):
    """Removing a home follows no link out of it."""
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/kept").touch()
    with homes.made(tmp_path, 2) as (one, _):
        (one / FORGE / "images/made").touch()
    assert not one.exists()
    assert sorted(each.name for each in (tmp_path / FORGE).iterdir()) == ["images", "templates"]
    assert (tmp_path / FORGE / "images/made").exists()
    assert (tmp_path / ".cache/kept").exists()


def test_what_killed_tests_left_goes_and_what_living_ones_use_stays(tmp_path: Path):
    """The lock on a folder of homes says whether anybody still uses it."""
    left = tmp_path / FORGE / "tests-killed"
    left.mkdir(parents=True)
    with homes.made(tmp_path, 1) as (one,), homes.made(tmp_path, 1) as (other,):
        assert not left.exists()
        assert one.is_dir()
        assert other.is_dir()


def test_processes_are_as_many_as_the_cores_are_worth():
    """One core is worth none besides pytest itself, and many are worth no more than a few."""
    assert [homes.many(cores) for cores in (1, 2, 64)] == [0, 2, homes.MOST]


def test_only_tests_that_belong_together_go_to_one_process():
    """A file that is named has one group for all its tests; each other test is by itself."""
    for name in homes.TOGETHER:
        assert (Path(__file__).parents[3] / name).is_file()
        assert homes.together(f"{name}::test_one[a]") == homes.TOGETHER[name]
    assert (
        homes.together("tests/unit/test_x.py::test_one[a]") == "tests/unit/test_x.py::test_one[a]"
    )
