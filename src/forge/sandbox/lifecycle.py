"""The states of a machine and the moves between them: one table, and nothing that acts.

                        ┌──────────────────────────┐
                        ▼                          │ it could not be saved
    creating ──▶ running ──▶ pausing ──▶ paused    │
                   ▲            └──────────────────┘
                   │                        │  ▲
                   └──────── resuming ◀─────┘  │ it could not be started, and has not run
                                └──────────────┘
    any of these ──▶ stopping ──▶ gone

`creating` is over at the machine's first answer. A machine that breaks goes through `stopping` too:
that is when its VMM is killed and its files are removed. Taking a snapshot and forking are done by
a machine that runs and leave it running, so they are no states.

What a request means in a state is `decide`; one task per machine asks it, for one request at a
time, so only states that last (running, paused, gone) matter there.
"""

from typing import Literal

State = Literal["creating", "running", "pausing", "paused", "resuming", "stopping", "gone"]
Request = Literal["start", "pause", "rest", "resume", "copy"]
Answer = Literal["do", "done", "resume first", "refuse"]

MOVES: dict[State, frozenset[State]] = {
    "creating": frozenset({"running", "stopping"}),
    "running": frozenset({"pausing", "stopping"}),
    "pausing": frozenset({"paused", "running", "stopping"}),
    "paused": frozenset({"resuming", "stopping"}),
    "resuming": frozenset({"running", "paused", "stopping"}),
    "stopping": frozenset({"gone"}),
    "gone": frozenset(),
}

_ANSWERS: dict[tuple[State, Request], Answer] = {
    ("creating", "start"): "do",
    ("running", "start"): "done",
    ("running", "pause"): "do",
    ("running", "rest"): "do",
    ("running", "resume"): "done",
    ("running", "copy"): "do",
    ("paused", "pause"): "done",
    ("paused", "rest"): "done",
    ("paused", "resume"): "do",
    ("paused", "copy"): "resume first",
}


def move(now: State, then: State) -> State:
    """The state after a legal move.

    Raises:
        ValueError: there is no such move.
    """
    if then not in MOVES[now]:
        raise ValueError(f"a machine does not go from {now} to {then}")
    return then


def decide(state: State, request: Request, *, calls: int) -> Answer:
    """What a request means to a machine in a state, while so many calls are under way.

    `rest` is the pause that nobody asked for: it never ends a call.
    """
    if request == "rest" and calls:
        return "done"
    return _ANSWERS.get((state, request), "refuse")
