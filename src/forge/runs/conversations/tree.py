"""A conversation as a tree of messages. Pure.

    ask ─ answer ─┬─ ask ─ answer        what was said first
                  └─ ask'─ answer'       the same message, edited: a sibling

Whoever edits a message or asks again adds a sibling; the branch in view is the path from the first
message to the conversation's head.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from forge.errors import ConversationNotFound
from forge.ids import ConversationId, MessageId, RunId, UserId


class Conversation(NamedTuple):
    """A conversation in a list. `head_id` is the last message of the branch in view."""

    id: ConversationId
    user_id: UserId
    title: str
    created_at: datetime
    updated_at: datetime
    head_id: MessageId | None
    forked_from: ConversationId | None


class Message(NamedTuple):
    """What a person or a run said. A run's text is empty until the run is over."""

    id: MessageId
    conversation_id: ConversationId
    parent_id: MessageId | None
    role: Literal["user", "assistant"]
    created_at: datetime
    text: str
    run_id: RunId | None


def branch(messages: Iterable[Message], head_id: MessageId | None) -> tuple[Message, ...]:
    """The messages from the first to the head, in order; none for no head.

    Raises:
        ConversationNotFound: the head, or one before it, is not among the messages.
    """
    by_id = {message.id: message for message in messages}
    path: list[Message] = []
    at = head_id
    while at is not None:
        message = by_id.pop(at, None)
        if message is None:
            raise ConversationNotFound(f"There is no message {at[:60]!r} in this conversation.")
        path.append(message)
        at = message.parent_id
    return tuple(reversed(path))


def siblings(messages: Iterable[Message]) -> Mapping[MessageId, tuple[MessageId, ...]]:
    """For each message, all that were said in its place, the first first."""
    places: dict[tuple[MessageId | None, str], list[MessageId]] = {}
    by_id: dict[MessageId, tuple[MessageId | None, str]] = {}
    for message in sorted(messages, key=lambda each: each.id):
        place = (message.parent_id, message.role)
        places.setdefault(place, []).append(message.id)
        by_id[message.id] = place
    return {each: tuple(places[place]) for each, place in by_id.items()}


def tip(messages: Iterable[Message], message_id: MessageId) -> MessageId:
    """The end of the branch that goes on from a message, taking the newest at each fork."""
    children: dict[MessageId | None, MessageId] = {}
    for message in sorted(messages, key=lambda each: each.id):
        children[message.parent_id] = message.id
    at = message_id
    while at in children:
        at = children.pop(at)
    return at
