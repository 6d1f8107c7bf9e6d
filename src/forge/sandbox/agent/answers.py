"""What a guest answers, checked and turned into values. Pure: nothing here acts on anything.

A guest is hostile: each function raises `Malformed` for whatever is not exactly what the verb
promises, and the caller destroys the machine.
"""

import json
import re
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, TypeGuard, cast

from forge.errors import (
    ArchiveRefused,
    FileNotFound,
    ForgeError,
    GuestRefused,
    PortUnreachable,
    ProcessNotFound,
    QuotaExceeded,
)
from forge.sandbox.code import CodeError, CodeResult, CodeStatus, ContextInfo, Language
from forge.sandbox.commands import ExecResult, ProcessInfo, User
from forge.sandbox.metrics import Claims
from forge.sandbox.output import Display, DisplayChange, MimeBundle
from forge.sandbox.ports import MAX_PORT, ListeningPort
from forge_guest.wire.channel import StreamReset

MAX_PID = 2**22
"""Linux's own largest."""

MAX_LISTING = 64 * 1024 * 1024
"""Bytes: ten thousand entries of 6 KiB each."""

_MAX_RECORD = 32 * 1024 * 1024
_MAX_ROWS = 1024
_MAX_NAME = 64
_LARGEST = 2**63 - 1
_LENGTH = struct.Struct(">I")
_MIME = re.compile(r"[a-z0-9.+-]{1,60}/[a-zA-Z0-9.+-]{1,100}")
_CONTEXT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_REFUSALS: dict[str, type[ForgeError]] = {
    "not_found": FileNotFound,
    "no_process": ProcessNotFound,
    "unreachable": PortUnreachable,
}
_LANGUAGES = ("python", "javascript")
_MAX_FOLDER = 512
_MAX_DISPLAY_ID = 128
_CHANGES = ("new", "update", "clear")
_STATUSES = ("ok", "error", "timeout", "crashed")


class Malformed(Exception):
    """An answer that is not what its verb promises."""


def refusal(reset: StreamReset) -> ForgeError:
    """The error for a request that the agent refused."""
    words = harmless(reset.message[:500])
    if reset.code == "quota":
        return QuotaExceeded("the machine's disk is full; nothing half-made was kept")
    if reset.code == "archive":
        return ArchiveRefused(f"the archive was refused: {words}")
    kind = _REFUSALS.get(reset.code, GuestRefused)
    return kind(f"the machine refused: {words}")


def harmless(words: str) -> str:
    """Words of a guest are shown in a terminal: nothing in them may steer it."""
    return "".join(each if each.isprintable() else " " for each in words)


def exec_result(value: dict[str, Any]) -> ExecResult:
    """How a command ended."""
    exit_code, signal = value.get("exit_code"), value.get("signal")
    for number in (exit_code, signal):
        if number is not None and not is_whole(number, most=255):
            raise Malformed("an exit code or signal that is none")
    if (exit_code is None) == (signal is None):
        raise Malformed("a command that ended in two ways or none")
    return ExecResult(exit_code, signal, flag(value, "timed_out"), _duration(value))


def pid(value: dict[str, Any]) -> int:
    """The number of a process that was started."""
    number = value.get("pid")
    if not is_whole(number, most=MAX_PID) or number == 0:
        raise Malformed("a process number that is none")
    return number


def dropped(value: dict[str, Any]) -> int:
    """How many bytes of older output are no longer there."""
    number = value.get("dropped")
    if not is_whole(number):
        raise Malformed("a count of dropped bytes that is none")
    return number


def processes(data: bytes) -> tuple[ProcessInfo, ...]:
    """Which processes run, one JSON object a line; sorted by number."""
    found = tuple(sorted(map(_process, _lines(data)), key=lambda each: each.pid))
    if len({each.pid for each in found}) != len(found):
        raise Malformed("two processes with one number")
    return found


def ports(data: bytes) -> tuple[ListeningPort, ...]:
    """Which ports are listened on, one JSON object a line; sorted by port."""
    return tuple(sorted(map(_port, _lines(data)), key=lambda each: (each.port, each.address)))


def _lines(data: bytes) -> Iterator[dict[str, Any]]:
    lines = data.split(b"\n")
    if len(lines) > _MAX_ROWS + 1 or lines[-1]:
        raise Malformed("a listing with too many rows or a broken line")
    return (parsed(line) for line in lines[:-1])


def _process(value: dict[str, Any]) -> ProcessInfo:
    argv, user = value.get("argv"), value.get("user")
    tag, cwd = value.get("tag"), value.get("cwd")
    if not isinstance(argv, list) or not all(isinstance(word, str) for word in argv):
        raise Malformed("a process without its words")
    if not isinstance(tag, str) or not isinstance(cwd, str) or user not in ("user", "root"):
        raise Malformed("a process that is none")
    return ProcessInfo(
        pid=pid(value),
        argv=tuple(argv),
        tag=tag,
        cwd=cwd,
        user=cast("User", user),
        pty=flag(value, "pty"),
        background=flag(value, "background"),
        started=number(value.get("started"), "a time that is none"),
    )


def _port(value: dict[str, Any]) -> ListeningPort:
    port, address, process = value.get("port"), value.get("address"), value.get("process")
    if not is_whole(port, most=MAX_PORT) or port == 0:
        raise Malformed("a port that is none")
    if not isinstance(address, str) or not isinstance(process, str) or len(process) > _MAX_NAME:
        raise Malformed("a port without its address or process")
    try:
        known = str(ip_address(address[:64]))
    except ValueError as error:
        raise Malformed("an address that is none") from error
    owner = None if value.get("pid") is None else pid(value)
    return ListeningPort(port, known, owner, harmless(process))


def code_result(value: dict[str, Any]) -> CodeResult:
    """How code ended."""
    status = value.get("status")
    if status not in _STATUSES:
        raise Malformed("code that ended in no known way")
    error = value.get("error")
    if error is not None:
        if not isinstance(error, dict):
            raise Malformed("an error that is none")
        words = [error.get(key) for key in ("name", "value", "traceback")]
        if not all(isinstance(word, str) for word in words):
            raise Malformed("an error without words")
        error = CodeError(*(str(word) for word in words))
    if (status, error) == ("error", None) or (status == "ok" and error):
        raise Malformed("an error without its status, or a status without its error")
    restarted = value.get("restarted", False) is True
    known = cast("CodeStatus", status)
    return CodeResult(known, _duration(value), error, restarted)


def contexts(value: dict[str, Any]) -> tuple[ContextInfo, ...]:
    """Every context there is."""
    all_ = value.get("contexts")
    if not isinstance(all_, list) or not all(isinstance(each, dict) for each in all_):
        raise Malformed("contexts that are none")
    return tuple(context_info(each) for each in all_)


def context_info(value: dict[str, Any]) -> ContextInfo:
    """One context."""
    name, language, cwd = value.get("id"), value.get("language"), value.get("cwd")
    cells = value.get("cells")
    if not isinstance(name, str) or not _CONTEXT.fullmatch(name) or language not in _LANGUAGES:
        raise Malformed("a context that is none")
    if not isinstance(cwd, str) or not 0 < len(cwd) <= _MAX_FOLDER or not is_whole(cells):
        raise Malformed("a context that is none")
    return ContextInfo(name, cast("Language", language), cwd, cells, flag(value, "busy"))


def whole(value: dict[str, Any], key: str) -> int:
    """A size or a count."""
    found = value.get(key)
    if not is_whole(found):
        raise Malformed(f"a {key} that is none")
    return found


def mounted(value: dict[str, Any]) -> int:
    """How many volumes a machine has."""
    number = value.get("mounted")
    if not is_whole(number):
        raise Malformed("a number of volumes that is none")
    return number


def clean(value: dict[str, Any]) -> bool:
    """Whether every volume was given back."""
    return flag(value, "clean")


def claims(value: dict[str, Any]) -> Claims:
    """What a machine says that it uses."""
    memory, processes = value.get("memory_available"), value.get("processes")
    if not is_whole(memory) or not is_whole(processes):
        raise Malformed("use that is none")
    return Claims(memory, processes)


def failures(value: dict[str, Any]) -> tuple[str, ...]:
    """What could not be preloaded, and why."""
    words = value.get("failures")
    if not isinstance(words, list) or not all(isinstance(each, str) for each in words):
        raise Malformed("failures that are none")
    return tuple(words)


class Records:
    """Puts displays together from a lane's bytes: each has four bytes of length before it."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Display]:
        """Take some bytes; returns the displays they complete."""
        self._pending += data
        displays = []
        while len(self._pending) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._pending)
            if length > _MAX_RECORD:
                raise Malformed("a display that is too large")
            end = _LENGTH.size + length
            if len(self._pending) < end:
                break
            displays.append(_display(parsed(bytes(self._pending[_LENGTH.size : end]))))
            del self._pending[:end]
        return displays


def _display(value: dict[str, Any]) -> Display:
    bundle, main = value.get("data"), value.get("main")
    if not isinstance(bundle, dict) or not isinstance(main, bool):
        raise Malformed("a display that is none")
    for mime, text in bundle.items():
        if not _MIME.fullmatch(mime) or not isinstance(text, str):
            raise Malformed("a display with a MIME type that is none")
    name, change = value.get("id", ""), value.get("change", "new")
    if not isinstance(name, str) or len(name) > _MAX_DISPLAY_ID or change not in _CHANGES:
        raise Malformed("a display whose place is none")
    return Display(cast("MimeBundle", bundle), main, name, cast("DisplayChange", change))


def parsed(data: bytes) -> dict[str, Any]:
    """A JSON object, or `Malformed`."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed("an answer that is not JSON") from error
    if not isinstance(value, dict):
        raise Malformed("an answer that is not an object")
    return value


def is_whole(value: object, most: int = _LARGEST) -> TypeGuard[int]:
    """Whether this is a whole number, at least 0 and at most `most`."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def number(value: object, why: str) -> float:
    """A number that a double holds: JSON's may be of any size, or none at all."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Malformed(why)
    if not -_LARGEST <= value <= _LARGEST:  # false of NaN too
        raise Malformed(why)
    return float(value)


def flag(value: dict[str, Any], key: str) -> bool:
    """A field that is true or false, or `Malformed`."""
    found = value.get(key)
    if not isinstance(found, bool):
        raise Malformed(f"{key} is neither true nor false")
    return found


def _duration(value: dict[str, Any]) -> float:
    duration = number(value.get("duration_ms"), "a duration that is none")
    if duration < 0:
        raise Malformed("a duration that is none")
    return duration
