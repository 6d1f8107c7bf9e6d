"""A machine's states: one table, walked every way there is."""

import itertools
from typing import get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from forge.sandbox import lifecycle
from forge.sandbox.lifecycle import MOVES, Request, State, decide, move

STATES: tuple[State, ...] = get_args(State)
REQUESTS: tuple[Request, ...] = get_args(Request)


class Walk(RuleBasedStateMachine):
    """An owner that does what `decide` says, by legal moves, with failures at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.state: State = "creating"
        self.calls = 0
        self.ended_calls = False

    def _go(self, *states: State) -> None:
        for state in states:
            self.state = move(self.state, state)

    @rule(calls=st.integers(0, 3))
    def call(self, calls: int) -> None:
        if self.state == "running":
            self.calls = calls

    @rule(request=st.sampled_from(REQUESTS), fails=st.sampled_from(["no", "before", "after"]))
    def ask(self, request: Request, fails: str) -> None:
        answer = decide(self.state, request, calls=self.calls)
        if answer == "resume first":
            self._go("resuming", "running")
        if answer not in ("do", "resume first"):
            return
        if request == "rest":
            assert self.calls == 0
        if request == "start":
            self._go("running") if fails == "no" else self._go("stopping", "gone")
        elif request in ("pause", "rest"):
            self._go("pausing", "running" if fails == "before" else "paused")
            self.calls = 0 if self.state == "paused" else self.calls
        elif request == "resume":
            if fails == "after":
                self._go("resuming", "stopping", "gone")
            else:
                self._go("resuming", "paused" if fails == "before" else "running")

    @rule()
    def stop(self) -> None:
        if self.state != "gone":
            self._go("stopping", "gone")

    @invariant()
    def the_state_lasts(self) -> None:
        assert self.state in ("creating", "running", "paused", "gone")

    @invariant()
    def nothing_is_called_on_a_machine_that_does_not_run(self) -> None:
        assert self.state in ("running", "gone") or self.calls == 0


Walk.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
test_whoever_does_what_is_decided_makes_legal_moves = Walk.TestCase


def test_every_state_has_its_row_and_leads_to_the_end():
    """From each state there is a way to `gone`, and from `gone` there is none."""
    assert set(MOVES) == set(STATES)
    for state in STATES:
        reached = {state}
        for _ in STATES:
            reached |= {then for each in reached for then in MOVES[each]}
        assert "gone" in reached
    assert not MOVES["gone"]


@pytest.mark.parametrize(("now", "then"), list(itertools.product(STATES, STATES)))
def test_a_move_that_is_not_in_the_table_is_refused(now: State, then: State):
    """The table is the law."""
    if then in MOVES[now]:
        assert move(now, then) == then
    else:
        with pytest.raises(ValueError, match=f"from {now} to {then}"):
            move(now, then)


@pytest.mark.parametrize("state", STATES)
def test_a_rest_never_ends_a_call(state: State):
    """Whatever the state, nobody's call is ended by a pause that nobody asked for."""
    assert decide(state, "rest", calls=1) == "done"


def test_the_drawing_has_every_state():
    """The module's essay draws what the table says."""
    drawing = lifecycle.__doc__ or ""
    assert all(state in drawing for state in STATES)
