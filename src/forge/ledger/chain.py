"""The hash chain: how an event becomes a record that cannot be changed unseen.

A record's hash is the SHA-256 of the RFC 8785 canonical JSON of `{at, event, prev, run_id, seq}`,
where `prev` is the hash of the record before it (empty for the first). Anyone can check a run with
these two sentences and no code of ours. The event is kept as its canonical text, so reading back
hashes the stored bytes themselves: a change that means the same is a change all the same.

A chain proves that nothing inside it was altered, reordered or left out. It cannot prove by itself
that nothing was cut off its end; `forge.ledger.read.verify` compares the end with the run's state.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import rfc8785

from forge.clock import stamp
from forge.errors import LedgerCorrupt, LedgerUnwritable
from forge.events import EVENT, AnyEvent, Record
from forge.ids import RunId

GENESIS = ""
"""The `prev` of a run's first record."""


class Canonical(NamedTuple):
    """An event, and its text as it is hashed and stored."""

    event: AnyEvent
    text: str


def canonical(event: AnyEvent) -> Canonical:
    """An event as it will be read back, and its canonical text.

    Models and guests may send text with lone surrogates, which no UTF-8 file can hold: they
    become U+FFFD here, in the text and in the event that is shown, so both stay the same.

    Raises:
        LedgerUnwritable: it holds what JSON cannot (not a number, an integer beyond 2^53).
    """
    fields = event.model_dump(mode="json")
    try:
        text = rfc8785.dumps(fields).decode()
    except rfc8785.CanonicalizationError as error:
        if not isinstance(error.__cause__, UnicodeEncodeError):
            raise LedgerUnwritable(f"A {event.type} event cannot be written: {error}.") from error
        text = rfc8785.dumps(_storable(fields)).decode()
    # pydantic replaces some surrogates itself; wherever one may have been, what is shown is what
    # was stored.
    return Canonical(EVENT.validate_json(text) if "\ufffd" in text else event, text)


def _storable(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_storable(item) for item in value]
        case dict():
            return {_storable(key): _storable(item) for key, item in value.items()}
        case _:
            return value


# Canonical JSON sorts keys, and so does this line: the event's text, canonical already, is not
# parsed and written again. A test compares it with the library's answer for the whole object.
def link(run_id: RunId, seq: int, at: str, text: str, prev: str) -> str:
    """The hash of the record that has these parts."""
    whole = (
        f'{{"at":{json.dumps(at)},"event":{text},"prev":{json.dumps(prev)},'
        f'"run_id":{json.dumps(run_id)},"seq":{seq}}}'
    )
    return hashlib.sha256(whole.encode()).hexdigest()


def check(records: Iterable[Record]) -> None:
    """Check records as a server gave them, from a run's first on: each follows the one before, and
    has the hash that it should.

    Raises:
        LedgerCorrupt: one was changed, left out or put elsewhere.
    """
    prev = GENESIS
    for seq, record in enumerate(records, 1):
        text = canonical(record.event).text
        right = link(record.run_id, record.seq, stamp(record.at), text, record.prev)
        if (record.seq, record.prev, record.hash) != (seq, prev, right):
            raise LedgerCorrupt(
                f"Record {record.seq} of the run {record.run_id} was changed on its way here.",
                hint="Ask on the server's own computer: `forge runs verify`. A server of another "
                "release may also write records otherwise.",
            )
        prev = record.hash
