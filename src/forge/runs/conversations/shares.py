"""Links that show a conversation to whoever has them, read-only, until they are revoked.

A link shows the branch that was in view when it was made and nothing that is said later. The token
is kept as its hash alone.
"""

import hashlib
import secrets
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import insert, select, update

from forge.clock import Clock, stamp
from forge.errors import ConversationNotFound, NotFound
from forge.ids import ConversationId, MessageId, UserId, new_id
from forge.runs.conversations.store import Conversations
from forge.runs.conversations.tree import Conversation, Message, branch
from forge.store.database import Database
from forge.store.tables import CONVERSATIONS, SHARES


class Share(NamedTuple):
    """A link as its owner sees it."""

    id: str
    conversation_id: ConversationId
    head_id: MessageId | None
    created_at: datetime
    revoked: bool


class Shares:
    """Keeps links. It holds nothing open."""

    def __init__(self, database: Database, clock: Clock, conversations: Conversations) -> None:
        self._database, self._clock, self._conversations = database, clock, conversations

    async def share(self, user_id: UserId, conversation_id: ConversationId) -> tuple[Share, str]:
        """Make a link; returns it and its token, which is kept nowhere.

        Raises:
            ConversationNotFound: there is none, or it is another's.
        """
        conversation = await self._conversations.get(user_id, conversation_id)
        now, token = self._clock.now(), f"fgl_{secrets.token_urlsafe(32)}"
        made = Share(new_id("shr", now), conversation_id, conversation.head_id, now, revoked=False)
        async with self._database.writing() as connection:
            await connection.execute(
                insert(SHARES).values(
                    id=made.id,
                    token_hash=_hash(token),
                    conversation_id=conversation_id,
                    head_id=made.head_id,
                    created_at=stamp(now),
                )
            )
        return made, token

    async def list(self, user_id: UserId, conversation_id: ConversationId) -> tuple[Share, ...]:
        """A conversation's links, the newest first.

        Raises:
            ConversationNotFound: there is none, or it is another's.
        """
        await self._conversations.get(user_id, conversation_id)
        query = (
            select(SHARES)
            .where(SHARES.c.conversation_id == conversation_id)
            .order_by(SHARES.c.id.desc())
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(
            Share(
                row.id,
                row.conversation_id,
                row.head_id,
                datetime.fromisoformat(row.created_at),
                row.revoked_at is not None,
            )
            for row in rows
        )

    async def revoke(self, user_id: UserId, conversation_id: ConversationId, share_id: str) -> None:
        """Let a link show nothing any more.

        Raises:
            ConversationNotFound: there is no such conversation, or it is another's.
            NotFound: it has no such link.
        """
        await self._conversations.get(user_id, conversation_id)
        async with self._database.writing() as connection:
            changed = await connection.execute(
                update(SHARES)
                .where(SHARES.c.id == share_id, SHARES.c.conversation_id == conversation_id)
                .values(revoked_at=stamp(self._clock.now()))
            )
        if changed.rowcount == 0:
            raise NotFound("There is no such link.")

    async def shown(self, token: str) -> tuple[Conversation, tuple[Message, ...]]:
        """What a link shows: the conversation and the branch that was in view.

        Raises:
            ConversationNotFound: no such link was given out, or it was revoked.
        """
        query = (
            select(CONVERSATIONS.c.id, CONVERSATIONS.c.user_id, SHARES.c.head_id)
            .join(SHARES, SHARES.c.conversation_id == CONVERSATIONS.c.id)
            .where(SHARES.c.token_hash == _hash(token), SHARES.c.revoked_at.is_(None))
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise ConversationNotFound(
                "This link shows nothing: it was revoked or never given out.",
                hint="Ask whoever gave it to you for a new one.",
            )
        conversation = await self._conversations.get(row.user_id, row.id)
        said = await self._conversations.messages(row.user_id, row.id)
        return conversation, branch(said, row.head_id)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
