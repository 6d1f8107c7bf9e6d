"""Room on the host: whom it is promised to, and when it is refused."""

import json
from pathlib import Path

import pytest

from forge.errors import NoSpace
from forge.sandbox import room
from forge.sandbox.room import Host, Promise, refusal

WANTED = Promise(1024, 1024)
NOBODY = Promise(0, 0)
LARGE = Host(memory=16_000, memory_available=12_000, disk_free=50_000)


def test_a_machine_that_fits_is_not_refused():
    """On an idle host there is room."""
    assert refusal(WANTED, NOBODY, 0, LARGE) is None


def test_a_machine_must_fit_whole_into_what_is_free_now():
    """With QEMU's own memory and what is kept for the host."""
    assert "1920 MiB of free memory" in str(refusal(WANTED, NOBODY, 0, Host(16_000, 1919, 50_000)))
    assert refusal(WANTED, NOBODY, 0, Host(16_000, 1920, 50_000)) is None
    small = refusal(Promise(256, 64), NOBODY, 0, Host(1000, 607, 50_000))
    assert "608 MiB" in str(small)


def test_promises_have_an_end():
    """Four times what the host has, in memory and in disk; what disks occupy counts as theirs."""
    assert refusal(WANTED, Promise(62_976, 0), 0, LARGE) is None
    assert "promised 62977 MiB of memory" in str(refusal(WANTED, Promise(62_977, 0), 0, LARGE))
    assert refusal(WANTED, Promise(0, 198_976), 0, LARGE) is None
    assert "of disk" in str(refusal(WANTED, Promise(0, 198_977), 0, LARGE))
    assert refusal(WANTED, Promise(0, 198_977), 1, LARGE) is None


def test_a_full_disk_starts_nothing():
    """A machine needs some to begin with."""
    assert "63 MiB of disk" in str(refusal(WANTED, NOBODY, 0, Host(16_000, 12_000, 63)))


def machine(machines: Path, name: str, promised: object = None) -> Path:
    folder = machines / name
    folder.mkdir()
    if promised is not None:
        (folder / "promise.json").write_text(json.dumps(promised))
        (folder / "data.img").write_bytes(b"x")
    return folder


def test_what_others_were_promised_counts(tmp_path: Path):
    """Over processes: each machine's folder holds its promise."""
    host = Host(2000, 2000, 50_000)
    for number in range(7):
        room.promise(machine(tmp_path, f"m{number}"), WANTED, host)
        (tmp_path / f"m{number}/data.img").write_bytes(b"")
    with pytest.raises(NoSpace, match="over 4 times the host's 2000"):
        room.promise(machine(tmp_path, "last"), WANTED, host)
    assert not (tmp_path / "last/promise.json").exists()
    (tmp_path / "m0/promise.json").unlink()
    room.promise(tmp_path / "last", WANTED, host)


def test_a_promise_that_cannot_be_read_is_nobodys(tmp_path: Path):
    """A machine that is just being made or removed does not stop others."""
    for number, broken in enumerate(([], "x", {"memory_mib": 1}, {"a": 1})):
        machine(tmp_path, f"b{number}", broken)
    room.promise(machine(tmp_path, "new"), WANTED, LARGE)


def test_this_host_has_something():
    """What is read from the kernel makes sense."""
    host = room.host(123)
    assert 0 < host.memory_available <= host.memory
    assert host.disk_free == 123
