"""The rules of a connection, as a pure object: bytes in, happenings out, no I/O, no clock.

Streams opened by the host have odd numbers, by the guest even ones, each larger than the last. A
stream lives until both sides have sent `FIN`, or either sent `RESET`:

                 ┌─ we FIN ──▶ half-closed (ours) ──┐
    open ────────┤                                  ├─ the other FINs ──▶ gone
                 └─ they FIN ▶ half-closed (theirs) ┘
    any of these ── they RESET ──▶ gone
    any of these ── we RESET ────▶ reset ── they FIN or RESET ──▶ gone

After our own `RESET` the other side may still have frames under way; they are counted against its
credit and dropped. Credit is per stream and direction and starts at `WINDOW` bytes; every payload
costs its size and `OVERHEAD`, so that a flood of tiny frames is paid for as the memory it takes.
"""

import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

from forge_guest.wire.frames import (
    MAX_PAYLOAD,
    Frame,
    FrameDecoder,
    Type,
    WireError,
    decode_json,
    encode,
    encode_json,
)
from forge_guest.wire.greeting import heard, hello

WINDOW = 256 * 1024
"""Bytes of credit that may be under way on one stream in one direction."""

OVERHEAD = 64
"""Bytes of credit that a payload costs beside its size: about what keeping it takes."""

MAX_STREAMS = 256
"""How many streams each side may have open at once."""

_STALE = 4  # frames for a stream that is gone, at most: a RESET and what two halves of credit take
_CREDIT = struct.Struct(">I")


class TooManyStreams(Exception):
    """This side has `MAX_STREAMS` open; one must end before another is opened."""


class Greeted(NamedTuple):
    """A host connected anew: whatever was under way is over; `reply` is the frame to send first."""

    reply: bytes


class Opened(NamedTuple):
    """The other side opened a stream."""

    stream: int
    request: dict[str, Any]
    fin: bool


class Data(NamedTuple):
    """Bytes on one of a stream's lanes. `cost` is what they took of the credit."""

    stream: int
    lane: int
    data: bytes
    fin: bool
    cost: int


class Message(NamedTuple):
    """A JSON object on a stream. `cost` is what it took of the credit."""

    stream: int
    value: dict[str, Any]
    fin: bool
    cost: int


class Credited(NamedTuple):
    """More may be sent on a stream."""

    stream: int


class Reset(NamedTuple):
    """The other side gave a stream up; `reply` is a frame to send back, or b''."""

    stream: int
    code: str
    message: str
    reply: bytes


Happening = Greeted | Opened | Data | Message | Credited | Reset


@dataclass
class _Stream:
    send_credit: int = WINDOW
    receive_credit: int = WINDOW
    ungranted: int = 0
    sent_fin: bool = False
    received_fin: bool = False
    reset_by_us: bool = False


class Session:
    """One end of a connection.

    Args:
        host: whether this is the host's end.
    """

    def __init__(self, *, host: bool) -> None:
        self._decoder = FrameDecoder()
        self._host = host
        self._their_parity = 0 if host else 1
        self._greeted = host
        self._begin()

    def _begin(self) -> None:
        self._streams: dict[int, _Stream] = {}
        self._next = 1 if self._host else 2
        self._their_last = 0
        self._their_open = 0
        self._our_open = 0
        self._stale_left = 0

    # -- sending ---------------------------------------------------------------------------------

    def open(self, request: dict[str, Any], *, fin: bool = False) -> tuple[int, bytes]:
        """Open a stream; returns its number and the frame to send.

        Raises:
            ValueError: the request is larger than a frame.
            TooManyStreams: the other side would refuse one more.
        """
        payload = encode_json(request)
        # The other side forgets a stream no later than it reads our next OPEN, so our count is
        # never below its own.
        if self._our_open >= MAX_STREAMS:
            raise TooManyStreams(f"{MAX_STREAMS} streams are open")
        number = self._next
        self._next += 2
        self._our_open += 1
        self._streams[number] = _Stream(sent_fin=fin)
        return number, encode(Type.OPEN, number, payload, fin=fin)

    def credit(self, stream: int) -> int:
        """How many bytes of payload one frame may carry on a stream now; below 0: none at all."""
        state = self._streams.get(stream)
        left = state.send_credit if state and not (state.sent_fin or state.reset_by_us) else 0
        return min(left - OVERHEAD, MAX_PAYLOAD)

    def over(self, stream: int) -> bool:
        """Whether both sides are done with a stream."""
        return stream not in self._streams

    def alive(self, stream: int) -> bool:
        """Whether this end may still send on a stream."""
        state = self._streams.get(stream)
        return state is not None and not (state.sent_fin or state.reset_by_us)

    def data(self, stream: int, lane: int, data: bytes, *, fin: bool = False) -> bytes:
        """A frame of raw bytes; the caller has looked at `credit` (one byte more than the data)."""
        return self._payload(stream, Type.DATA, bytes((lane,)), data, fin=fin)

    def message(self, stream: int, value: dict[str, Any], *, fin: bool = False) -> bytes:
        """A frame with a JSON object; the caller has looked at `credit`."""
        return self._payload(stream, Type.MESSAGE, encode_json(value), fin=fin)

    def _payload(self, stream: int, kind: Type, *payload: bytes, fin: bool) -> bytes:
        state = self._streams[stream]
        assert not state.sent_fin
        assert not state.reset_by_us
        cost = sum(map(len, payload)) + OVERHEAD
        assert cost <= state.send_credit
        state.send_credit -= cost
        state.sent_fin = fin
        if fin and state.received_fin:
            self._forget(stream)
        return encode(kind, stream, *payload, fin=fin)

    def consumed(self, stream: int, cost: int) -> bytes:
        """Say that `cost` bytes of credit were used up; returns a frame to send, or b''."""
        state = self._streams.get(stream)
        if state is None or state.received_fin or state.reset_by_us:
            return b""
        state.ungranted += cost
        if state.ungranted < WINDOW // 2:
            return b""
        granted, state.ungranted = state.ungranted, 0
        state.receive_credit += granted
        return encode(Type.CREDIT, stream, _CREDIT.pack(granted))

    def reset(self, stream: int, code: str, message: str) -> bytes:
        """Give a stream up; returns a frame to send, or b'' where it is already gone."""
        state = self._streams.get(stream)
        if state is None or state.reset_by_us:
            return b""
        state.reset_by_us = True
        if state.received_fin:
            self._forget(stream)
        payload = encode_json({"code": code, "message": message[:1000]})
        return encode(Type.RESET, stream, payload)

    # -- receiving -------------------------------------------------------------------------------

    def feed(self, data: bytes) -> list[Happening]:
        """Take bytes from the other side; returns what happened, in order.

        Raises:
            WireError: the other side broke a rule; nothing more may be fed.
        """
        happenings = []
        for frame in self._decoder.feed(data):
            happening = self._receive(frame)
            if happening is not None:
                happenings.append(happening)
        return happenings

    def _receive(self, frame: Frame) -> Happening | None:
        if frame.type is Type.HELLO:
            return self._hello(frame)
        if not self._greeted:
            raise WireError(f"a {frame.type.name} frame before HELLO")
        return self._opened(frame) if frame.type is Type.OPEN else self._on_stream(frame)

    def _on_stream(self, frame: Frame) -> Happening | None:
        state = self._streams.get(frame.stream)
        if state is None:
            self._check_stale(frame)
            return None
        if frame.type is Type.RESET:
            return self._reset(frame, state)
        if frame.type is Type.CREDIT:
            return self._credited(frame, state)
        return self._payload_received(frame, state)

    def _hello(self, frame: Frame) -> Greeted:
        if self._host:
            raise WireError("HELLO comes from the host alone")
        nonce = heard(frame.payload)
        self._greeted = True
        self._begin()
        return Greeted(hello(nonce))

    def _opened(self, frame: Frame) -> Opened:
        number = frame.stream
        if number % 2 != self._their_parity or number <= self._their_last:
            raise WireError(f"stream {number} opened out of order")
        if self._their_open >= MAX_STREAMS:
            raise WireError(f"more than {MAX_STREAMS} streams opened at once")
        request = decode_json(frame.payload)
        self._their_last = number
        self._their_open += 1
        self._streams[number] = _Stream(received_fin=frame.fin)
        return Opened(number, request, frame.fin)

    def _check_stale(self, frame: Frame) -> None:
        """A frame for a stream that is not there: CREDIT and RESET may cross our own last frame."""
        ours = frame.stream % 2 != self._their_parity
        known = frame.stream < self._next if ours else frame.stream <= self._their_last
        if not known or frame.type not in (Type.CREDIT, Type.RESET):
            raise WireError(
                f"a {frame.type.name} frame for stream {frame.stream}, which is not open"
            )
        self._stale_left -= 1
        if self._stale_left < 0:
            raise WireError("frames without end for streams that are over")

    def _credited(self, frame: Frame, state: _Stream) -> Credited:
        if len(frame.payload) != _CREDIT.size:
            raise WireError("a CREDIT frame of the wrong size")
        (granted,) = _CREDIT.unpack(frame.payload)
        state.send_credit += granted
        if granted == 0 or state.send_credit > WINDOW:
            raise WireError(f"credit of {granted} bytes that was never used")
        return Credited(frame.stream)

    def _reset(self, frame: Frame, state: _Stream) -> Reset | None:
        value = decode_json(frame.payload)
        code, message = value.get("code", ""), value.get("message", "")
        if not isinstance(code, str) or not isinstance(message, str):
            raise WireError("a RESET frame whose reason is not text")
        self._forget(frame.stream)
        if state.reset_by_us:
            return None
        # The answer tells the side that gave up that no more frames of this stream are under way.
        reply = b"" if state.sent_fin else encode(Type.RESET, frame.stream, b"{}")
        return Reset(frame.stream, code[:100], message[:1000], reply)

    def _payload_received(self, frame: Frame, state: _Stream) -> Data | Message | None:
        cost = len(frame.payload) + OVERHEAD
        if state.received_fin:
            raise WireError(f"a frame after the end of stream {frame.stream}")
        if cost > state.receive_credit:
            raise WireError(f"stream {frame.stream} sent more than its credit")
        state.receive_credit -= cost
        state.received_fin = frame.fin
        if frame.fin and (state.sent_fin or state.reset_by_us):
            self._forget(frame.stream)
        if state.reset_by_us:
            return None
        if frame.type is Type.MESSAGE:
            return Message(frame.stream, decode_json(frame.payload), frame.fin, cost)
        if not frame.payload:
            raise WireError("a DATA frame without a lane")
        return Data(frame.stream, frame.payload[0], frame.payload[1:], frame.fin, cost)

    def _forget(self, stream: int) -> None:
        del self._streams[stream]
        self._stale_left += _STALE
        if stream % 2 == self._their_parity:
            self._their_open -= 1
        else:
            self._our_open -= 1


LARGEST_DATA = MAX_PAYLOAD - 1
"""Bytes of data that fit in one DATA frame beside the lane."""
