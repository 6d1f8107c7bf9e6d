"""Saved templates: found when whole, refused when changed, copied with their holes."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.errors import TemplateCorrupt, TemplateForeign
from forge.sandbox.machines import template

KEY = "0123456789abcdef"
MIB = 1 << 20


def _save(templates: Path) -> Path:
    folder = templates / KEY
    folder.mkdir(parents=True)
    for name, size in (("memory", 8 * MIB), ("data.img", 4 * MIB)):
        with (folder / name).open("wb") as file:
            file.truncate(size)
            file.seek(MIB)
            file.write(os.urandom(5000))
    (folder / "state").write_bytes(b"device state")
    template.seal(folder, KEY)
    return folder


def test_what_was_sealed_is_found(tmp_path: Path) -> None:
    """A whole template comes back with its state."""
    folder = _save(tmp_path)
    found = template.find(tmp_path, KEY)
    assert found == template.Template(KEY, folder, b"device state")


def test_a_template_that_was_never_made_is_none(tmp_path: Path) -> None:
    """Nothing is found under another key."""
    assert template.find(tmp_path, KEY) is None


@pytest.mark.parametrize("name", ["memory", "state", "data.img"])
def test_a_byte_that_changed_is_corrupt(tmp_path: Path, name: str) -> None:
    """One flipped byte in any file is noticed by its change time, then by its digest."""
    path = _save(tmp_path) / name
    with path.open("r+b") as file:
        file.seek(MIB if name != "state" else 0)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes((byte[0] ^ 1,)))
    with pytest.raises(TemplateCorrupt, match=name):
        template.find(tmp_path, KEY)


def test_data_moved_within_a_sparse_file_is_corrupt(tmp_path: Path) -> None:
    """The digest covers where data stands, not only what it is."""
    path = _save(tmp_path) / "memory"
    with path.open("r+b") as file:
        file.seek(MIB)
        data = file.read(5000)
        file.truncate(0)
        file.truncate(8 * MIB)
        file.seek(2 * MIB)
        file.write(data)
    with pytest.raises(TemplateCorrupt):
        template.find(tmp_path, KEY)


def test_a_touched_file_with_the_same_bytes_is_good(tmp_path: Path) -> None:
    """Restored from a backup, a template is hashed once more and used."""
    path = _save(tmp_path) / "memory"
    os.utime(path, ns=(1, 1))
    assert template.find(tmp_path, KEY) is not None


@pytest.mark.parametrize("name", ["memory", "state", "data.img", "manifest.json"])
def test_a_missing_file_is_corrupt(tmp_path: Path, name: str) -> None:
    """A template of which a part is gone is not loaded."""
    (_save(tmp_path) / name).unlink()
    with pytest.raises(TemplateCorrupt):
        template.find(tmp_path, KEY)


@given(
    garbage=st.one_of(st.text(), st.recursive(st.none() | st.integers(), st.lists).map(json.dumps))
)
def test_a_manifest_of_garbage_is_corrupt(
    garbage: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever a manifest holds, the answer is the named error."""
    folder = _save(tmp_path_factory.mktemp("templates"))
    (folder / "manifest.json").write_text(garbage, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(TemplateCorrupt):
        template.find(folder.parent, KEY)


def test_a_template_of_another_key_is_foreign(tmp_path: Path) -> None:
    """A folder renamed to another key is not taken for it."""
    _save(tmp_path).rename(tmp_path / "fedcba")
    with pytest.raises(TemplateForeign):
        template.find(tmp_path, "fedcba")


def test_the_templates_used_last_are_kept(tmp_path: Path) -> None:
    """A sweep removes what was used longest ago; a use counts as new."""
    first = _save(tmp_path)
    for number in range(template.KEPT + 1):
        copy = tmp_path / f"{number:016x}"
        copy.mkdir()
        (copy / "manifest.json").write_text("{}")
        os.utime(copy, ns=(number, number))
    os.utime(first, ns=(0, 0))
    assert template.find(tmp_path, KEY) is not None
    assert template.sweep(tmp_path) == 2
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([KEY, *(f"{number:016x}" for number in range(2, template.KEPT + 1))])


def test_what_the_dead_left_half_made_is_removed(tmp_path: Path) -> None:
    """A killed process leaves no folder of memory behind; a living one keeps its own."""
    own = template.half_made(tmp_path, KEY)
    dead = own.with_name(f".new-{KEY}-{2**22 + 1}")
    for folder in (own, dead):
        folder.mkdir()
    template.remove_abandoned(tmp_path)
    assert (own.is_dir(), dead.is_dir()) == (True, False)


def test_a_key_changes_with_any_of_its_parts() -> None:
    """QEMU's version alone makes another template."""
    parts: dict[str, object] = {"qemu": "7.2", "argv": ["a"], "image": "x"}
    assert template.template_key(parts) == template.template_key(dict(reversed(parts.items())))
    assert template.template_key(parts) != template.template_key({**parts, "qemu": "8.0"})


def test_a_sparse_copy_is_equal_and_as_sparse(tmp_path: Path) -> None:
    """Holes stay holes; bytes stay bytes."""
    source = _save(tmp_path) / "memory"
    template.copy_sparse(source, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    assert (tmp_path / "copy").stat().st_blocks <= source.stat().st_blocks + 8


def test_a_sparse_copy_to_another_file_system_is_the_same(tmp_path: Path):
    """Templates and machines may stand on different disks: bytes and holes stay what they were."""
    elsewhere = Path("/dev/shm", f"forge-test-{os.getpid()}")
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.write(b"begin")
        file.seek(1 << 20)
        file.write(b"end")
    try:
        template.copy_sparse(source, elsewhere)
        assert elsewhere.read_bytes() == source.read_bytes()
        assert elsewhere.stat().st_blocks < (1 << 20) // 512
    finally:
        elsewhere.unlink(missing_ok=True)
