"""Logins: a token in a person's browser, its hash here, an end that moves on with use."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from forge.accounts.audit import Origin
from forge.accounts.tokens import hash_of, new_token
from forge.clock import Clock, stamp
from forge.ids import UserId
from forge.store.tables import SESSIONS

IDLE = timedelta(days=14)
"""After how long without use a login ends."""

LIFETIME = timedelta(days=90)
"""After how long it ends in any case."""

NOTED_EVERY = timedelta(minutes=5)
"""How often use is written down: each request would make each read a write."""


class Session(NamedTuple):
    """A login as its owner sees it in a list. `id` is the beginning of the token's hash."""

    id: str
    user_id: UserId
    created_at: datetime
    used_at: datetime
    address: str
    agent: str


class Sessions:
    """Reads and writes logins, inside the caller's transaction."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def begin(self, connection: AsyncConnection, user_id: UserId, origin: Origin) -> str:
        """Log a user in; returns the token."""
        now, token = self._clock.now(), new_token("fgs")
        await connection.execute(
            insert(SESSIONS).values(
                token_hash=token.hash,
                user_id=user_id,
                created_at=stamp(now),
                used_at=stamp(now),
                expires_at=stamp(now + LIFETIME),
                address=origin.address[:64],
                agent=origin.agent[:200],
            )
        )
        return token.text

    async def find(self, connection: AsyncConnection, token: str) -> Session | None:
        """The login of this token, if it has not ended."""
        now = self._clock.now()
        query = select(SESSIONS).where(
            SESSIONS.c.token_hash == hash_of(token),
            SESSIONS.c.expires_at > stamp(now),
            SESSIONS.c.used_at > stamp(now - IDLE),
        )
        row = (await connection.execute(query)).first()
        return None if row is None else _session(row)

    def stale(self, session: Session) -> bool:
        """Whether its use should be written down again."""
        return self._clock.now() - session.used_at > NOTED_EVERY

    async def used(self, connection: AsyncConnection, token: str) -> None:
        """Write down that a login was used."""
        await connection.execute(
            update(SESSIONS)
            .where(SESSIONS.c.token_hash == hash_of(token))
            .values(used_at=stamp(self._clock.now()))
        )

    async def end(self, connection: AsyncConnection, token: str) -> None:
        """End one login."""
        await connection.execute(delete(SESSIONS).where(SESSIONS.c.token_hash == hash_of(token)))

    async def end_all(
        self, connection: AsyncConnection, user_id: UserId, *, but: str | None = None
    ) -> int:
        """End every login of a user, but for one token's; returns how many."""
        query = delete(SESSIONS).where(SESSIONS.c.user_id == user_id)
        if but is not None:
            query = query.where(SESSIONS.c.token_hash != hash_of(but))
        return int((await connection.execute(query)).rowcount)

    async def list(self, connection: AsyncConnection, user_id: UserId) -> tuple[Session, ...]:
        """The logins of a user, the last used first."""
        query = (
            select(SESSIONS)
            .where(SESSIONS.c.user_id == user_id)
            .order_by(SESSIONS.c.used_at.desc())
        )
        return tuple(_session(row) for row in (await connection.execute(query)).all())


def _session(row: Row[Any]) -> Session:
    return Session(
        id=row.token_hash[:16],
        user_id=UserId(row.user_id),
        created_at=datetime.fromisoformat(row.created_at),
        used_at=datetime.fromisoformat(row.used_at),
        address=row.address,
        agent=row.agent,
    )
