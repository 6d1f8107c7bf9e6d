"""The work of `watch`: what happens in a folder, by inotify, one JSON object a line.

Runs as a job. An empty line says that the watch is set, and later that it still is. The kernel
watches folders one by one; for a recursive watch every folder that appears is watched and then
looked into, so what was put there in between is told too, and only once: a name that was found is
remembered until the kernel's own word of it has come by.

    IN_CREATE, IN_MOVED_TO alone      create
    IN_MODIFY                         write
    IN_ATTRIB                         chmod
    IN_DELETE                         remove
    IN_MOVED_FROM [, IN_MOVED_TO]     rename [with `target`; none: it left the folder]
    IN_Q_OVERFLOW, too many folders   overflow

A file that `write` or `unpack` makes is seen as created and written, or as written where it
replaces one; its temporary name is not shown. A reader who does not keep up makes the job wait,
then the kernel's queue overflows, and that is told.
"""

import errno
import json
import os
import re
import select
import stat
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from forge_guest.linux import inotify_add, inotify_open, inotify_remove, open_plain
from forge_guest.refusal import Refused

MAX_FOLDERS = 8192
_ALIVE_S = 20.0
_PAIR_MS = 20
_EVENT = struct.Struct("iIII")
_MODIFY, _ATTRIB, _MOVED_FROM, _MOVED_TO = 0x2, 0x4, 0x40, 0x80
_CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x100, 0x200, 0x400, 0x800
_UNMOUNT, _OVERFLOW, _IGNORED, _ISDIR = 0x2000, 0x4000, 0x8000, 0x40000000
_ONLYDIR, _EXCL_UNLINK = 0x1000000, 0x4000000
_MASK = _MODIFY | _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _ONLYDIR | _EXCL_UNLINK
_ROOT_MASK = _MASK | _DELETE_SELF | _MOVE_SELF
_OURS = re.compile(rb"\.forge-(new|old)-[0-9a-f]{16}")
_KINDS = {_CREATE: "create", _MOVED_TO: "create", _MODIFY: "write", _ATTRIB: "chmod"}


class _Event(NamedTuple):
    watch: int
    mask: int
    cookie: int
    name: bytes


class _Over(Exception):
    """The folder that was watched has gone."""


def watch(sink: int, path: bytes, *, recursive: bool) -> dict[str, Any]:
    """Tell what happens in a folder until that has gone, or nobody listens.

    Raises:
        Refused: it holds more folders than can be watched.
        OSError: it cannot be watched.
    """
    watcher = _Watcher(sink, path, recursive=recursive)
    watcher.begin()
    try:
        while True:
            watcher.turn()
    except _Over:
        return {"ended": True}


class _Watcher:
    """One watch: the kernel's numbers, and which folder each stands for.

    The folder itself is not kept open: the kernel tells of its end only once nobody holds it.
    """

    def __init__(self, sink: int, path: bytes, *, recursive: bool) -> None:
        self._sink, self._path = sink, path
        self._recursive = recursive
        self._inotify = inotify_open()
        self._folders: dict[int, tuple[int, bytes]] = {}  # watch → its parent's watch and name
        self._below: dict[tuple[int, bytes], int] = {}
        self._found: set[tuple[int, bytes]] = set()
        self._last: bytes = b""
        self._full = False
        base = os.open(path or b"/", os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._id = _identity(base)
            self._top = inotify_add(self._inotify, b"/proc/self/fd/%d" % base, _ROOT_MASK)
        finally:
            os.close(base)

    def begin(self) -> None:
        """Watch what is there."""
        if self._recursive:
            self._look(self._top, tell=False)
            if self._full:
                raise Refused("refused", f"it holds more than {MAX_FOLDERS} folders")
        self._found.clear()
        self._write(b"\n")

    def turn(self) -> None:
        """Wait for events and tell them; says at least now and then that it is there."""
        if not select.select([self._inotify], [], [], _ALIVE_S)[0]:
            self._write(b"\n")
            return
        self._last = b""
        events = self._read()
        # The kernel puts both halves of a rename one after the other, not at once.
        half = bool(events) and bool(events[-1].mask & _MOVED_FROM)
        if half and select.select([self._inotify], [], [], _PAIR_MS / 1000)[0]:
            events += self._read()
        at = 0
        while at < len(events):
            at += self._one(events[at], events[at + 1] if at + 1 < len(events) else None)

    def _read(self) -> list[_Event]:
        data = os.read(self._inotify, 64 * 1024)
        events, at = [], 0
        while at < len(data):
            number, mask, cookie, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size
            events.append(_Event(number, mask, cookie, data[at : at + length].rstrip(b"\0")))
            at += length
        return events

    def _one(self, event: _Event, following: _Event | None) -> int:
        """Tell one event; how many were used."""
        if event.mask & _OVERFLOW:
            self._overflow()
        elif event.watch == self._top and event.mask & (_DELETE_SELF | _MOVE_SELF | _UNMOUNT):
            self._tell("remove", b"", folder=True)
            raise _Over
        elif event.mask & _IGNORED:
            self._forget(event.watch)
        elif event.name and (event.watch == self._top or event.watch in self._folders):
            if event.mask & _MOVED_FROM:
                paired = following is not None and following.mask & _MOVED_TO
                if paired and following is not None and following.cookie == event.cookie:
                    self._renamed(event, following)
                    return 2
                self._left(event, "rename")
            elif event.mask & _DELETE:
                self._left(event, "remove")
            else:
                self._changed(event)
        return 1

    def _changed(self, event: _Event) -> None:
        key = (event.watch, event.name)
        if _OURS.fullmatch(event.name):
            return
        kind = _KINDS[event.mask & (_CREATE | _MOVED_TO | _MODIFY | _ATTRIB)]
        folder = bool(event.mask & _ISDIR)
        if kind == "create" and key in self._found:
            self._found.discard(key)
            return
        self._tell(kind, self._full_name(event.watch, event.name), folder=folder)
        if kind == "create" and folder and self._recursive:
            self._add(event.watch, event.name)

    def _left(self, event: _Event, kind: str) -> None:
        key = (event.watch, event.name)
        self._found.discard(key)
        if _OURS.fullmatch(event.name):
            return
        self._tell(kind, self._full_name(*key), folder=bool(event.mask & _ISDIR))
        if key in self._below:
            self._drop(self._below[key])

    def _renamed(self, old: _Event, new: _Event) -> None:
        folder = bool(old.mask & _ISDIR)
        was, now = (old.watch, old.name), (new.watch, new.name)
        name = self._full_name(*now)
        ours = _OURS.fullmatch(old.name)
        if ours:
            if ours[1] == b"new" and now not in self._found:
                self._tell("create", name, folder=folder)
            self._found.discard(now)
            self._tell("write", name, folder=folder)
            return
        self._tell("rename", self._full_name(*was), folder=folder, target=name)
        self._found.discard(was)
        self._found.discard(now)
        if now in self._below:
            self._drop(self._below[now])
        if was in self._below:
            number = self._below.pop(was)
            self._folders[number] = now
            self._below[now] = number
        elif folder and self._recursive:
            self._add(*now)

    # -- folders -----------------------------------------------------------------------------

    def _add(self, parent: int, name: bytes) -> None:
        """Watch a folder that has appeared, and tell what is in it by now."""
        number = self._set(parent, name)
        if number is not None:
            self._look(number, tell=True)

    def _set(self, parent: int, name: bytes) -> int | None:
        if len(self._folders) >= MAX_FOLDERS:
            if not self._full:
                self._full = True
                self._tell("overflow", b"", folder=True)
            return None
        try:
            fd = self._open(self._full_name(parent, name))
        except OSError:
            return None  # gone again, or not the person's to read
        try:
            number = inotify_add(self._inotify, b"/proc/self/fd/%d" % fd, _MASK)
        except OSError as error:
            if error.errno == errno.ENOSPC and not self._full:
                self._full = True
                self._tell("overflow", b"", folder=True)
            return None
        finally:
            os.close(fd)
        self._folders[number] = (parent, name)
        self._below[parent, name] = number
        return number

    def _look(self, number: int, *, tell: bool) -> None:
        """Watch every folder below one; `tell` what is found as created."""
        waiting = [number]
        while waiting:
            parent = waiting.pop()
            for name, facts in self._entries(parent):
                if _OURS.fullmatch(name):
                    continue
                folder = stat.S_ISDIR(facts.st_mode)
                if tell:
                    full = self._full_name(parent, name)
                    self._found.add((parent, name))
                    self._tell("create", full, folder=folder)
                    if stat.S_ISREG(facts.st_mode) and facts.st_size:
                        self._tell("write", full, folder=False)
                if folder and (parent, name) not in self._below:
                    below = self._set(parent, name)
                    waiting += [below] if below is not None else []

    def _entries(self, number: int) -> Iterator[tuple[bytes, os.stat_result]]:
        try:
            fd = self._open(self._full_name(number, b""))
        except OSError:
            return
        try:
            with os.scandir(fd) as found:
                for entry in found:
                    try:
                        yield os.fsencode(entry.name), entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
        finally:
            os.close(fd)

    def _open(self, name: bytes) -> int:
        base = os.open(self._path or b"/", os.O_PATH | os.O_DIRECTORY)
        try:
            if _identity(base) != self._id:
                raise FileNotFoundError(errno.ENOENT, "another folder is in its place")
            return open_plain(base, name, os.O_RDONLY | os.O_DIRECTORY)
        finally:
            os.close(base)

    def _overflow(self) -> None:
        self._tell("overflow", b"", folder=True)
        self._found.clear()
        if self._recursive:
            # Folders may have been missed; what else happened is not known.
            self._look(self._top, tell=False)

    def _drop(self, number: int) -> None:
        """Stop watching a folder that has left, and all below it."""
        gone = [number]
        for each in gone:
            gone += [below for below, (parent, _) in self._folders.items() if parent == each]
        for each in gone:
            inotify_remove(self._inotify, each)
            self._forget(each)

    def _forget(self, number: int) -> None:
        place = self._folders.pop(number, None)
        if place is not None and self._below.get(place) == number:
            del self._below[place]
        self._found = {key for key in self._found if key[0] != number}

    def _full_name(self, number: int, name: bytes) -> bytes:
        """A path below the folder that is watched; `.` is that itself."""
        found = [name] if name else []
        while number != self._top and number in self._folders:
            number, part = self._folders[number]
            found.append(part)
        return b"/".join(reversed(found)) or b"."

    # -- telling -----------------------------------------------------------------------------

    def _tell(self, kind: str, name: bytes, *, folder: bool, target: bytes | None = None) -> None:
        told: dict[str, Any] = {"kind": kind, "path": self._shown(name), "folder": folder}
        if target is not None:
            told["target"] = self._shown(target)
        line = json.dumps(told).encode() + b"\n"
        if line == self._last and kind in ("write", "chmod"):
            return  # the same again before anything else: the kernel merges those, too
        self._last = line
        self._write(line)

    def _shown(self, name: bytes) -> str:
        return os.fsdecode(self._path + b"/" + name if name else self._path or b"/")

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._sink, view) :]


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino
