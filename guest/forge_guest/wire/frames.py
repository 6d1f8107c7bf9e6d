"""Frames: ten bytes of header, then a payload.

    0        4        8    9    10
    ┌────────┬────────┬────┬────┬──────────────
    │ length │ stream │type│flag│ payload …
    └────────┴────────┴────┴────┴──────────────

`length` counts the payload alone. Numbers are big-endian and unsigned. A length above
`MAX_PAYLOAD` or an unknown type or flag is refused on the header alone, before anything is stored.
"""

import enum
import json
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

MAX_PAYLOAD = 64 * 1024
"""Bytes. Small enough that one frame never holds up another stream for long."""

HEADER = struct.Struct(">IIBB")
VERSION = 2
"""Of the wire."""

FIN = 1
"""Flag: the sender will send no more payload on this stream."""


class WireError(Exception):
    """The other side broke the rules of the wire; the connection cannot go on."""


class Type(enum.IntEnum):
    """What a frame is."""

    HELLO = 0  # the version of the wire and a nonce; from the host first of all, then echoed
    OPEN = 1  # a JSON object: the request that opens a stream
    DATA = 2  # one byte of lane, then raw bytes
    MESSAGE = 3  # a JSON object
    CREDIT = 4  # four bytes: how many more bytes of credit there are
    RESET = 5  # a JSON object with `code` and `message`: the stream is over


class Frame(NamedTuple):
    """One frame, its header checked and its payload not."""

    type: Type
    stream: int
    fin: bool
    payload: bytes


_TYPES = {int(kind): kind for kind in Type}
_MAY_FIN = {Type.OPEN, Type.DATA, Type.MESSAGE}


def encode(kind: Type, stream: int, *payload: bytes, fin: bool = False) -> bytes:
    """One frame as bytes; its payload may come in pieces."""
    length = sum(map(len, payload))
    assert length <= MAX_PAYLOAD
    return b"".join((HEADER.pack(length, stream, kind, FIN if fin else 0), *payload))


def encode_json(value: dict[str, Any]) -> bytes:
    """A JSON object as a payload.

    Raises:
        ValueError: it is larger than `MAX_PAYLOAD`.
    """
    payload = json.dumps(value, separators=(",", ":")).encode()
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a message of {len(payload)} bytes; the wire carries {MAX_PAYLOAD}")
    return payload


def decode_json(payload: bytes) -> dict[str, Any]:
    """A payload as a JSON object.

    Raises:
        WireError: it is not one.
    """
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise WireError(f"a message is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise WireError("a message is not a JSON object")
    return value


class FrameDecoder:
    """Cuts a stream of bytes into frames; keeps at most one frame's bytes between calls."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take some bytes and yield the frames they complete.

        Raises:
            WireError: a header is not legal.
        """
        pending = self._pending
        pending += data
        start = 0
        try:
            while len(pending) - start >= HEADER.size:
                length, stream, kind, flags = HEADER.unpack_from(pending, start)
                frame_type = self._check(length, kind, flags)
                end = start + HEADER.size + length
                if len(pending) < end:
                    break
                with memoryview(pending) as view:
                    payload = bytes(view[start + HEADER.size : end])
                start = end
                yield Frame(frame_type, stream, flags == FIN, payload)
        finally:
            del pending[:start]

    @staticmethod
    def _check(length: int, kind: int, flags: int) -> Type:
        frame_type = _TYPES.get(kind)
        if frame_type is None:
            raise WireError(f"unknown frame type {kind}")
        if length > MAX_PAYLOAD:
            raise WireError(f"a frame of {length} bytes; the limit is {MAX_PAYLOAD}")
        if flags not in (0, FIN) or (flags == FIN and frame_type not in _MAY_FIN):
            raise WireError(f"flags {flags} on a frame of type {frame_type.name}")
        return frame_type
