"""`forge volume`: what it prints, and how a volume is named for a machine."""

import json
from pathlib import Path

import pytest

from forge.cli import volume
from forge.cli.exits import Exit, of_error
from forge.cli.render import Screen
from forge.errors import InputRefused, NameUnknown, VolumeBusy
from forge.sandbox.volumes import VolumeMount, VolumeStore
from forge.settings import Settings, read_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FORGE_HOME", str(tmp_path / "home"))
    return read_settings()


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("data:/data", VolumeMount("data", "/data")),
        ("data:/data:rw", VolumeMount("data", "/data")),
        ("my-data:/home/user/x:ro", VolumeMount("my-data", "/home/user/x", read_only=True)),
    ],
)
def test_a_volume_is_named_with_its_place(text: str, mount: VolumeMount):
    """`NAME:PATH`, and `:ro` for one that is only read."""
    assert volume.mount_from(text) == mount


@pytest.mark.parametrize("text", ["", "data", "data:", ":/data", "data:/data:no", "a:/b:ro:ro"])
def test_what_names_no_place_is_refused_with_an_example(text: str):
    """A misspelt mode must not make a volume writable."""
    with pytest.raises(InputRefused) as caught:
        volume.mount_from(text)
    assert "NAME:PATH:ro" in caught.value.hint


async def test_a_volumes_life_is_told_in_words(settings: Settings, capsys: pytest.CaptureFixture):
    """Made, listed, shown, removed: each with the facts a person needs."""
    screen = Screen()
    assert await volume.create(settings, screen, "data", 32) is Exit.DONE
    assert "The volume data is ready; it holds 32 MiB." in capsys.readouterr().out
    assert await volume.list_all(settings, screen, as_json=False) is Exit.DONE
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["VOLUME", "SIZE", "OCCUPIES", "MADE", "STATE"]
    assert row.split()[:3] == ["data", "32", "MiB"]
    assert row.endswith("clean")
    assert await volume.show(settings, screen, "data", as_json=False) is Exit.DONE
    assert "holds 32 MiB, occupies" in capsys.readouterr().out
    assert await volume.remove(settings, screen, "data") is Exit.DONE
    assert "are gone" in capsys.readouterr().out
    assert VolumeStore(settings.home).list() == ()


async def test_scripts_are_told_a_volume_as_json(settings: Settings, capsys: pytest.CaptureFixture):
    """One object a line, the same from `list` and `show`; no volumes, no line."""
    screen = Screen()
    await volume.list_all(settings, screen, as_json=True)
    assert capsys.readouterr().out == ""
    for name in ("a", "b"):
        await volume.create(settings, screen, name, 16)
    capsys.readouterr()
    await volume.list_all(settings, screen, as_json=True)
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    await volume.show(settings, screen, "b", as_json=True)
    assert json.loads(capsys.readouterr().out) == listed[1]
    assert [(each["name"], each["size_mib"], each["clean"]) for each in listed] == [
        ("a", 16, True),
        ("b", 16, True),
    ]


async def test_what_cannot_be_done_ends_with_its_code(settings: Settings):
    """A name twice or malformed, a size out of range, one that is not there, one in use."""
    screen = Screen()
    await volume.create(settings, screen, "data", 16)
    for name, size in (("data", 16), ("Data", 16), ("../x", 16), ("small", 15)):
        with pytest.raises(InputRefused):
            await volume.create(settings, screen, name, size)
    with pytest.raises(NameUnknown, match="'none'"):
        await volume.remove(settings, screen, "none")
    held = VolumeStore(settings.home).hold("data", read_only=True)
    try:
        with pytest.raises(VolumeBusy) as caught:
            await volume.remove(settings, screen, "data")
    finally:
        held.close()
    assert of_error(caught.type) is Exit.MACHINE
    assert [each.name for each in VolumeStore(settings.home).list()] == ["data"]
