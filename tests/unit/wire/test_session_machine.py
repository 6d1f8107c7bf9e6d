"""Two honest ends and a line that may be cut short: whatever they do in any order, they agree.

A hypothesis state machine opens, sends, finishes and resets streams on either end and lets bytes
through in pieces of any size; a model beside it knows what must arrive. A third end is hostile:
what it sends is fed to copies of the honest ones, which may only refuse it.
"""

import copy
from collections import defaultdict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from forge_guest.wire.frames import HEADER, MAX_PAYLOAD, WireError
from forge_guest.wire.greeting import hello
from forge_guest.wire.session import (
    OVERHEAD,
    WINDOW,
    Data,
    Message,
    Opened,
    Reset,
    Session,
)


class Talk(RuleBasedStateMachine):
    """A host, a guest, the bytes between them, and what each has been told."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = {"host": Session(host=True), "guest": Session(host=False)}
        self.ends["guest"].feed(hello(bytes(16)))
        self.line: dict[str, bytearray] = {"host": bytearray(), "guest": bytearray()}
        self.sent: dict[tuple[str, int], bytearray] = defaultdict(bytearray)
        self.heard: dict[tuple[str, int], bytearray] = defaultdict(bytearray)
        self.dropped: set[int] = set()
        self.streams: list[int] = []

    def other(self, end: str) -> str:
        return "guest" if end == "host" else "host"

    @rule(end=st.sampled_from(["host", "guest"]), fin=st.booleans())
    def open(self, end: str, fin: bool) -> None:
        number, frame = self.ends[end].open({"verb": "x"}, fin=fin)
        self.streams.append(number)
        self.line[self.other(end)] += frame

    @rule(
        end=st.sampled_from(["host", "guest"]),
        pick=st.integers(0, 1 << 16),
        size=st.integers(0, 40_000),
        fin=st.booleans(),
    )
    def send(self, end: str, pick: int, size: int, fin: bool) -> None:
        session = self.ends[end]
        mine = [number for number in self.streams if session.alive(number)]
        if not mine:
            return
        number = mine[pick % len(mine)]
        if session.credit(number) <= size:
            return
        data = bytes([pick & 0xFF]) * size
        self.line[self.other(end)] += session.data(number, 1, data, fin=fin)
        self.sent[end, number] += data

    @rule(end=st.sampled_from(["host", "guest"]), pick=st.integers(0, 1 << 16))
    def reset(self, end: str, pick: int) -> None:
        if self.streams:
            number = self.streams[pick % len(self.streams)]
            if (frame := self.ends[end].reset(number, "cancelled", "")) != b"":
                self.dropped.add(number)
                self.line[self.other(end)] += frame

    @rule(end=st.sampled_from(["host", "guest"]), size=st.integers(1, 100_000))
    def arrive(self, end: str, size: int) -> None:
        data = bytes(self.line[end][:size])
        del self.line[end][:size]
        session = self.ends[end]
        for happening in session.feed(data):
            if isinstance(happening, Data):
                self.heard[self.other(end), happening.stream] += happening.data
            if isinstance(happening, Data | Message):
                back = session.consumed(happening.stream, happening.cost)
                self.line[self.other(end)] += back
            elif isinstance(happening, Reset):
                self.dropped.add(happening.stream)
                self.line[self.other(end)] += happening.reply
            assert not isinstance(happening, Opened) or happening.request == {"verb": "x"}

    @rule(end=st.sampled_from(["host", "guest"]), noise=st.binary(min_size=1, max_size=60))
    def noise(self, end: str, noise: bytes) -> None:
        victim = copy.deepcopy(self.ends[end])
        try:
            victim.feed(noise)
        except WireError:
            return
        assert len(victim._decoder._pending) <= HEADER.size + MAX_PAYLOAD

    @invariant()
    def what_is_heard_is_what_was_sent(self) -> None:
        for (end, number), data in self.heard.items():
            assert self.sent[end, number][: len(data)] == data

    @invariant()
    def credit_is_never_made(self) -> None:
        for session in self.ends.values():
            for state in session._streams.values():
                assert -OVERHEAD <= state.send_credit <= WINDOW
                assert 0 <= state.receive_credit <= WINDOW

    def teardown(self) -> None:
        """Once all has arrived, what was not given up is there whole."""
        for _ in range(6):
            for end in ("host", "guest"):
                self.arrive(end, 1 << 30)
        for (end, number), data in self.sent.items():
            if number not in self.dropped:
                assert self.heard[end, number] == data


Talk.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


class TestTwoHonestEnds(Talk.TestCase):  # type: ignore[misc, valid-type]
    """Any order of opening, sending, finishing, giving up and arriving."""


def test_a_message_is_heard_as_it_was_said():
    """The model above sends bytes alone; messages take the same way."""
    host, guest = Session(host=True), Session(host=False)
    guest.feed(hello(bytes(16)))
    number, frame = host.open({"verb": "x"})
    guest.feed(frame)
    (said,) = host.feed(guest.message(number, {"a": [1, "é"]}, fin=True))
    assert isinstance(said, Message)
    assert said.value == {"a": [1, "é"]}
    with pytest.raises(KeyError):
        guest.data(number + 2, 1, b"")
