"""Who owns a machine, on real processes: what dead owners left is removed, and nothing else."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest

from forge.sandbox import records
from forge.sandbox.records import ProcessStamp, alive, new_folder, reap, stamp, write_record


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing until it is killed, in the place of a VMM."""
    with subprocess.Popen(["sleep", "600"]) as running:
        yield running
        running.kill()


def dead() -> ProcessStamp:
    """The stamp of a process that has ended and was collected."""
    with subprocess.Popen(["sleep", "600"]) as running:
        seen = stamp(running.pid)
        running.kill()
    assert seen is not None
    return seen


def abandon(folder, owner: ProcessStamp, vmm: ProcessStamp | None = None) -> None:
    record = {"owner": asdict(owner), "vmm": asdict(vmm) if vmm else None}
    (folder / "record.json").write_text(json.dumps(record))


def test_a_living_process_has_one_stamp_and_a_dead_one_none(process):
    """The stamp stays the same while it lives, and is gone with it, collected or not."""
    seen = stamp(process.pid)
    assert seen == stamp(process.pid)
    assert seen is not None
    assert alive(seen)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert stamp(process.pid) is None, "a zombie counts as dead"
    process.wait()
    assert not alive(seen)


@pytest.mark.parametrize("change", [{"started": 1}, {"boot": "another"}])
def test_another_process_with_the_same_pid_is_another(process, change):
    """A pid that was given away, or a reboot, does not bring a process back."""
    seen = stamp(process.pid)
    assert seen is not None
    assert not alive(replace(seen, **change))


def test_a_process_whose_name_looks_like_its_facts_is_read_right():
    """The command name may hold spaces and parentheses."""
    code = (
        "import ctypes, sys; ctypes.CDLL(None).prctl(15, b') Z 1 (x) 2 3'); "
        "print(flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as odd:
        assert odd.stdout is not None
        odd.stdout.readline()
        seen = stamp(odd.pid)
        assert seen is not None
        assert seen.started > 1000
        odd.kill()


def test_the_machines_of_a_living_owner_stay(tmp_path, process):
    """This very process owns them; its reaper and others' leave them alone."""
    folder = new_folder(tmp_path / "machines", "sbx_1")
    assert reap(tmp_path / "machines") == 0
    write_record(folder, process.pid)
    assert reap(tmp_path / "machines") == 0
    assert folder.is_dir()
    assert process.poll() is None


def test_the_machines_of_a_dead_owner_go_with_their_vmm(tmp_path, process):
    """The folder is removed and the VMM that outlived its owner is killed."""
    folder = new_folder(tmp_path, "sbx_1")
    abandon(folder, dead(), stamp(process.pid))
    (folder / "data.img").write_bytes(b"x")
    assert reap(tmp_path) == 1
    assert not folder.exists()
    assert process.wait(10) == -signal.SIGKILL
    assert reap(tmp_path) == 0


def test_a_process_that_only_shares_the_vmms_pid_is_not_killed(tmp_path, process):
    """The start time tells them apart, so the reaper never hits a stranger."""
    folder = new_folder(tmp_path, "sbx_1")
    seen = stamp(process.pid)
    assert seen is not None
    abandon(folder, dead(), replace(seen, started=seen.started - 1))
    assert reap(tmp_path) == 1
    assert process.poll() is None


@pytest.mark.parametrize(
    "record",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        "{}",
        '{"owner": 1, "vmm": null}',
        '{"owner": {}, "vmm": null}',
        "\0",
    ],
)
def test_a_record_that_is_none_means_an_owner_that_died_early(tmp_path, record):
    """Half a record, or none, does not keep a folder for ever or stop the reaper."""
    folder = new_folder(tmp_path, "sbx_1")
    (folder / "record.json").write_text(record)
    assert reap(tmp_path) == 1


def test_a_folder_without_a_record_is_removed(tmp_path):
    """Its owner died between making the folder and noting itself."""
    (tmp_path / "sbx_1").mkdir()
    assert reap(tmp_path) == 1


def test_a_record_is_never_half_written(tmp_path, process):
    """It is replaced whole, and nothing else is left beside it."""
    folder = new_folder(tmp_path, "sbx_1")
    write_record(folder, process.pid)
    assert [each.name for each in folder.iterdir()] == ["record.json"]
    record = json.loads((folder / "record.json").read_text())
    assert ProcessStamp(**record["owner"]) == stamp(os.getpid())
    assert ProcessStamp(**record["vmm"]) == stamp(process.pid)


def test_a_reaper_beside_makers_takes_nothing_of_theirs(tmp_path):
    """While machines are made and reaped at once, no folder that has an owner is lost."""

    def make(number: int) -> bool:
        folder = new_folder(tmp_path, f"sbx_{number}")
        reap(tmp_path)
        return (folder / "record.json").exists()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(make, range(60)))


def test_a_folder_is_closed_to_others(tmp_path):
    """What a machine holds is its owner's alone."""
    folder = new_folder(tmp_path / "machines", "sbx_1")
    assert folder.stat().st_mode & 0o077 == 0
    assert (tmp_path / "machines").stat().st_mode & 0o077 == 0


def test_a_name_that_is_taken_is_an_error(tmp_path):
    """Two machines never share a folder."""
    new_folder(tmp_path, "sbx_1")
    with pytest.raises(FileExistsError):
        new_folder(tmp_path, "sbx_1")


def test_reaping_where_nothing_was_ever_made_is_no_error(tmp_path):
    """The first start of all finds no folder."""
    assert reap(tmp_path / "none") == 0
    assert records.boot_id() == records.boot_id()


def test_what_is_half_made_goes_with_its_maker_and_not_before(tmp_path, process):
    """A maker is known by pid, start time and boot: another process of the same pid is not it."""
    own = records.half_made(tmp_path, "mine")
    seen = stamp(process.pid)
    assert seen is not None
    living = f".new-x-{seen.pid}-{seen.started}-{seen.boot[:8]}"
    reused = f".new-x-{seen.pid}-{seen.started + 1}-{seen.boot[:8]}"
    rebooted = f".new-x-{seen.pid}-{seen.started}-{'0' * 8}"
    gone = dead()
    left = f".new-x-{gone.pid}-{gone.started}-{gone.boot[:8]}"
    for name in (own.name, living, reused, rebooted, left):
        (tmp_path / name).mkdir()
        (tmp_path / name / "memory").write_text("half")
    assert records.remove_half_made(tmp_path) == 3
    assert {each.name for each in tmp_path.iterdir()} == {own.name, living}


@pytest.mark.parametrize(
    "name", [".new-x", ".new-", ".new-x-1", ".new-x--1", ".new-x-१-1-00000000"]
)
def test_a_half_made_name_that_tells_of_no_process_is_nobodys(tmp_path, name: str):
    """It is removed rather than taken for a number; whole things, links and files are let be."""
    (tmp_path / name).mkdir()
    (tmp_path / "whole").mkdir()
    (tmp_path / ".new-link").symlink_to(tmp_path / "whole")
    (tmp_path / ".new-file").touch()
    assert records.remove_half_made(tmp_path) == 1
    assert {each.name for each in tmp_path.iterdir()} == {"whole", ".new-link", ".new-file"}
    assert records.remove_half_made(tmp_path / "none") == 0
