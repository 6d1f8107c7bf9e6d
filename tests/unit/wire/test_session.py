"""The rules of a connection between two honest ends, in any order and any cutting of the bytes."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from forge_guest.wire.frames import MAX_PAYLOAD, Type, WireError, encode
from forge_guest.wire.greeting import hello
from forge_guest.wire.session import (
    MAX_STREAMS,
    OVERHEAD,
    WINDOW,
    Credited,
    Data,
    Greeted,
    Message,
    Opened,
    Reset,
    Session,
    TooManyStreams,
)

SIZES = st.sampled_from([0, 1, 100, 5_000, 32_768, MAX_PAYLOAD - 1])

NONCE = bytes(16)


class End:
    """One end, and what it believes of every stream."""

    def __init__(self, *, host: bool) -> None:
        self.session = Session(host=host)
        self.out = bytearray()
        self.forget()

    def forget(self) -> None:
        self.sent: dict[int, list[object]] = {}
        self.received: dict[int, list[object]] = {}
        self.inbox: list[tuple[int, int]] = []
        self.requests: dict[int, object] = {}
        self.accepted: dict[int, object] = {}
        self.finished: set[int] = set()
        self.gave_up: set[int] = set()
        self.got_reset: set[int] = set()

    def write(self, frame: bytes) -> None:
        self.out += frame

    def take(self, data: bytes) -> None:
        for happening in self.session.feed(data):
            if isinstance(happening, Greeted):
                self.forget()
            elif isinstance(happening, Opened):
                self.accepted[happening.stream] = happening.request
                self.sent[happening.stream] = []
                self.received[happening.stream] = []
                if happening.fin:
                    self.received[happening.stream].append("fin")
            elif isinstance(happening, Reset):
                self.got_reset.add(happening.stream)
                self.write(happening.reply)
            elif not isinstance(happening, Credited):
                self._receive(happening)

    def _receive(self, happening: Data | Message) -> None:
        number = happening.stream
        if isinstance(happening, Data):
            self.received[number].append((happening.lane, happening.data))
        else:
            self.received[number].append(happening.value)
        if happening.fin:
            self.received[number].append("fin")
        self.inbox.append((number, happening.cost))

    def sendable(self, size: int) -> list[int]:
        return [n for n in self.sent if self.session.credit(n) >= size]


class TwoEnds(RuleBasedStateMachine):
    """Two honest ends with a lossless pipe each way that delays and cuts as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.host, self.guest = End(host=True), End(host=False)
        self.host.write(hello(NONCE))

    def _end(self, host: bool) -> tuple[End, End]:
        return (self.host, self.guest) if host else (self.guest, self.host)

    def _greeted(self, host: bool) -> bool:
        return host or self.guest.session._greeted

    @rule(host=st.booleans(), fin=st.booleans())
    def open(self, host: bool, fin: bool) -> None:
        if not self._greeted(host):
            return
        end, _ = self._end(host)
        number, frame = end.session.open({"n": len(end.sent)}, fin=fin)
        end.requests[number] = {"n": len(end.sent)}
        end.sent[number] = ["fin"] if fin else []
        end.received[number] = []
        end.write(frame)

    @rule(host=st.booleans(), size=SIZES, pick=st.integers(0), lane=st.integers(0, 255))
    def send_data(self, host: bool, size: int, pick: int, lane: int) -> None:
        end, _ = self._end(host)
        if streams := end.sendable(size + 1):
            number = streams[pick % len(streams)]
            end.sent[number].append((lane, b"x" * size))
            end.write(end.session.data(number, lane, b"x" * size))

    @rule(host=st.booleans(), pick=st.integers(0), fin=st.booleans())
    def send_message(self, host: bool, pick: int, fin: bool) -> None:
        end, _ = self._end(host)
        if streams := end.sendable(MAX_PAYLOAD):
            number = streams[pick % len(streams)]
            value = {"m": len(end.sent[number])}
            end.sent[number] += [value, "fin"] if fin else [value]
            end.write(end.session.message(number, value, fin=fin))

    @rule(host=st.booleans(), pick=st.integers(0))
    def reset(self, host: bool, pick: int) -> None:
        end, _ = self._end(host)
        streams = [n for n in end.sent if not end.session.over(n)]
        if streams:
            number = streams[pick % len(streams)]
            end.gave_up.add(number)
            end.write(end.session.reset(number, "cancelled", "enough"))

    @rule(host=st.booleans(), count=st.integers(1, 10))
    def consume(self, host: bool, count: int) -> None:
        end, _ = self._end(host)
        for number, cost in end.inbox[:count]:
            end.write(end.session.consumed(number, cost))
        del end.inbox[:count]

    @rule(host=st.booleans(), size=st.sampled_from([1, 9, 10, 11, 1_000, 70_000, 500_000]))
    def deliver(self, host: bool, size: int) -> None:
        end, other = self._end(host)
        piece = bytes(end.out[:size])
        del end.out[:size]
        other.take(piece)

    @precondition(lambda self: self.guest.session._greeted)
    @rule()
    def a_new_host_connects(self) -> None:
        # The former host's last bytes were whole frames; what the guest still had to say is lost.
        self.guest.take(bytes(self.host.out))
        self.guest.out.clear()
        self.host = End(host=True)
        self.guest.take(hello(NONCE))
        assert not self.guest.session._streams

    @invariant()
    def credit_stays_within_the_window(self) -> None:
        for end in (self.host, self.guest):
            for state in end.session._streams.values():
                assert 0 <= state.send_credit <= WINDOW
                assert 0 <= state.receive_credit <= WINDOW

    @invariant()
    def nothing_is_lost_or_out_of_order(self) -> None:
        for end, other in ((self.host, self.guest), (self.guest, self.host)):
            for number, received in end.received.items():
                assert received == other.sent.get(number, [])[: len(received)]
            for number, request in end.accepted.items():
                assert request == other.requests[number]

    def teardown(self) -> None:
        while self.host.out or self.guest.out:
            for host in (True, False):
                self.deliver(host, 1 << 30)
        for end, other in ((self.host, self.guest), (self.guest, self.host)):
            for number, sent in other.sent.items():
                given_up = {number} & (end.gave_up | end.got_reset | other.gave_up)
                assert given_up or end.received[number] == sent
            for number in end.gave_up | end.got_reset:
                assert end.session.over(number)
            assert end.session._our_open + end.session._their_open == len(end.session._streams)


TwoEnds.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
test_two_honest_ends_always_agree = TwoEnds.TestCase


def greeted_pair() -> tuple[Session, Session]:
    host, guest = Session(host=True), Session(host=False)
    assert guest.feed(hello(NONCE)) == [Greeted(hello(NONCE))]
    return host, guest


@pytest.mark.parametrize("host_first", [True, False])
def test_a_stream_is_gone_once_both_sides_have_finished(host_first):
    """Whoever finishes last, nothing of the stream is left on either side."""
    host, guest = greeted_pair()
    number, frame = host.open({"verb": "x"})
    guest.feed(frame)
    for sender, receiver in (
        ((host, guest), (guest, host)) if host_first else ((guest, host), (host, guest))
    ):
        assert not receiver.over(number)
        receiver.feed(sender.message(number, {}, fin=True))
    assert host.over(number)
    assert guest.over(number)
    assert not host._streams
    assert not guest._streams


def test_resets_that_cross_end_the_stream_on_both_sides():
    """Both give up at once: neither hears of the other's reset, and both forget."""
    host, guest = greeted_pair()
    number, frame = host.open({})
    guest.feed(frame)
    from_host, from_guest = host.reset(number, "a", "x"), guest.reset(number, "b", "y")
    assert host.feed(from_guest) == []
    assert guest.feed(from_host) == []
    assert host.over(number)
    assert guest.over(number)


def test_a_reset_names_why_and_is_answered():
    """The side that gives up learns that nothing more is under way."""
    host, guest = greeted_pair()
    number, frame = host.open({})
    guest.feed(frame)
    (happened,) = host.feed(guest.reset(number, "quota", "m" * 5000))
    assert happened[:3] == (number, "quota", "m" * 1000)
    assert not guest.over(number)
    assert guest.feed(happened.reply) == []
    assert guest.over(number)


def test_what_was_under_way_at_a_reset_is_dropped():
    """Frames sent before the reset arrived are no violation and no happening."""
    host, guest = greeted_pair()
    number, frame = host.open({})
    guest.feed(frame)
    reset = host.reset(number, "cancelled", "")
    late = [guest.data(number, 1, b"x" * 60_000) for _ in range(4)]
    assert [host.feed(frame) for frame in late] == [[]] * 4
    (happened,) = guest.feed(reset)
    assert host.feed(happened.reply) == []
    assert host.over(number)


def test_a_guest_may_not_go_on_after_a_reset():
    """A stream that was given up still has its credit, and no more."""
    host, guest = greeted_pair()
    number, frame = host.open({})
    guest.feed(frame)
    host.reset(number, "cancelled", "")
    piece = encode(Type.DATA, number, b"\1" + b"x" * 60_000)
    assert [host.feed(piece) for _ in range(4)] == [[]] * 4
    with pytest.raises(WireError, match="more than its credit"):
        host.feed(piece)


def test_credit_comes_back_only_for_what_was_used():
    """A sender that used its window up may send again once the receiver has consumed half."""
    host, guest = greeted_pair()
    number, frame = host.open({})
    guest.feed(frame)
    received = []
    while guest.credit(number) >= 30_001:
        received += host.feed(guest.data(number, 1, b"x" * 30_000))
    assert guest.credit(number) < 30_001
    grants = [host.consumed(number, item.cost) for item in received]
    assert guest.feed(b"".join(grants)) == [Credited(number)] * len([g for g in grants if g])
    assert guest.credit(number) >= 30_001


def test_tiny_frames_cost_what_keeping_them_takes():
    """A window holds a few thousand frames at most, however small they are."""
    host, guest = greeted_pair()
    number, frame = host.open({})
    guest.feed(frame)
    sent = 0
    while guest.credit(number) >= 1:
        host.feed(guest.data(number, 1, b""))
        sent += 1
    assert sent == WINDOW // (OVERHEAD + 1)
    with pytest.raises(WireError, match="more than its credit"):
        host.feed(encode(Type.DATA, number, b"\1"))


def test_an_honest_side_opens_no_more_streams_than_the_other_takes():
    """The limit is kept by the sender, so that it is never a violation."""
    host, guest = greeted_pair()
    for _ in range(MAX_STREAMS):
        number, frame = host.open({})
        guest.feed(frame)
    with pytest.raises(TooManyStreams):
        host.open({})
    host.feed(guest.message(number, {}, fin=True))
    guest.feed(host.message(number, {}, fin=True))
    guest.feed(host.open({})[1])


def test_an_honest_guest_hears_nothing_before_hello():
    """A guest refuses to talk to what does not greet."""
    with pytest.raises(WireError, match="before HELLO"):
        Session(host=False).feed(Session(host=True).open({})[1])


def test_a_guest_refuses_another_version():
    """Both ends must speak the very same wire."""
    with pytest.raises(WireError, match="another version"):
        Session(host=False).feed(encode(Type.HELLO, 0, b"\0\1" + NONCE))
