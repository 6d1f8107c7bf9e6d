"""What goes on where: the request and the run that the code at hand works for.

    with about(run_id=run_id):
        ...                      # every line that is logged in here says so

A task takes over what its maker worked for, so the lines of a run carry the request that began it
too. Ids alone, never text of a person; standard library alone, as every floor may say it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

_ABOUT: ContextVar[Mapping[str, str]] = ContextVar("forge_about", default=MappingProxyType({}))


@contextmanager
def about(**ids: str) -> Iterator[None]:
    """While in this block, the code works for these, and for what it worked for before."""
    token = _ABOUT.set(MappingProxyType({**_ABOUT.get(), **ids}))
    try:
        yield
    finally:
        _ABOUT.reset(token)


def at_hand() -> Mapping[str, str]:
    """The ids of what the code at hand works for, by name."""
    return _ABOUT.get()
