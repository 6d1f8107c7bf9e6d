"""One builder at a time, and no rubbish."""

import asyncio
from pathlib import Path

import pytest

from forge.errors import ImageBuildFailed
from forge.sandbox.images.workplace import locked, remove_left, workplace


def test_a_workplace_is_gone_when_its_build_ends(tmp_path: Path):
    """Its folders and the log of a good build are removed."""
    work, log = tmp_path / "work", tmp_path / "logs" / "x.log"
    with workplace(work, log, tmp_path) as place:
        (place.trees / "tree" / "inner").mkdir(parents=True)
        (place.folder / "file").touch()
        assert log.exists()
    assert not place.trees.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs"]
    assert not log.exists()


def test_the_log_of_a_failed_build_is_kept(tmp_path: Path):
    """Everything else is removed."""
    work, log = tmp_path / "work", tmp_path / "logs" / "x.log"

    def fail() -> None:
        with workplace(work, log, tmp_path) as place:
            place.log.write_text("why")
            raise ImageBuildFailed("it failed")

    with pytest.raises(ImageBuildFailed, match="it failed"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    assert log.read_text() == "why"


def test_what_a_killed_build_left_is_removed_first(tmp_path: Path):
    """Its work folder, and the trees that lie elsewhere and that it links to."""
    trees = tmp_path / "elsewhere" / "forge-image-abc"
    (trees / "tree").mkdir(parents=True)
    work = tmp_path / "work"
    work.mkdir()
    (work / "root.img").write_bytes(b"half")
    (work / "trees").symlink_to(trees)
    with workplace(work, tmp_path / "logs" / "x.log", tmp_path) as place:
        assert not trees.exists()
        assert not (place.folder / "root.img").exists()


def test_a_link_to_something_else_is_not_followed(tmp_path: Path):
    """Only a folder that a build made for its trees is removed through the link."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    work = tmp_path / "work"
    work.mkdir()
    (work / "trees").symlink_to(precious)
    remove_left(work)
    assert not work.exists()
    assert (precious / "file").exists()


async def test_a_second_builder_waits_for_the_first(tmp_path: Path):
    """It says so once, and goes on when the first has ended."""
    told: list[str] = []
    waiting, order = asyncio.Event(), []

    def tell() -> None:
        told.append("waiting")
        waiting.set()

    async def second() -> None:
        async with locked(tmp_path, tell):
            order.append("second")

    async with asyncio.TaskGroup() as tasks, locked(tmp_path, tell):
        tasks.create_task(second())
        async with asyncio.timeout(60):
            await waiting.wait()
        order.append("first")
    assert order == ["first", "second"]
    assert told == ["waiting"]
