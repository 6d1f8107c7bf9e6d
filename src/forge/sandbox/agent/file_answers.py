"""What a guest answers about files, checked and turned into values; see `answers`. Pure."""

import re
from typing import Any, cast, get_args

from forge.sandbox.agent.answers import Malformed, flag, is_whole, number, parsed
from forge.sandbox.files import MAX_PATH_BYTES, EventKind, FileEvent, FileInfo, FileKind

MAX_LINE = 64 * 1024
"""Bytes: an event with two of the longest paths, each byte of them escaped."""

_MAX_ENTRIES = 10_001
_MAX_METADATA = 64
_MAX_VALUE = 4096
_KINDS = get_args(FileKind)
_EVENTS = get_args(EventKind)
_KEY = re.compile(r"[a-z0-9._-]{1,64}")
_NAME = re.compile(r"[!-~]{1,64}")


def listing(data: bytes) -> tuple[FileInfo, ...]:
    """A folder's entries, one JSON object a line; sorted by path."""
    lines = data.split(b"\n")
    if len(lines) > _MAX_ENTRIES or lines[-1]:
        raise Malformed("a listing with too many entries or a broken line")
    entries = (_file_info(parsed(line)) for line in lines[:-1])
    return tuple(sorted(entries, key=lambda found: found.path))


def entry(value: dict[str, Any]) -> FileInfo:
    """The answer to `stat`."""
    found = value.get("entry")
    if not isinstance(found, dict):
        raise Malformed("a file that is none")
    return _file_info(found)


def event(line: bytes) -> FileEvent:
    """One event of a watch."""
    value = parsed(line)
    kind, target = value.get("kind"), value.get("target")
    if kind not in _EVENTS or (target is not None and kind != "rename"):
        raise Malformed("an event that is none")
    where = None if target is None else _path(target)
    return FileEvent(
        cast("EventKind", kind), _path(value.get("path")), flag(value, "folder"), where
    )


def _file_info(value: dict[str, Any]) -> FileInfo:
    kind, size, mode = value.get("kind"), value.get("size"), value.get("mode")
    if kind not in _KINDS or not is_whole(size) or not is_whole(mode, most=0o7777):
        raise Malformed("a file that is none")
    target, leads_to = value.get("target"), value.get("target_kind")
    if target is not None:
        target = _text(target, MAX_PATH_BYTES)
    if leads_to is not None and leads_to not in _KINDS:
        raise Malformed("a symlink that leads to nothing known")
    return FileInfo(
        path=_path(value.get("path")),
        kind=cast("FileKind", kind),
        size=size,
        mode=mode,
        modified=number(value.get("modified"), "a time that is none"),
        owner=_name(value.get("owner", "")),
        group=_name(value.get("group", "")),
        target=target,
        target_kind=cast("FileKind | None", leads_to),
        metadata=_metadata(value.get("metadata", {})),
    )


def _path(value: object) -> str:
    path = _text(value, 2 * MAX_PATH_BYTES)
    if not path.startswith("/"):
        raise Malformed("a path that is none")
    return path


def _text(value: object, most: int) -> str:
    if not isinstance(value, str) or "\0" in value or len(value) > most:
        raise Malformed("a path that is none")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or (value and not _NAME.fullmatch(value)):
        raise Malformed("an owner that is none")
    return value


def _metadata(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > _MAX_METADATA:
        raise Malformed("metadata that is none")
    for key, text in value.items():
        if not _KEY.fullmatch(key) or not isinstance(text, str) or len(text) > _MAX_VALUE:
            raise Malformed("metadata that is none")
    return value
