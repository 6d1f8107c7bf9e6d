"""What people gave and what runs made, by name and version. The bytes are blobs, kept by digest.

The same name again in the same conversation is the next version; none is ever overwritten, and each
outlives the machine it came from. A file is asked for in its owner's name: another's is not there.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Row, func, insert, select, update

from forge.clock import Clock, stamp
from forge.errors import FileUnknown, InputRefused
from forge.ids import ConversationId, FileId, RunId, UserId, new_file_id
from forge.runs.conversations.cursors import cursor_of, place_of
from forge.runs.wish import check_name
from forge.store.database import Database
from forge.store.tables import FILES, USERS

Kind = Literal["upload", "artifact"]

MOST_FILES = 1_000
"""How many files one conversation keeps."""


class NewFile(NamedTuple):
    """A file whose bytes are kept already: SHA-256 in hex, size in bytes."""

    kind: Kind
    name: str
    sha256: str
    size: int
    media_type: str
    conversation_id: ConversationId | None = None
    run_id: RunId | None = None


class File(NamedTuple):
    """A file of a person's. Versions of a name count from 1."""

    id: FileId
    user_id: UserId
    conversation_id: ConversationId | None
    run_id: RunId | None
    kind: Kind
    name: str
    version: int
    sha256: str
    size: int
    media_type: str
    created_at: datetime


class Files:
    """Keeps what is known of files. It holds nothing open."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def add(self, user_id: UserId, new: NewFile) -> File:
        """Note a file.

        Raises:
            PathRefused: an upload's name is not one plain name.
            InputRefused: the conversation has as many as it may.
        """
        if new.kind == "upload":
            check_name(new.name)
        place = (FILES.c.user_id == user_id, FILES.c.conversation_id == new.conversation_id)
        now = self._clock.now()
        async with self._database.writing() as connection:
            # Two at once would both take the same version where writers go at once.
            await connection.execute(
                select(USERS.c.id).where(USERS.c.id == user_id).with_for_update()
            )
            if new.conversation_id is not None:
                count = await connection.scalar(select(func.count()).where(*place))
                if (count or 0) >= MOST_FILES:
                    raise InputRefused(f"A conversation keeps at most {MOST_FILES} files.")
            newest = await connection.scalar(
                select(func.max(FILES.c.version)).where(*place, FILES.c.name == new.name)
            )
            file = File(
                id=new_file_id(now),
                user_id=user_id,
                version=(newest or 0) + 1,
                created_at=now,
                **new._asdict(),
            )
            await connection.execute(
                insert(FILES).values(file._asdict() | {"created_at": stamp(now)})
            )
        return file

    async def add_once(self, user_id: UserId, new: NewFile) -> None:
        """Note what a run made, unless it is noted already.

        Raises:
            InputRefused: the conversation has as many as it may.
        """
        query = select(FILES.c.id).where(
            FILES.c.user_id == user_id,
            FILES.c.run_id == new.run_id,
            FILES.c.name == new.name,
            FILES.c.sha256 == new.sha256,
        )
        async with self._database.reading() as connection:
            known = (await connection.execute(query)).first()
        if known is None:
            await self.add(user_id, new)

    async def place(
        self, user_id: UserId, file_ids: Sequence[FileId], conversation_id: ConversationId
    ) -> None:
        """Put those that were given before there was a conversation into it."""
        if not file_ids:
            return
        own = (FILES.c.user_id == user_id, FILES.c.conversation_id.is_(None))
        async with self._database.writing() as connection:
            await connection.execute(
                select(USERS.c.id).where(USERS.c.id == user_id).with_for_update()
            )
            found = select(FILES).where(*own, FILES.c.id.in_(file_ids)).order_by(FILES.c.id)
            for row in (await connection.execute(found)).all():
                newest = await connection.scalar(
                    select(func.max(FILES.c.version)).where(
                        FILES.c.user_id == user_id,
                        FILES.c.conversation_id == conversation_id,
                        FILES.c.name == row.name,
                    )
                )
                await connection.execute(
                    update(FILES)
                    .where(FILES.c.id == row.id)
                    .values(conversation_id=conversation_id, version=(newest or 0) + 1)
                )

    async def used(self, user_id: UserId) -> int:
        """How many bytes a person keeps; the same content counts once."""
        each = select(FILES.c.sha256, FILES.c.size).where(FILES.c.user_id == user_id).distinct()
        query = select(func.sum(each.subquery().c.size))
        async with self._database.reading() as connection:
            return int(await connection.scalar(query) or 0)

    async def get(self, user_id: UserId, file_id: FileId) -> File:
        """One file.

        Raises:
            FileUnknown: there is none, or it is another's.
        """
        query = select(FILES).where(FILES.c.id == file_id, FILES.c.user_id == user_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise FileUnknown(f"There is no file {file_id[:60]!r}.")
        return _file(row)

    async def list(
        self,
        user_id: UserId,
        *,
        limit: int,
        cursor: str | None = None,
        conversation_id: ConversationId | None = None,
    ) -> tuple[tuple[File, ...], str | None]:
        """The newest first, at most `limit`, and the cursor of the page after.

        Raises:
            InputRefused: the cursor is none of this list's.
        """
        query = (
            select(FILES)
            .where(FILES.c.user_id == user_id)
            .order_by(FILES.c.id.desc())
            .limit(limit + 1)
        )
        if conversation_id is not None:
            query = query.where(FILES.c.conversation_id == conversation_id)
        if cursor is not None:
            query = query.where(FILES.c.id < place_of(cursor, 1)[0])
        async with self._database.reading() as connection:
            found = [_file(row) for row in (await connection.execute(query)).all()]
        page = tuple(found[:limit])
        return page, cursor_of(page[-1].id) if len(found) > limit else None

    async def newest(self, user_id: UserId, conversation_id: ConversationId) -> tuple[File, ...]:
        """The newest version of each name in a conversation, by name."""
        query = (
            select(FILES)
            .where(FILES.c.user_id == user_id, FILES.c.conversation_id == conversation_id)
            .order_by(FILES.c.name, FILES.c.version)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return tuple({row.name: _file(row) for row in rows}.values())


def _file(row: Row[Any]) -> File:
    return File(**{**row._mapping, "created_at": datetime.fromisoformat(row.created_at)})  # noqa: SLF001 - the documented way to a row's columns by name
