"""Runs whose answers have no place in their conversations: a crash came between the two.

A run is on its ledger first and then its answer, empty as yet, in the conversation. Who died in
between left a run that goes on and a message that nobody seems to answer. The run's first event
says what it answers, so its answer can be put there at any later time.
"""

from typing import NamedTuple

from sqlalchemy import and_, exists, select

from forge.events import EVENT, RunStarted
from forge.ids import ConversationId, MessageId, RunId
from forge.store.database import Database
from forge.store.tables import EVENTS, MESSAGES, RUNS

NEWEST = 1_000
"""How many of the newest runs are looked at: a crash leaves no more than ran at once."""


class Unanswered(NamedTuple):
    """A run, and the message of a conversation that it answers."""

    run_id: RunId
    conversation_id: ConversationId
    message_id: MessageId


async def unanswered(database: Database) -> tuple[Unanswered, ...]:
    """The runs of conversations that have no answer of theirs, the oldest first."""
    newest = (
        select(RUNS.c.id, RUNS.c.conversation_id)
        .where(RUNS.c.conversation_id.is_not(None))
        .order_by(RUNS.c.id.desc())
        .limit(NEWEST)
        .subquery()
    )
    answered = exists().where(
        MESSAGES.c.run_id == newest.c.id, MESSAGES.c.conversation_id == newest.c.conversation_id
    )
    query = (
        select(EVENTS.c.run_id, EVENTS.c.body)
        .join(newest, and_(newest.c.id == EVENTS.c.run_id, EVENTS.c.seq == 1))
        .where(~answered)
        .order_by(EVENTS.c.run_id)
    )
    async with database.reading() as connection:
        rows = (await connection.execute(query)).all()
        asked = [_asked(RunId(row.run_id), row.body) for row in rows]
        said = await connection.execute(
            select(MESSAGES.c.id, MESSAGES.c.conversation_id).where(
                MESSAGES.c.id.in_([each.message_id for each in asked if each])
            )
        )
        # What was deleted with its conversation is not missed.
        there = {(message_id, conversation_id) for message_id, conversation_id in said}
    return tuple(
        each for each in asked if each and (each.message_id, each.conversation_id) in there
    )


def _asked(run_id: RunId, body: str) -> Unanswered | None:
    first = EVENT.validate_json(body)
    if not isinstance(first, RunStarted) or not first.conversation_id or not first.message_id:
        return None
    return Unanswered(run_id, first.conversation_id, first.message_id)
