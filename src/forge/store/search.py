"""Finding what was said: full-text search, on FTS5 in SQLite and a GIN index in PostgreSQL.

Both index the words of `forge.store.words`, so they find the same. Each entry's words begin with
its user's id, which makes a search go through that person's entries alone; the owner is compared
once more as a column, because a text may hold any word.

Of what matches, the newest `CANDIDATES` are ranked: a word that is in everything costs no more than
a rare one, and what is that common is looked for among what is recent.

Whoever changes a conversation adds and removes its entries in the same transaction.
"""

from typing import Any, NamedTuple

from sqlalchemy import delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from forge.store.tables import SEARCH
from forge.store.words import Query, Snippet, query_of, snippet, words_of

CANDIDATES = 1_000
"""How many matching messages are ranked."""

PAGE = 100
"""How many conversations one search answers with at most."""

TITLE = ""
"""The `message_id` of a conversation's title."""


class Found(NamedTuple):
    """A conversation in which it was said, and the message (or `TITLE`) that says it best."""

    conversation_id: str
    message_id: str
    snippet: Snippet


class FoundPage(NamedTuple):
    """Best first. `after` goes on from here; None at the end."""

    found: tuple[Found, ...]
    after: int | None


async def add(
    connection: AsyncConnection, *, user_id: str, conversation_id: str, message_id: str, said: str
) -> None:
    """Let a message, or a title, be found from now on; what was known of it is replaced."""
    await connection.execute(
        delete(SEARCH).where(
            SEARCH.c.conversation_id == conversation_id, SEARCH.c.message_id == message_id
        )
    )
    await connection.execute(
        insert(SEARCH).values(
            conversation_id=conversation_id,
            message_id=message_id,
            user_id=user_id,
            text=said.replace("\0", " "),
            words=document(user_id, said, connection.dialect.name),
        )
    )


def document(user_id: str, said: str, dialect: str) -> str:
    """What is kept of a text in the column `words`."""
    words = [_owner(user_id), *words_of(said)]
    if dialect == "postgresql":
        # A tsvector as it is written down: each word with its place, which goes up to 16383.
        words = [f"{word}:{min(place, 16383)}" for place, word in enumerate(words, 1)]
    return " ".join(words)


async def remove_conversation(connection: AsyncConnection, conversation_id: str) -> None:
    """Let nothing of a conversation be found any more."""
    await connection.execute(delete(SEARCH).where(SEARCH.c.conversation_id == conversation_id))


async def search(
    connection: AsyncConnection, user_id: str, query: str, *, limit: int = 20, after: int = 0
) -> FoundPage:
    """The conversations of a user in which all words of `query` were said in one message.

    Args:
        connection: of `Database.reading`.
        user_id: whose conversations.
        query: whatever the person typed; any text at all is safe.
        limit: how many at most, up to `PAGE`.
        after: go on where an earlier page ended.
    """
    asked = query_of(query)
    if asked is None or after < 0:
        return FoundPage((), None)
    limit = max(1, min(limit, PAGE))
    statement = _POSTGRESQL if connection.dialect.name == "postgresql" else _SQLITE
    rows = await connection.execute(
        statement,
        {
            "asked": _asked(user_id, asked, connection.dialect.name),
            "user_id": user_id,
            "candidates": CANDIDATES,
        },
    )
    best: dict[str, int] = {}
    for row in rows:
        best.setdefault(row.conversation_id, row.number)
    numbers = list(best.values())[after : after + limit]
    more = len(best) > after + limit
    return FoundPage(await _shown(connection, numbers, asked), after + limit if more else None)


async def _shown(
    connection: AsyncConnection, numbers: list[int], asked: Query
) -> tuple[Found, ...]:
    rows = await connection.execute(select(SEARCH).where(SEARCH.c.number.in_(numbers)))
    by_number: dict[int, Any] = {row.number: row for row in rows}
    return tuple(
        Found(row.conversation_id, row.message_id, snippet(row.text, asked))
        for row in (by_number[number] for number in numbers)
    )


def _owner(user_id: str) -> str:
    """A user's id as a word."""
    return "u" + "".join(words_of(user_id))


def _asked(user_id: str, query: Query, dialect: str) -> str:
    """In the database's own query language; words have only letters and digits in them."""
    words = [_owner(user_id), *query.words]
    if dialect == "postgresql":
        prefix = [f"{query.prefix}:*"] if query.prefix else []
        return " & ".join([*words, *prefix])
    prefix = [f'"{query.prefix}"*'] if query.prefix else []
    return " ".join([*(f'"{word}"' for word in words), *prefix])


_SQLITE = text(
    """
    SELECT search.number, search.conversation_id
    FROM search_index JOIN search ON search.number = search_index.rowid
    WHERE search_index MATCH :asked AND search.user_id = :user_id
      AND search_index.rowid > coalesce((
        SELECT rowid FROM search_index WHERE search_index MATCH :asked
        ORDER BY rowid DESC LIMIT 1 OFFSET :candidates), -1)
    ORDER BY bm25(search_index), search.number DESC
    """
)

_POSTGRESQL = text(
    """
    SELECT number, conversation_id FROM (
        SELECT number, conversation_id, words FROM search
        WHERE user_id = :user_id AND words @@ CAST(:asked AS tsquery)
        ORDER BY number DESC LIMIT :candidates) AS newest
    ORDER BY ts_rank(words, CAST(:asked AS tsquery)) DESC, number DESC
    """
)
