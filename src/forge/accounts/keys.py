"""API keys: what a program shows instead of a person's login, with its own scopes and end."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from forge.accounts.principal import EVERYTHING, Scope
from forge.accounts.tokens import hash_of, new_token
from forge.clock import Clock, stamp
from forge.errors import InputRefused, NotFound
from forge.ids import UserId, new_id
from forge.store.tables import API_KEYS

NOTED_EVERY = timedelta(minutes=1)
"""How often use is written down."""

_HINT = 9


class ApiKey(NamedTuple):
    """A key as its owner sees it; `hint` is how it begins."""

    id: str
    user_id: UserId
    name: str
    hint: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked: bool


class ApiKeys:
    """Reads and writes keys, inside the caller's transaction."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def make(
        self,
        connection: AsyncConnection,
        user_id: UserId,
        name: str,
        scopes: Iterable[Scope],
        expires_at: datetime | None,
    ) -> tuple[ApiKey, str]:
        """Make a key; returns it and its text, which is kept nowhere.

        Raises:
            InputRefused: it would never work.
        """
        wanted, now = frozenset(scopes), self._clock.now()
        if not wanted or not wanted <= EVERYTHING:
            raise InputRefused(
                f"A key has one or more of the scopes {', '.join(sorted(EVERYTHING))}."
            )
        if expires_at is not None and expires_at <= now:
            raise InputRefused("This key would have ended already.")
        token = new_token("fgk")
        key = ApiKey(
            new_id("key", now),
            user_id,
            name,
            token.text[:_HINT],
            wanted,
            now,
            expires_at,
            None,
            False,
        )
        await connection.execute(
            insert(API_KEYS).values(
                id=key.id,
                token_hash=token.hash,
                user_id=user_id,
                name=name,
                hint=key.hint,
                scopes=" ".join(sorted(wanted)),
                created_at=stamp(now),
                expires_at=None if expires_at is None else stamp(expires_at),
            )
        )
        return key, token.text

    async def find(self, connection: AsyncConnection, token: str) -> ApiKey | None:
        """The key with this text, if it still counts."""
        query = select(API_KEYS).where(API_KEYS.c.token_hash == hash_of(token))
        row = (await connection.execute(query)).first()
        key = None if row is None else _key(row)
        if key is None or key.revoked:
            return None
        return None if key.expires_at and key.expires_at <= self._clock.now() else key

    def stale(self, key: ApiKey) -> bool:
        """Whether its use should be written down again."""
        return key.used_at is None or self._clock.now() - key.used_at > NOTED_EVERY

    async def used(self, connection: AsyncConnection, key_id: str) -> None:
        """Write down that a key was used."""
        now = stamp(self._clock.now())
        await connection.execute(
            update(API_KEYS).where(API_KEYS.c.id == key_id).values(used_at=now)
        )

    async def list(self, connection: AsyncConnection, user_id: UserId) -> tuple[ApiKey, ...]:
        """The keys of a user, the newest first, revoked ones too."""
        query = select(API_KEYS).where(API_KEYS.c.user_id == user_id).order_by(API_KEYS.c.id.desc())
        return tuple(_key(row) for row in (await connection.execute(query)).all())

    async def revoke(self, connection: AsyncConnection, user_id: UserId, key_id: str) -> None:
        """Let a key count no more.

        Raises:
            NotFound: the user has no such key.
        """
        changed = await connection.execute(
            update(API_KEYS)
            .where(API_KEYS.c.id == key_id, API_KEYS.c.user_id == user_id)
            .values(revoked_at=stamp(self._clock.now()))
        )
        if changed.rowcount == 0:
            raise NotFound("There is no such key.")


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        user_id=UserId(row.user_id),
        name=row.name,
        hint=row.hint,
        scopes=frozenset(row.scopes.split()),
        created_at=datetime.fromisoformat(row.created_at),
        expires_at=datetime.fromisoformat(row.expires_at) if row.expires_at else None,
        used_at=datetime.fromisoformat(row.used_at) if row.used_at else None,
        revoked=row.revoked_at is not None,
    )
