"""The rules of a connection against a hostile end: whatever it sends, only `WireError` comes out.

The first test feeds more than a million mutated frames to each end; its seed is fixed, so a failure
can be repeated.
"""

import json
import random
import struct
import tracemalloc

import pytest

from forge_guest.wire.frames import FIN, HEADER, MAX_PAYLOAD, Type, WireError, encode
from forge_guest.wire.greeting import hello
from forge_guest.wire.session import MAX_STREAMS, OVERHEAD, WINDOW, Session

FRAMES = 1_000_000
"""Mutated, to each end."""
NONCE = bytes(16)
CREDIT = struct.Struct(">I")


def conversation(rng: random.Random, *, hostile_host: bool) -> tuple[Session, list[bytes]]:
    """The victim, in the middle of honest streams, and what the other side would send next."""
    host, guest = Session(host=True), Session(host=False)
    guest.feed(hello(NONCE))
    sender, victim = (host, guest) if hostile_host else (guest, host)
    honest = []
    for _ in range(rng.randrange(1, 4)):
        opener = host if hostile_host or rng.random() < 0.8 else guest
        number, frame = opener.open({"verb": "exec", "argv": ["true"]}, fin=rng.random() < 0.2)
        if opener is sender:
            honest.append(frame)
        else:
            sender.feed(frame)
        pieces = rng.randrange(4) if sender.alive(number) else 0
        honest += [sender.data(number, rng.randrange(5), rng.randbytes(20)) for _ in range(pieces)]
        if sender.alive(number) and rng.random() < 0.6:
            honest.append(sender.message(number, {"exit_code": 0}, fin=rng.random() < 0.7))
        elif rng.random() < 0.5:
            honest.append(sender.reset(number, "refused", "no"))
        if opener is victim and rng.random() < 0.3:
            victim.reset(number, "cancelled", "")
    return victim, [frame for frame in honest if frame]


def invented(rng: random.Random) -> bytes:
    """A frame that nobody would send."""
    kind, stream = rng.choice(list(Type)), rng.randrange(12)
    payloads = {
        Type.CREDIT: [CREDIT.pack(n) for n in (0, 1, WINDOW, 2**32 - 1)] + [b"", b"\1"],
        Type.OPEN: [b"{}", b"[]", b"", b'{"a":' * 4_000],
        Type.MESSAGE: [b"{}", b"7", b"", b"[" * 20_000],
        Type.RESET: [b"{}", b"1", b'{"code":[]}', b'{"message":{"a":1}}', b"\xff"],
        Type.DATA: [b"", b"\1", b"\1" + bytes(60_000)],
        Type.HELLO: [b"", b"\0\1", b"\0\2", b"\0\2" + NONCE],
    }
    fin = kind in (Type.OPEN, Type.MESSAGE, Type.DATA) and rng.random() < 0.3
    return encode(kind, stream, rng.choice(payloads[kind]), fin=fin)


def header_alone(rng: random.Random) -> bytes:
    """A header that may be legal, and bytes that may be its payload."""
    length = rng.choice([0, 1, 20, MAX_PAYLOAD, MAX_PAYLOAD + 1])
    header = HEADER.pack(length, rng.randrange(8), rng.randrange(7), rng.choice([0, FIN, 2]))
    return header + rng.randbytes(rng.randrange(30))


def flipped(rng: random.Random, frame: bytes) -> bytes:
    """The frame with one bit changed."""
    changed = bytearray(frame)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def mutated(rng: random.Random, frames: list[bytes]) -> list[bytes]:
    """The same frames, with a few things wrong."""
    frames = list(frames)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(frames) + 1)
        kind = rng.randrange(6)
        if kind == 0:
            frames.insert(place, frames[place - 1])
        elif kind == 1:
            rng.shuffle(frames)
        elif kind == 2:
            frames[place - 1] = flipped(rng, frames[place - 1])
        elif kind == 3:
            frames.insert(place, header_alone(rng))
        else:
            frames.insert(place, invented(rng))
    return frames


@pytest.mark.timeout(1800)  # it takes 20 s of a core that is its own
@pytest.mark.parametrize("hostile_host", [False, True], ids=["the host", "the guest"])
def test_mutated_frames_raise_nothing_but_wire_errors_and_keep_nothing(hostile_host: bool):
    """Bit flips, duplicates, reordering, inventions: a value or `WireError`, bounded state."""
    rng = random.Random(20_240_607)
    fed = violations = 0
    while fed < FRAMES:
        victim, frames = conversation(rng, hostile_host=hostile_host)
        if not frames:
            continue
        for frame in mutated(rng, frames):
            fed += 1
            try:
                victim.feed(frame)
            except WireError:
                violations += 1
                break
            assert len(victim._decoder._pending) <= HEADER.size + MAX_PAYLOAD
            assert len(victim._streams) <= 16
            for state in victim._streams.values():
                assert state.send_credit <= WINDOW
                assert 0 <= state.receive_credit <= WINDOW
    # Most mutations are violations; if none were found the test would prove nothing.
    assert violations > FRAMES / 100


def host_with_a_stream() -> tuple[Session, int]:
    host = Session(host=True)
    number, _ = host.open({"verb": "exec"})
    return host, number


def guest_greeted() -> Session:
    guest = Session(host=False)
    guest.feed(hello(NONCE))
    return guest


def message(stream: int, value: object, *, fin: bool = False) -> bytes:
    return encode(Type.MESSAGE, stream, json.dumps(value).encode(), fin=fin)


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ([encode(Type.HELLO, 0, b"\0\1")], "HELLO comes from the host alone"),
        ([encode(Type.OPEN, 1, b"{}")], "out of order"),
        ([encode(Type.OPEN, 4, b"{}"), encode(Type.OPEN, 2, b"{}")], "out of order"),
        ([encode(Type.OPEN, 2, b"{}"), encode(Type.OPEN, 2, b"{}")], "out of order"),
        ([encode(Type.OPEN, 0, b"{}")], "out of order"),
        ([encode(Type.OPEN, 2, b"[]")], "not a JSON object"),
        ([encode(Type.DATA, 3, b"\1x")], "not open"),
        ([encode(Type.DATA, 2, b"\1x")], "not open"),
        ([encode(Type.CREDIT, 3, CREDIT.pack(1))], "not open"),
        ([encode(Type.RESET, 2, b"{}")], "not open"),
        ([encode(Type.DATA, 1, b"")], "without a lane"),
        ([encode(Type.MESSAGE, 1, b"")], "not JSON"),
        ([message(1, {}, fin=True), message(1, {})], "after the end"),
        ([message(1, {}, fin=True), encode(Type.DATA, 1, b"\1")], "after the end"),
        ([encode(Type.CREDIT, 1, CREDIT.pack(0))], "never used"),
        ([encode(Type.CREDIT, 1, CREDIT.pack(1))], "never used"),
        ([encode(Type.CREDIT, 1, CREDIT.pack(2**32 - 1))], "never used"),
        ([encode(Type.CREDIT, 1, b"\1")], "wrong size"),
        ([encode(Type.RESET, 1, b'{"code": 7}')], "not text"),
        ([encode(Type.RESET, 1, b'{"message": {"a": []}}')], "not text"),
        ([encode(Type.RESET, 1, b'{"a":' * 5_000)], "not JSON"),
        ([encode(Type.RESET, 1, b"{}"), message(1, {})], "not open"),
        ([encode(Type.DATA, 1, bytes(60_000))] * 5, "more than its credit"),
        ([encode(Type.DATA, 1, b"\1")] * (WINDOW // OVERHEAD), "more than its credit"),
    ],
)
def test_a_guest_that_breaks_a_rule_is_found_out(frames, why):
    """Each rule, broken alone, is a `WireError` that says which."""
    host, _ = host_with_a_stream()
    with pytest.raises(WireError, match=why):
        host.feed(b"".join(frames))


def test_more_streams_than_allowed_are_refused():
    """The other side cannot make this one remember without end."""
    guest = guest_greeted()
    for number in range(1, 2 * MAX_STREAMS, 2):
        guest.feed(encode(Type.OPEN, number, b"{}"))
    with pytest.raises(WireError, match="streams opened at once"):
        guest.feed(encode(Type.OPEN, 2 * MAX_STREAMS + 1, b"{}"))


@pytest.mark.parametrize(
    "frame",
    [encode(Type.CREDIT, 1, CREDIT.pack(5)), encode(Type.RESET, 1, b"{}")],
    ids=["credit", "reset"],
)
def test_frames_of_forgotten_streams_leave_no_trace(frame):
    """CREDIT and RESET may come late and are dropped; a flood of them is a violation."""
    host, number = host_with_a_stream()
    host.feed(encode(Type.RESET, number, b"{}"))
    for _ in range(3):
        assert host.feed(frame) == []
    assert host._streams == {}
    with pytest.raises(WireError, match="without end"):
        host.feed(frame * 10)


def test_a_window_of_the_tiniest_frames_is_small_in_memory():
    """Unread frames take memory in proportion to the window, not to their number."""
    host, number = host_with_a_stream()
    kept = []
    tracemalloc.start()
    try:
        frame = encode(Type.MESSAGE, number, b"{}")
        for _ in range(WINDOW // (OVERHEAD + 2)):
            kept += host.feed(frame)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) == WINDOW // (OVERHEAD + 2)
    assert size < 16 * WINDOW


@pytest.mark.parametrize("depth", [100, 300, 900, 1_000, 3_000, 10_000])
def test_deep_nesting_in_a_reason_is_a_value_or_a_wire_error(depth):
    """Nothing that was parsed makes a later step run out of stack."""
    host, number = host_with_a_stream()
    bomb = b'{"code": ' + b"[" * depth + b"]" * depth + b"}"
    with pytest.raises(WireError):
        host.feed(encode(Type.RESET, number, bomb))
