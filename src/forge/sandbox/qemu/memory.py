"""What a machine changed of the memory it started from, found and copied.

A clone maps its memory file privately, so the kernel keeps a page of its own for each page that the
machine wrote to, and says which in `/proc/<vmm>/pagemap`. A snapshot's memory is the file that the
machine started from with those pages in place: as good a file to start from as the first, and
shared by as many machines.

Everything here runs in a thread and asks `check` between two pieces of work, which raises when
nobody waits any more. Reading another process's memory takes root, or the same user and being its
ancestor.
"""

import errno
import mmap
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from forge.sandbox.machines.template import extents
from forge.sandbox.machines.thread import Check

PAGE = 4096
_ENTRY = 8  # bytes of pagemap a page
_PIECE = 1024 * 1024  # larger writes are no faster, smaller ones are (measured: 4 MiB, 256 KiB)

# The highest byte of an entry: present 0x80, swapped 0x40, a page of the file 0x20.
_CHANGED = bytes(bool(top & 0xC0) and not top & 0x20 for top in range(256))
_RUN = re.compile(b"\1+")


class Unread(Exception):
    """What was to be copied cannot be read: most likely its VMM has ended."""


@dataclass(frozen=True, slots=True)
class Run:
    """Pages that changed, one after the other. Offsets in bytes within the memory file."""

    start: int
    end: int


def mapping(maps: str, inode: int, size: int) -> int | None:
    """Where a process maps all of a file, by the text of its `maps`; None if it does not."""
    for line in maps.splitlines():
        fields = line.split(maxsplit=5)
        start, end = (int(each, 16) for each in fields[0].split("-"))
        if int(fields[4]) == inode and end - start == size and int(fields[2], 16) == 0:
            return start
    return None


def changed(pagemap: bytes) -> list[Run]:
    """Which pages are the process's own, by their entries."""
    flags = pagemap[_ENTRY - 1 :: _ENTRY].translate(_CHANGED)
    return [Run(run.start() * PAGE, run.end() * PAGE) for run in _RUN.finditer(flags)]


def overlay(pid: int, base: int, target: int, check: Check) -> list[Run]:
    """Copy what a stopped VMM changed of `base` into `target`; returns which pages those are.

    Raises:
        Unread: the process has gone.
        OSError: the host cannot write the file.
    """
    facts = os.fstat(base)
    try:
        # A process that is ending loses its memory first: then these are empty, or refused.
        maps = Path(f"/proc/{pid}/maps").read_text()
        start = mapping(maps, facts.st_ino, facts.st_size)
        if start is None:
            raise Unread("QEMU does not hold the machine's memory")
        runs = changed(_entries(pid, start, facts.st_size))
        source = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Unread(f"QEMU's memory cannot be read: {error.strerror}") from error
    try:
        for run in runs:
            _copy(source, target, run, start, check)
    finally:
        os.close(source)
    return runs


def fill(base: int, target: int, runs: Sequence[Run], check: Check) -> None:
    """Copy all of `base` except `runs` into `target`, leaving its holes holes.

    Raises:
        Unread: it is not as long as it was.
        OSError: the host cannot write it.
    """
    # Mapped, a page is copied once, by the kernel, instead of twice (measured: 418 MiB take 127
    # instead of 172 ms of processor time). What is there no more cannot be written: no harm done.
    with mmap.mmap(base, 0, prot=mmap.PROT_READ) as mapped, memoryview(mapped) as whole:
        for start, end in extents(base):
            for piece in without(Run(start, end), runs):
                _write(whole, target, piece, check)


def _write(whole: memoryview, target: int, run: Run, check: Check) -> None:
    at = run.start
    while at < run.end:
        check()
        try:
            with whole[at : min(run.end, at + _PIECE)] as piece:
                at += os.pwrite(target, piece, at)
        except OSError as error:
            if error.errno == errno.EFAULT:
                raise Unread("the file that is copied is not as long as it was") from error
            raise


def without(whole: Run, runs: Sequence[Run]) -> list[Run]:
    """What is left of a run after others, which are sorted, were taken out of it."""
    left, at = [], whole.start
    for run in runs:
        if run.end <= at:
            continue
        if run.start >= whole.end:
            break
        if run.start > at:
            left.append(Run(at, run.start))
        at = run.end
    if at < whole.end:
        left.append(Run(at, whole.end))
    return left


def _entries(pid: int, start: int, size: int) -> bytes:
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:  # noqa: PTH123 -- not a file
        pagemap.seek(start // PAGE * _ENTRY)
        wanted, entries = size // PAGE * _ENTRY, bytearray()
        while len(entries) < wanted:
            data = pagemap.read(wanted - len(entries))
            if not data:
                raise Unread("QEMU ended while its memory was read")
            entries += data
    return bytes(entries)


def _copy(source: int, target: int, run: Run, offset: int, check: Check) -> None:
    buffer = memoryview(bytearray(min(_PIECE, run.end - run.start)))
    at = run.start
    while at < run.end:
        check()
        try:
            read = os.preadv(source, [buffer[: run.end - at]], at + offset)
        except OSError as error:
            raise Unread(f"memory cannot be read: {error.strerror}") from error
        if read == 0:
            raise Unread("QEMU ended while its memory was read")
        done = 0
        while done < read:
            done += os.pwrite(target, buffer[done:read], at + done)
        at += read
