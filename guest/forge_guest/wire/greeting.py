"""How a host finds the beginning of what a guest says to it, and not to a host before it. Pure.

A machine is copied in the middle of a conversation: what its guest had begun to send to the former
host is in its memory, in the virtual port's, or on its way. So a host greets with a nonce, and
whatever comes before a `HELLO` with that very nonce was meant for somebody else and is dropped.
The nonce is random and nobody knew it before, so nothing that is under way can hold it by chance or
by intent.
"""

import struct

from forge_guest.wire.frames import VERSION, Type, WireError, encode

NONCE_BYTES = 16
MAX_STALE = 4 * 1024 * 1024
"""Bytes: what a port and a socket hold is far less than this, and a flood is not listened to."""

_VERSION = struct.Struct(">H")


def hello(nonce: bytes) -> bytes:
    """The frame that greets, and that answers a greeting."""
    assert len(nonce) == NONCE_BYTES
    return encode(Type.HELLO, 0, _VERSION.pack(VERSION) + nonce)


def heard(payload: bytes) -> bytes:
    """The nonce of a host's greeting.

    Raises:
        WireError: it is no greeting, or speaks another version of the wire.
    """
    if payload[: _VERSION.size] != _VERSION.pack(VERSION):
        raise WireError("the host speaks another version of the wire")
    if len(payload) != _VERSION.size + NONCE_BYTES:
        raise WireError("a HELLO frame of the wrong size")
    return payload[_VERSION.size :]


class Greeting:
    """A host's end of one greeting. `answered` once the guest's answer was seen."""

    def __init__(self, nonce: bytes) -> None:
        self.frame = hello(nonce)
        self.answered = False
        self._tail = b""
        self._dropped = 0

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the guest; returns those that are meant for this host.

        Raises:
            WireError: too much came without an answer.
        """
        if self.answered:
            return data
        data = self._tail + data
        before, found, after = data.partition(self.frame)
        self.answered = bool(found)
        keep = 0 if found else len(self.frame) - 1
        self._tail = before[max(0, len(before) - keep) :] if keep else b""
        self._dropped += len(before) - len(self._tail)
        if self._dropped > MAX_STALE:
            raise WireError("a flood in place of an answer to HELLO")
        return after
