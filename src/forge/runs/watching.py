"""Whoever watches runs from beside them: what is measured, and what is traced.

A watcher is told of each record after it is durable and published, and of the moment when this
process carries the run out no more. It must be quick and cannot fail a run: it has no say in it.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from forge.events import Record


class Watcher(Protocol):
    """Watches one run, for as long as this process carries it out."""

    def saw(self, record: Record, seconds: float) -> None:
        """There is one more record; making it durable took so many seconds."""

    def left(self) -> None:
        """This process carries the run out no more, whether or not it is over."""


Watch = Callable[[Sequence[Record]], Watcher]
"""Begins to watch a run, of which there are these records so far: at least its first."""


class Watchers:
    """Several who watch one run, told in their order. None is nobody."""

    def __init__(self, watchers: Sequence[Watcher] = ()) -> None:
        self._watchers = watchers

    def saw(self, record: Record, seconds: float) -> None:
        """See `Watcher`."""
        for each in self._watchers:
            each.saw(record, seconds)

    def left(self) -> None:
        """See `Watcher`."""
        for each in self._watchers:
            each.left()


def watched_by(*several: Watch) -> Watch:
    """One who begins to watch for several."""

    def watch(records: Sequence[Record]) -> Watcher:
        return Watchers([each(records) for each in several])

    return watch


nobody = watched_by()
"""No one watches."""
