"""The words of the worker protocol: versions, values and errors. Pure; both ends read this page.

A worker begins with one line of text, so that a person who starts it by hand sees what it is, and
so that what a login shell prints before it can be skipped:

    forge-worker 1 wire 1 agent 1 forge 0.1.0

Then `forge_guest.wire` begins, the worker being the guest's end of it. Errors travel by their
stable code and are made anew from this side's own tree: nothing the other side names is imported.
Everything a worker says is checked as a guest's answers are.
"""

import re
from dataclasses import asdict, is_dataclass
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from forge import __version__, errors
from forge.errors import ForgeError, HostUnfit, ImageError, TemplateError, WorkerForeign
from forge.sandbox.agent.answers import Malformed
from forge.sandbox.agent.connection import AGENT_VERSION
from forge_guest.wire.frames import VERSION as WIRE_VERSION

VERSION = 1
"""Of the worker protocol: its greeting, its verbs and their answers."""

MAX_NOISE = 64 * 1024
"""Bytes that a login may print before the greeting."""

OWN = "forge."
"""Begins the code of a RESET that is the worker's own word, and never a machine's."""

LIFE_VERBS = frozenset({"prepare", "restore"})
"""What only the owner of a machine's line may ask of its agent; never relayed."""

_GREETING = re.compile(
    rb"forge-worker (\d{1,6}) wire (\d{1,6}) agent (\d{1,6}) forge ([\w.+-]{1,40})(\r?)\n"
)
_WORDS = 2000  # characters of an error's message or hint; Forge's own are a few hundred

_OF_A_HOST = (HostUnfit, ImageError, TemplateError)
"""What is to be mended where it happened."""

_T = TypeVar("_T")


class Versions(NamedTuple):
    """What one end speaks."""

    worker: int
    wire: int
    agent: int
    forge: str

    def __str__(self) -> str:
        """As both ends are shown to a person."""
        return (
            f"Forge {self.forge} (worker protocol {self.worker}, wire {self.wire}, "
            f"agent {self.agent})"
        )


OURS = Versions(VERSION, WIRE_VERSION, AGENT_VERSION, __version__)


def greeting(versions: Versions = OURS) -> bytes:
    """The line that a worker begins with."""
    worker, wire, agent, forge = versions
    return f"forge-worker {worker} wire {wire} agent {agent} forge {forge}\n".encode()


def find_greeting(received: bytes) -> tuple[Versions, bytes] | None:
    """The greeting in what was received so far, and what came after it; None if not there yet.

    Raises:
        Malformed: a terminal on the way changes the bytes.
    """
    found = _GREETING.search(received)
    if found is None:
        return None
    if found[5]:
        raise Malformed(
            "its line ends are changed on the way, as by a terminal (leave out `ssh -t`)"
        )
    versions = Versions(int(found[1]), int(found[2]), int(found[3]), found[4].decode())
    return versions, received[found.end() :]


def check_versions(theirs: Versions) -> None:
    """Refuse a worker that speaks otherwise. Releases of Forge that speak alike may differ.

    Raises:
        WorkerForeign: it does.
    """
    if theirs[:3] != OURS[:3]:
        older = "the worker" if theirs[:3] < OURS[:3] else "this computer"
        raise WorkerForeign(
            f"the worker runs {theirs}, and this computer runs {OURS}",
            hint=f"Install the same release of Forge on both: update {older}.",
        )


def to_json(value: Any) -> dict[str, Any]:
    """A value of the contract as a JSON object."""
    assert is_dataclass(value)
    assert not isinstance(value, type)
    return asdict(value)


def from_json(kind: type[_T], value: object) -> _T:
    """A value of the contract out of JSON, each field checked.

    Raises:
        Malformed: it is not one.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise Malformed(
            f"a {getattr(kind, '__name__', kind)} that is none ({place}: {fault['msg']})"
        ) from error


def error_json(error: ForgeError) -> dict[str, Any]:
    """An error as the last message of an answer."""
    words = {"message": error.message[:_WORDS], "hint": error.hint[:_WORDS]}
    return {"error": {"code": error.code, **words}}


def error_from(value: object) -> ForgeError:
    """The error that a worker's last message names, of this side's own tree.

    Raises:
        Malformed: it is none.
    """
    if not isinstance(value, dict):
        raise Malformed("an error that is none")
    words = [value.get(key) for key in ("code", "message", "hint")]
    if not all(isinstance(each, str) for each in words):
        raise Malformed("an error without words")
    code, message, hint = (printable(str(each)) for each in words)
    kind = errors.of_code(code)
    there = "At the worker: " if issubclass(kind, _OF_A_HOST) else ""
    return kind(message, hint=there + hint)


def printable(text: str, most: int = _WORDS) -> str:
    """Words of the other side, on one line, with nothing in them that steers a terminal."""
    return "".join(each if each.isprintable() else " " for each in text[:most])
