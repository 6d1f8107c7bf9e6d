"""Reasons that need no guest: each says what is wrong in a person's words."""

import os
import socket
from pathlib import Path

import pytest

from forge.errors import ProgramMissing
from forge.sandbox.firecracker.engine import find_firecracker
from forge.sandbox.firecracker.probe import unfit
from forge.sandbox.firecracker.warm import copy_without_zeroes

GOOD = "Firecracker v1.12.1"


def test_a_version_that_boots_nothing_of_ours_is_named(tmp_path: Path) -> None:
    """Before 1.10 a guest waits for ever on a line that its second saving ended."""
    assert "too old: 1.10 or later" in unfit("Firecracker v1.9.1", tmp_path)
    assert "does not say that it is Firecracker" in unfit("firecracker 3.1, a game", tmp_path)
    assert unfit("Firecracker v1.10.0", tmp_path) == ""


def test_a_host_without_kvm_is_named(tmp_path: Path) -> None:
    """There is nothing else Firecracker could run on."""
    assert "there is no" in unfit(GOOD, tmp_path / "kvm")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every device")
def test_a_device_that_may_not_be_opened_is_named(tmp_path: Path) -> None:
    """With the group that may, as that is what is usually missing."""
    device = tmp_path / "kvm"
    device.touch(mode=0o000)
    assert "group" in unfit(GOOD, device)


def test_forges_own_copy_of_the_program_comes_first(tmp_path: Path) -> None:
    """What the script fetched is used, wherever else there is one."""
    own = tmp_path / "bin" / "firecracker"
    own.parent.mkdir()
    own.touch()
    assert find_firecracker(tmp_path) == own


def test_a_missing_program_is_named_with_where_to_put_it(tmp_path: Path) -> None:
    """And with the page that says where to get it."""
    if Path("/usr/local/bin/firecracker").exists() or Path("/usr/bin/firecracker").exists():
        assert find_firecracker(tmp_path).name == "firecracker"
        return
    with pytest.raises(ProgramMissing, match="firecracker is not installed") as caught:
        find_firecracker(tmp_path)
    assert "docs/providers.md" in caught.value.hint


def test_a_memorys_zeroes_become_holes(tmp_path: Path) -> None:
    """The copy is equal to the byte, and as small as what was used."""
    source, target = tmp_path / "memory", tmp_path / "kept"
    content = bytes(1 << 20) + os.urandom(70_000) + bytes(1 << 20)
    source.write_bytes(content)
    copy_without_zeroes(source, target)
    assert target.read_bytes() == content
    assert target.stat().st_blocks * 512 <= 256 * 1024


def test_a_link_in_a_saved_files_place_is_not_followed(tmp_path: Path) -> None:
    """A taken-over VMM must not have Forge copy a file of its choice into a template."""
    (tmp_path / "secret").write_text("x")
    (tmp_path / "memory").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        copy_without_zeroes(tmp_path / "memory", tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket"])
def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    """A pipe without a writer would hold Forge's thread for ever."""
    place = tmp_path / "memory"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place))
    with pytest.raises(OSError, match=r"plain file|No such device"):
        copy_without_zeroes(place, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
