"""What happened to accounts: who did what to whom, from where. Rows are only added."""

import json
from typing import NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from forge.clock import Clock, stamp
from forge.ids import UserId, new_id
from forge.store.tables import ACCOUNT_EVENTS


class Origin(NamedTuple):
    """Where a request comes from: its address, and what the program calls itself."""

    address: str = ""
    agent: str = ""


class AccountEvent(NamedTuple):
    """Something that happened."""

    id: str
    created_at: str
    user_id: str | None
    actor_id: str | None
    kind: str
    address: str
    facts: dict[str, str]


class Audit:
    """Writes what happened, inside the transaction in which it happened."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def note(
        self,
        connection: AsyncConnection,
        kind: str,
        origin: Origin,
        user_id: UserId | None,
        actor_id: UserId | None = None,
        **facts: str,
    ) -> None:
        """Write down an event. `actor_id` is who did it, where that is someone else."""
        now = self._clock.now()
        await connection.execute(
            insert(ACCOUNT_EVENTS).values(
                id=new_id("aev", now),
                created_at=stamp(now),
                user_id=user_id,
                actor_id=actor_id or user_id,
                kind=kind,
                address=origin.address[:64],
                body=json.dumps(facts, ensure_ascii=True),
            )
        )

    async def read(
        self, connection: AsyncConnection, *, limit: int, before: str | None
    ) -> tuple[AccountEvent, ...]:
        """The newest events first; `before` goes on after a page's last id."""
        query = select(ACCOUNT_EVENTS).order_by(ACCOUNT_EVENTS.c.id.desc()).limit(limit)
        if before:
            query = query.where(ACCOUNT_EVENTS.c.id < before)
        rows = (await connection.execute(query)).all()
        return tuple(
            AccountEvent(
                row.id,
                row.created_at,
                row.user_id,
                row.actor_id,
                row.kind,
                row.address,
                json.loads(row.body),
            )
            for row in rows
        )
