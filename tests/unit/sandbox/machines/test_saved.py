"""What is saved of a machine: refused in words where it is not what was saved, or not for here."""

import json
import os
import shutil
import struct
from pathlib import Path

import pytest

from forge.errors import SnapshotCorrupt, SnapshotForeign
from forge.sandbox import records
from forge.sandbox.base import Limits
from forge.sandbox.machines import saved
from forge.sandbox.machines.saved import Manifest, Sealing, load, write_manifest
from forge.sandbox.machines.thread import GivenUp
from forge.sandbox.qemu.splice import splice

SHAPE = dict.fromkeys(saved._SHAPE_WORDS, "same")
MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved machine."""
    place = tmp_path / "sbx_one"
    place.mkdir(mode=0o700)
    for name, size in (("memory", 8 * MIB), ("data.img", 4 * MIB)):
        with (place / name).open("wb") as file:
            file.truncate(size)
            file.seek(MIB)
            file.write(os.urandom(5000))
    (place / "state").write_bytes(b"device state")
    write_manifest(place, manifest(place))
    return place


def manifest(place: Path, *, boot: str | None = None, sealed: bool = False) -> Manifest:
    return Manifest(
        shape=SHAPE,
        accelerator="tcg",
        image=saved.ImageFact(name="base", key="k", agent="a.img", root="r.img", root_kind="x"),
        wish=saved.Wish(template="base", limits=Limits(memory_mib=256, disk_mib=64, processes=16)),
        boot=boot or records.boot_id(),
        sealed=sealed,
        files=saved.stamps(place),
    )


def loaded(place: Path, **other: str) -> tuple[Manifest, bytes]:
    return load(place, lambda _: SHAPE | other)


def test_what_was_saved_is_loaded(folder: Path):
    """Its state comes back, sealed or not."""
    assert loaded(folder)[1] == b"device state"
    Sealing(folder).run()
    found, state = loaded(folder)
    assert state == b"device state"
    assert found.sealed
    assert all(stamp.sha256 for stamp in found.files.values())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", saved.FILES)
def test_what_took_a_files_place_does_not_hold_the_sealing(folder: Path, name: str):
    """A FIFO that nobody writes to, a folder: what was saved is there no more."""
    for put in (os.mkfifo, os.mkdir):
        shutil.move(folder / name, folder.parent / "kept")
        put(folder / name)
        with pytest.raises((GivenUp, OSError)):
            Sealing(folder).run()
        (folder / name).unlink() if put is os.mkfifo else (folder / name).rmdir()
        shutil.move(folder.parent / "kept", folder / name)


@pytest.mark.parametrize("key", saved._SHAPE_WORDS)
def test_what_was_saved_for_something_else_is_foreign(folder: Path, key: str):
    """The error names what is different, and both sides of it."""
    words = saved._SHAPE_WORDS[key]
    with pytest.raises(SnapshotForeign, match=f"another {words}: same; here: other"):
        loaded(folder, **{key: "other"})


@pytest.mark.parametrize("name", saved.FILES)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_byte_that_changed_is_corrupt(folder: Path, name: str, sealed: bool):
    """Whether durable or only complete, what was written to since is refused by name."""
    if sealed:
        Sealing(folder).run()
    saved_at = (folder / name).stat().st_ctime_ns
    while (folder / name).stat().st_ctime_ns == saved_at:  # the kernel's ticks are milliseconds
        with (folder / name).open("r+b") as file:
            file.seek(MIB if name != "state" else 0)
            file.write(b"!")
    with pytest.raises(SnapshotCorrupt, match=f"{name} of sbx_one is not what was saved"):
        loaded(folder)


def test_what_was_not_durable_when_the_host_stopped_is_refused(folder: Path):
    """After another boot only what was sealed is trusted, and its bytes are compared."""
    write_manifest(folder, manifest(folder, boot="another"))
    with pytest.raises(SnapshotCorrupt, match="not durable"):
        loaded(folder)
    Sealing(folder).run()
    assert loaded(folder)[1] == b"device state"


def test_after_a_restart_bytes_are_compared_whatever_the_stamps_say(folder: Path):
    """A disk that lost a write keeps the times of the file."""
    write_manifest(folder, manifest(folder, boot="another"))
    Sealing(folder).run()
    said = json.loads((folder / "manifest.json").read_text())
    said["files"]["memory"]["sha256"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(said))
    with pytest.raises(SnapshotCorrupt, match="memory"):
        loaded(folder)


def test_the_same_bytes_elsewhere_are_the_same_snapshot(folder: Path, tmp_path: Path):
    """A sealed one survives a backup."""
    Sealing(folder).run()
    other = tmp_path / "sbx_two"
    other.mkdir(mode=0o700)
    for each in folder.iterdir():
        (other / each.name).write_bytes(each.read_bytes())
    with pytest.raises(SnapshotCorrupt):  # its holes are gone, which a digest covers
        loaded(other)
    os.system(f"cp --sparse=always {folder}/memory {folder}/data.img {other}/")
    assert loaded(other)[1] == b"device state"


@pytest.mark.parametrize(
    "words", ["", "[]", "{}", '{"shape": 1}', "\xff", '{"files":{}}', "9" * 5000]
)
def test_a_manifest_that_is_none_is_corrupt(folder: Path, words: str):
    """Whatever it holds, only SnapshotCorrupt comes out."""
    (folder / "manifest.json").write_text(words)
    with pytest.raises(SnapshotCorrupt):
        loaded(folder)
    assert saved.glance(folder) is None


def test_a_manifest_cannot_name_files_elsewhere(folder: Path):
    """The image's files are names, never paths."""
    said = json.loads((folder / "manifest.json").read_text())
    said["image"]["root"] = "../../secret.img"
    (folder / "manifest.json").write_text(json.dumps(said))
    with pytest.raises(SnapshotCorrupt, match="damaged"):
        loaded(folder)


@pytest.mark.parametrize("name", [*saved.FILES, "manifest.json"])
def test_a_symlink_in_place_of_a_file_is_refused(folder: Path, tmp_path: Path, name: str):
    """Whoever could put one there reads and writes through nobody else's rights."""
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SnapshotCorrupt):
        loaded(folder)


def test_a_folder_that_is_a_symlink_is_refused(folder: Path, tmp_path: Path):
    """The folder itself may lead nowhere else either."""
    (tmp_path / "sbx_link").symlink_to(folder)
    with pytest.raises(SnapshotCorrupt):
        loaded(tmp_path / "sbx_link")


@pytest.mark.parametrize("name", [*saved.FILES, "manifest.json"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(folder: Path, name: str):
    """Its owner could change it under us."""
    os.chown(folder / name, 65534, 65534)
    with pytest.raises(SnapshotCorrupt):
        loaded(folder)


def test_sealing_that_was_given_up_writes_nothing(folder: Path):
    """A machine that runs again is not said to be paused by a thread that comes late."""
    sealing = Sealing(folder)
    sealing.give_up()
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(GivenUp):
        sealing.run()
    assert (folder / "manifest.json").read_bytes() == before
    (folder / "manifest.json").unlink()
    with pytest.raises(GivenUp):
        Sealing(folder).run()
    assert not (folder / "manifest.json").exists()


def section(number: int, name: bytes, data: bytes) -> bytes:
    head = b"\x04" + struct.pack(">I", number) + bytes((len(name),)) + name
    return head + struct.pack(">II", 0, 2) + data


def test_devices_are_put_in_the_place_of_the_former_ones():
    """The configuration and blocks that never change stay; what follows is the new."""
    head = b"QEVM\0\0\0\3"
    before = head + b"\7config" + b"\1ram blocks"
    former = before + section(0, b"timer", b"old") + section(3, b"cpu", b"older") + b"\0"
    devices = head + section(0, b"timer", b"new") + section(3, b"cpu", b"newer") + b"\0"
    state = splice(former, devices)
    assert state == before + devices[8:] + b"\6\0\0\0\2{}"
    assert splice(state, devices) == state


@pytest.mark.parametrize(
    "devices", [b"", b"QEVM", b"QEVM\0\0\0\3\0", b"XXXX\0\0\0\3" + section(0, b"timer", b"")]
)
def test_devices_of_another_form_are_refused(devices: bytes):
    """A QEMU that writes something else is not guessed at."""
    with pytest.raises(ValueError, match="form"):
        splice(b"QEVM" + section(0, b"timer", b""), devices)
    with pytest.raises(ValueError, match="begin"):
        splice(b"QEVM", b"QEVM\0\0\0\3" + section(0, b"timer", b""))
