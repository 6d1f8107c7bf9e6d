"""Frames: what one side encodes the other decodes, however the bytes are cut."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_guest.wire.frames import (
    FIN,
    HEADER,
    MAX_PAYLOAD,
    Frame,
    FrameDecoder,
    Type,
    WireError,
    decode_json,
    encode,
    encode_json,
)

MAY_FIN = (Type.OPEN, Type.DATA, Type.MESSAGE)

frames = st.builds(
    lambda kind, stream, fin, payload: Frame(kind, stream, fin and kind in MAY_FIN, payload),
    st.sampled_from(list(Type)),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.binary(max_size=200),
)


def encoded(frame: Frame) -> bytes:
    return encode(frame.type, frame.stream, frame.payload, fin=frame.fin)


@given(st.lists(frames, max_size=5), st.lists(st.integers(0, 1200), max_size=8))
def test_frames_survive_any_cutting_of_the_bytes(sent, cuts):
    """The pieces in which bytes arrive make no difference to the frames."""
    whole = b"".join(map(encoded, sent))
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    decoder = FrameDecoder()
    received = [
        frame
        for start, end in itertools.pairwise(edges)
        for frame in decoder.feed(whole[start:end])
    ]
    assert received == sent


def test_every_single_split_gives_the_same_frames():
    """Two frames cut at each byte in turn, and byte by byte."""
    sent = [Frame(Type.OPEN, 1, True, b'{"verb":"ping"}'), Frame(Type.DATA, 3, False, b"\1abc")]
    whole = b"".join(map(encoded, sent))
    for cut in range(len(whole) + 1):
        decoder = FrameDecoder()
        assert [*decoder.feed(whole[:cut]), *decoder.feed(whole[cut:])] == sent
    decoder = FrameDecoder()
    assert [f for byte in whole for f in decoder.feed(bytes((byte,)))] == sent


@pytest.mark.parametrize(
    "header",
    [
        HEADER.pack(MAX_PAYLOAD + 1, 1, Type.DATA, 0),
        HEADER.pack(2**32 - 1, 1, Type.DATA, 0),
        HEADER.pack(0, 1, 6, 0),
        HEADER.pack(0, 1, 255, 0),
        HEADER.pack(0, 1, Type.DATA, 2),
        HEADER.pack(0, 1, Type.DATA, FIN | 128),
        HEADER.pack(0, 1, Type.CREDIT, FIN),
        HEADER.pack(0, 1, Type.RESET, FIN),
        HEADER.pack(0, 0, Type.HELLO, FIN),
    ],
)
def test_an_illegal_header_is_refused_before_its_payload_comes(header):
    """Ten bytes are enough to refuse a frame; not one byte of payload is waited for."""
    with pytest.raises(WireError):
        list(FrameDecoder().feed(header))


def test_the_largest_frame_passes():
    """The limit itself is legal."""
    payload = b"x" * MAX_PAYLOAD
    (frame,) = FrameDecoder().feed(encode(Type.DATA, 1, payload))
    assert frame.payload == payload


@given(st.lists(st.binary(max_size=70_000), min_size=1, max_size=6))
def test_never_more_than_one_frame_is_kept(pieces):
    """Whatever arrives, between two calls at most one frame's bytes are held."""
    decoder = FrameDecoder()
    for piece in pieces:
        try:
            list(decoder.feed(HEADER.pack(60_000, 1, Type.DATA, 0) + piece))
        except WireError:
            return
        assert len(decoder._pending) < HEADER.size + MAX_PAYLOAD


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_an_object_survives_the_wire(value):
    """What is encoded is decoded, lone surrogates and all."""
    assert decode_json(encode_json(value)) == value


@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_payload_is_an_object_or_an_error_of_the_wire(payload):
    """No bytes make the JSON parser raise anything else."""
    try:
        value = decode_json(payload)
    except WireError:
        return
    assert isinstance(value, dict)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"a":' * 10_000,
        b"[" * MAX_PAYLOAD,
        b'{"a":' + b"9" * 5_000 + b"}",
        b'{"a":1}{"b":2}',
    ],
    ids=["empty", "array", "not-utf8", "deep-objects", "deep-arrays", "long-number", "two"],
)
def test_a_hostile_payload_is_an_error_of_the_wire(payload):
    """Deep nesting, endless numbers and what is no object are refused by name."""
    with pytest.raises(WireError):
        decode_json(payload)


def test_an_object_larger_than_a_frame_is_not_encoded():
    """The sender learns that it does not fit; nothing is cut."""
    with pytest.raises(ValueError, match="the wire carries"):
        encode_json({"a": "x" * MAX_PAYLOAD})
