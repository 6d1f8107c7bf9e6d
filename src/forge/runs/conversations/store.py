"""Conversations and their messages, as rows. Everything is asked for in its owner's name: what is
another's is not there.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from forge.clock import Clock, stamp
from forge.errors import Conflict, ConversationNotFound, InputRefused
from forge.ids import (
    ConversationId,
    MessageId,
    RunId,
    UserId,
    new_conversation_id,
    new_message_id,
)
from forge.runs.conversations.cursors import cursor_of, place_of
from forge.runs.conversations.mending import unanswered
from forge.runs.conversations.tree import Conversation, Message, branch, tip
from forge.store import search as index
from forge.store.database import Database
from forge.store.tables import CONVERSATIONS, MESSAGES, SHARES

LONGEST_TITLE = 200
MOST_UNSETTLED = 1_000
"""How many answers a start looks after; a crash leaves as many as ran at once."""

MOST_MESSAGES = 2_000
"""How many messages a conversation takes: each is told to the model again, and shown at once."""


class Conversations:
    """Keeps conversations. It holds nothing open."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def create(
        self, user_id: UserId, title: str = "", *, forked_from: ConversationId | None = None
    ) -> Conversation:
        """Begin one. Without a title it has that of its first message."""
        async with self._database.writing() as connection:
            new = await self._create(connection, user_id, title_of(title), forked_from)
            await _findable(connection, user_id, new.id, index.TITLE, new.title)
            return new

    async def get(self, user_id: UserId, conversation_id: ConversationId) -> Conversation:
        """One conversation.

        Raises:
            ConversationNotFound: there is none, or it is another's.
        """
        async with self._database.reading() as connection:
            return await self._owned(connection, user_id, conversation_id)

    async def list(
        self, user_id: UserId, *, limit: int, cursor: str | None = None
    ) -> tuple[tuple[Conversation, ...], str | None]:
        """The last used first, at most `limit`, and the cursor of the page after.

        Raises:
            InputRefused: the cursor is none of this list's.
        """
        query = (
            select(CONVERSATIONS)
            .where(CONVERSATIONS.c.user_id == user_id)
            .order_by(CONVERSATIONS.c.updated_at.desc(), CONVERSATIONS.c.id.desc())
            .limit(limit + 1)
        )
        if cursor is not None:
            here = tuple_(CONVERSATIONS.c.updated_at, CONVERSATIONS.c.id)
            query = query.where(here < tuple_(*place_of(cursor, 2)))
        async with self._database.reading() as connection:
            found = [_conversation(row) for row in (await connection.execute(query)).all()]
        page = tuple(found[:limit])
        more = len(found) > limit
        return page, cursor_of(stamp(page[-1].updated_at), page[-1].id) if more else None

    async def search(
        self, user_id: UserId, query: str, *, limit: int, cursor: str | None = None
    ) -> tuple[tuple[tuple[Conversation, index.Found], ...], str | None]:
        """The conversations in which all words of the query were said in one message or the title,
        best first, at most `limit`, each with where; and the cursor of the page after.

        Raises:
            InputRefused: the cursor is none of a search's.
        """
        after = 0 if cursor is None else _number(place_of(cursor, 2))
        async with self._database.reading() as connection:
            page = await index.search(connection, user_id, query, limit=limit, after=after)
            wanted = select(CONVERSATIONS).where(
                CONVERSATIONS.c.id.in_([each.conversation_id for each in page.found]),
                CONVERSATIONS.c.user_id == user_id,
            )
            by_id = {row.id: _conversation(row) for row in await connection.execute(wanted)}
        found = tuple(
            (by_id[each.conversation_id], each)
            for each in page.found
            if each.conversation_id in by_id
        )
        return found, None if page.after is None else cursor_of("search", str(page.after))

    async def rename(self, user_id: UserId, conversation_id: ConversationId, title: str) -> None:
        """Give it another title.

        Raises:
            ConversationNotFound: there is none, or it is another's.
            InputRefused: the title is empty.
        """
        kept = title_of(title)
        if not kept:
            raise InputRefused("A title has at least one character.")
        async with self._database.writing() as connection:
            await self._owned(connection, user_id, conversation_id)
            await _change(connection, conversation_id, title=kept)
            await _findable(connection, user_id, conversation_id, index.TITLE, kept)

    async def delete(self, user_id: UserId, conversation_id: ConversationId) -> None:
        """Remove it, its messages and its links. Its runs stay on the ledger, which is never
        changed.

        Raises:
            ConversationNotFound: there is none, or it is another's.
        """
        async with self._database.writing() as connection:
            await self._owned(connection, user_id, conversation_id)
            await index.remove_conversation(connection, conversation_id)
            for table in (SHARES, MESSAGES):
                await connection.execute(
                    delete(table).where(table.c.conversation_id == conversation_id)
                )
            await connection.execute(
                delete(CONVERSATIONS).where(CONVERSATIONS.c.id == conversation_id)
            )

    # -- what was said -----------------------------------------------------------------------------

    async def messages(
        self, user_id: UserId, conversation_id: ConversationId
    ) -> tuple[Message, ...]:
        """All that was said, on every branch, the first first.

        Raises:
            ConversationNotFound: there is none, or it is another's.
        """
        async with self._database.reading() as connection:
            await self._owned(connection, user_id, conversation_id)
            return await _messages(connection, conversation_id)

    async def ask(
        self,
        user_id: UserId,
        conversation_id: ConversationId,
        text: str,
        parent_id: MessageId | None,
    ) -> Message:
        """Add what a person says, after `parent_id` (nothing, for a first message).

        Raises:
            ConversationNotFound: there is none, it is another's, or the parent is not in it.
            Conflict: the parent is not an answer, or the conversation is full.
        """
        text = storable(text)
        async with self._database.writing() as connection:
            conversation = await self._owned(connection, user_id, conversation_id)
            said = await _messages(connection, conversation_id)
            if parent_id is not None and branch(said, parent_id)[-1].role != "assistant":
                raise Conflict("A message follows an answer, not another message.")
            if len(said) >= MOST_MESSAGES:
                raise Conflict(
                    f"A conversation has at most {MOST_MESSAGES} messages.",
                    hint="Begin a new one, or fork this one at an earlier message.",
                )
            if not conversation.title:
                await _change(connection, conversation_id, title=title_of(text))
            new = await self._say(connection, conversation_id, parent_id, "user", text, None)
            await _findable(connection, user_id, conversation_id, new.id, text)
            return new

    async def answer(
        self, conversation_id: ConversationId, parent_id: MessageId, run_id: RunId
    ) -> Message:
        """Add a run's answer, which is empty until `settle`, to what a person said. One that is
        there is left as it is.
        """
        known = select(MESSAGES).where(
            MESSAGES.c.conversation_id == conversation_id, MESSAGES.c.run_id == run_id
        )
        async with self._database.writing() as connection:
            # Two at once would both find none where writers go at once.
            await connection.execute(
                select(CONVERSATIONS.c.id)
                .where(CONVERSATIONS.c.id == conversation_id)
                .with_for_update()
            )
            if (row := (await connection.execute(known)).mappings().first()) is not None:
                return _message(row)
            return await self._say(connection, conversation_id, parent_id, "assistant", "", run_id)

    async def settle(self, run_id: RunId, text: str) -> None:
        """Note what a run's answer came to. One that answers nobody is no error."""
        text = storable(text)
        where = (
            select(MESSAGES.c.id, CONVERSATIONS.c.id, CONVERSATIONS.c.user_id)
            .join(CONVERSATIONS, CONVERSATIONS.c.id == MESSAGES.c.conversation_id)
            .where(MESSAGES.c.run_id == run_id)
        )
        async with self._database.writing() as connection:
            await connection.execute(
                update(MESSAGES).where(MESSAGES.c.run_id == run_id).values(text=text)
            )
            for message_id, conversation_id, user_id in (await connection.execute(where)).all():
                await _findable(connection, user_id, conversation_id, message_id, text)

    async def mend(self) -> int:
        """Give the runs their answers that a crash kept from having one; returns how many."""
        found = await unanswered(self._database)
        for run_id, conversation_id, message_id in found:
            await self.answer(conversation_id, message_id, run_id)
        return len(found)

    async def unsettled(self) -> tuple[tuple[RunId, UserId, ConversationId], ...]:
        """The runs whose answers are not noted, with whose they are and where, the last first."""
        query = (
            select(MESSAGES.c.run_id, CONVERSATIONS.c.user_id, CONVERSATIONS.c.id)
            .join(CONVERSATIONS, CONVERSATIONS.c.id == MESSAGES.c.conversation_id)
            .where(MESSAGES.c.run_id.is_not(None), MESSAGES.c.text == "")
            .order_by(MESSAGES.c.id.desc())
            .limit(MOST_UNSETTLED)
        )
        async with self._database.reading() as connection:
            return tuple((row[0], row[1], row[2]) for row in await connection.execute(query))

    async def set_head(
        self, user_id: UserId, conversation_id: ConversationId, message_id: MessageId
    ) -> None:
        """Put the branch in view that goes through a message, down to its newest end.

        Raises:
            ConversationNotFound: there is none, it is another's, or the message is not in it.
        """
        async with self._database.writing() as connection:
            await self._owned(connection, user_id, conversation_id)
            said = await _messages(connection, conversation_id)
            branch(said, message_id)
            await _change(connection, conversation_id, head_id=tip(said, message_id))

    async def fork(
        self, user_id: UserId, conversation_id: ConversationId, head_id: MessageId | None = None
    ) -> Conversation:
        """Begin a conversation that has said what this one said up to a message (its head, where
        none is named).

        Raises:
            ConversationNotFound: there is none, it is another's, or the message is not in it.
        """
        async with self._database.writing() as connection:
            source = await self._owned(connection, user_id, conversation_id)
            said = branch(await _messages(connection, source.id), head_id or source.head_id)
            new = await self._create(connection, user_id, source.title, source.id)
            await _findable(connection, user_id, new.id, index.TITLE, new.title)
            parent: MessageId | None = None
            for each in said:
                parent = (
                    await self._say(connection, new.id, parent, each.role, each.text, each.run_id)
                ).id
                await _findable(connection, user_id, new.id, parent, each.text)
            return new._replace(head_id=parent)

    # -- rows --------------------------------------------------------------------------------------

    async def _create(
        self,
        connection: AsyncConnection,
        user_id: UserId,
        title: str,
        forked_from: ConversationId | None,
    ) -> Conversation:
        now = self._clock.now()
        new = Conversation(new_conversation_id(now), user_id, title, now, now, None, forked_from)
        await connection.execute(
            insert(CONVERSATIONS).values(
                id=new.id,
                user_id=user_id,
                title=title,
                created_at=stamp(now),
                updated_at=stamp(now),
                forked_from=forked_from,
            )
        )
        return new

    async def _owned(
        self, connection: AsyncConnection, user_id: UserId, conversation_id: ConversationId
    ) -> Conversation:
        query = select(CONVERSATIONS).where(
            CONVERSATIONS.c.id == conversation_id, CONVERSATIONS.c.user_id == user_id
        )
        row = (await connection.execute(query)).first()
        if row is None:
            raise ConversationNotFound(f"There is no conversation {conversation_id[:60]!r}.")
        return _conversation(row)

    async def _say(
        self,
        connection: AsyncConnection,
        conversation_id: ConversationId,
        parent_id: MessageId | None,
        role: str,
        text: str,
        run_id: RunId | None,
    ) -> Message:
        now = self._clock.now()
        message_id = new_message_id(now)
        row = {
            "id": message_id,
            "conversation_id": conversation_id,
            "parent_id": parent_id,
            "role": role,
            "created_at": stamp(now),
            "text": text,
            "run_id": run_id,
        }
        await connection.execute(insert(MESSAGES).values(row))
        await _change(connection, conversation_id, head_id=message_id, updated_at=stamp(now))
        return _message(row)


async def _findable(
    connection: AsyncConnection, user_id: str, conversation_id: str, message_id: str, said: str
) -> None:
    if said:
        await index.add(
            connection,
            user_id=user_id,
            conversation_id=conversation_id,
            message_id=message_id,
            said=said,
        )


def _number(place: tuple[str, ...]) -> int:
    kind, number = place
    if kind != "search" or not (number.isascii() and number.isdecimal()) or len(number) > 9:
        raise InputRefused("This cursor was not given out by a search.")
    return int(number)


def title_of(text: str) -> str:
    """A title as it is kept: one line, not too long."""
    return " ".join(storable(text).split())[:LONGEST_TITLE]


def storable(text: str) -> str:
    """A text without what no database keeps: NUL, and halves of characters, become U+FFFD."""
    return (
        text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
    )


async def _messages(
    connection: AsyncConnection, conversation_id: ConversationId
) -> tuple[Message, ...]:
    query = (
        select(MESSAGES)
        .where(MESSAGES.c.conversation_id == conversation_id)
        .order_by(MESSAGES.c.id)
    )
    return tuple(_message(row) for row in (await connection.execute(query)).mappings())


async def _change(
    connection: AsyncConnection, conversation_id: ConversationId, **values: str
) -> None:
    await connection.execute(
        update(CONVERSATIONS).where(CONVERSATIONS.c.id == conversation_id).values(**values)
    )


def _conversation(row: Row[Any]) -> Conversation:
    return Conversation(
        id=ConversationId(row.id),
        user_id=UserId(row.user_id),
        title=row.title,
        created_at=datetime.fromisoformat(row.created_at),
        updated_at=datetime.fromisoformat(row.updated_at),
        head_id=row.head_id,
        forked_from=row.forked_from,
    )


def _message(row: Any) -> Message:
    return Message(**{**row, "created_at": datetime.fromisoformat(row["created_at"])})
