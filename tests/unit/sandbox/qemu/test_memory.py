"""What a process changed of a file that it maps privately, found and copied."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.sandbox.qemu import memory
from forge.sandbox.qemu.memory import PAGE, Run, changed, without

PAGES = 64
CHILD = """
import ctypes, mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
view = mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE)
for page in map(int, sys.argv[2].split(',')):
    view[page * 4096:page * 4096 + 3] = b'new'
_ = [view[at] for at in range(0, len(view), 4096)]
print('ready', flush=True)
sys.stdin.read()
"""


def nothing() -> None:
    """Nobody gave up."""


@given(st.sets(st.integers(0, 40)))
def test_the_pages_of_its_own_are_found_in_runs(pages: set[int]):
    """Present or swapped, and not the file's: that is a page which changed."""
    tops = [0x80 if page % 2 else 0x41 for page in range(41)]
    entries = b"".join(
        bytes(7) + bytes((tops[page] if page in pages else (0xA0, 0x00, 0x20)[page % 3],))
        for page in range(41)
    )
    runs = changed(entries)
    assert {at // PAGE for run in runs for at in range(run.start, run.end, PAGE)} == pages
    assert all(one.end < other.start for one, other in itertools.pairwise(runs))


RUNS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=6)


@given(whole=st.tuples(st.integers(0, 60), st.integers(1, 60)), taken=RUNS)
def test_what_is_left_is_all_that_was_not_taken(whole, taken):
    """Every offset is in exactly one of the two."""
    run = Run(whole[0], whole[0] + whole[1])
    runs, at = [], 0
    for gap, length in taken:
        runs.append(Run(at + gap, at + gap + length))
        at = runs[-1].end + 1
    left = {at for part in without(run, runs) for at in range(part.start, part.end)}
    gone = {at for part in runs for at in range(part.start, part.end)}
    assert left == set(range(run.start, run.end)) - gone


def test_a_mapping_is_found_by_its_file_and_size():
    """Another file, a part of it, or nothing, is not it."""
    maps = (
        "7f00-7f10 rw-p 00000000 fe:00 77 /a\n"
        "7f20-8f20 rw-p 00001000 fe:00 77 /a\n"
        "10000-11000 rw-p 00000000 fe:00 77 /a b c\n"
        "20000-21000 rw-p 00000000 00:00 0\n"
    )
    assert memory.mapping(maps, 77, 0x1000) == 0x10000
    assert memory.mapping(maps, 78, 0x1000) is None
    assert memory.mapping(maps, 77, 0x999) is None


def test_what_a_living_process_changed_is_copied(tmp_path):
    """Its own pages are read out of it, the rest comes from the file, and holes stay holes."""
    base = tmp_path / "base"
    with base.open("wb") as file:
        file.truncate(PAGES * PAGE)
        for page in (1, 2, 5):
            file.seek(page * PAGE)
            file.write(b"old" * 100)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(base), "2,9,10,63"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        assert child.stdout.readline() == b"ready\n"
        source = os.open(base, os.O_RDONLY)
        target = os.open(tmp_path / "copy", os.O_RDWR | os.O_CREAT)
        os.ftruncate(target, PAGES * PAGE)
        runs = memory.overlay(child.pid, source, target, nothing)
        memory.fill(source, target, runs, nothing)
        child.stdin.close()
    assert [(run.start // PAGE, run.end // PAGE) for run in runs] == [(2, 3), (9, 11), (63, 64)]
    expected = bytearray(base.read_bytes())
    for page in (2, 9, 10, 63):
        expected[page * PAGE : page * PAGE + 3] = b"new"
    assert (tmp_path / "copy").read_bytes() == bytes(expected)
    assert os.fstat(target).st_blocks * 512 < PAGES * PAGE // 2
    os.close(source)
    os.close(target)


def test_a_process_that_does_not_hold_the_memory_is_refused(tmp_path):
    """Nothing is read of a process that maps something else."""
    base = tmp_path / "base"
    base.write_bytes(bytes(PAGE))
    with base.open("rb") as source, pytest.raises(memory.Unread, match="does not hold"):
        memory.overlay(os.getpid(), source.fileno(), source.fileno(), nothing)


@pytest.mark.parametrize("collected", [False, True])
def test_a_process_that_has_ended_cannot_be_read_which_is_no_fault_of_the_disk(
    tmp_path, collected: bool
):
    """Dead and not yet collected, or gone for good: never an error as of a host that is full."""
    base = tmp_path / "base"
    base.write_bytes(bytes(PAGE))
    with subprocess.Popen(["true"]) as child, base.open("r+b") as file:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        if collected:
            child.wait()
        with pytest.raises(memory.Unread):
            memory.overlay(child.pid, file.fileno(), file.fileno(), nothing)


def test_nobody_waits_for_a_copy_that_was_given_up(tmp_path):
    """The copy asks between two pieces, and ends by what is raised."""
    base = tmp_path / "base"
    base.write_bytes(bytes(PAGE) + b"x" * PAGE)

    def given_up() -> None:
        raise InterruptedError

    with (
        base.open("rb") as source,
        (tmp_path / "copy").open("wb") as target,
        pytest.raises(InterruptedError),
    ):
        memory.fill(source.fileno(), target.fileno(), [], given_up)


def test_a_base_that_shrinks_while_it_is_copied_is_an_error(tmp_path: Path):
    """Who may write to the file that is copied can fail the copy, and not end Forge."""
    base, target = tmp_path / "base", tmp_path / "target"
    base.write_bytes(bytes(range(256)) * 64)
    with base.open("r+b") as read, target.open("wb") as write, pytest.raises(memory.Unread):
        memory.fill(read.fileno(), write.fileno(), [], lambda: os.ftruncate(read.fileno(), 0))
