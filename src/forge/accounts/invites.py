"""One-time links to an account. The first one, printed in the terminal, makes the admin."""

from datetime import timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from forge.accounts.principal import Role
from forge.accounts.tokens import hash_of, new_token
from forge.clock import Clock, stamp
from forge.errors import LoginRefused
from forge.ids import UserId, new_id
from forge.store.tables import INVITES

LIFETIME = timedelta(days=7)
FIRST_LIFETIME = timedelta(hours=1)
"""The admin's own link: whoever starts the server is there to use it."""


class Invites:
    """Reads and writes invitations, inside the caller's transaction."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def make(self, connection: AsyncConnection, role: Role, by: UserId | None) -> str:
        """Invite somebody; returns the token. One by nobody is the first admin's, and takes the
        place of any such one before.
        """
        now, token = self._clock.now(), new_token("fgi")
        if by is None:
            await connection.execute(
                delete(INVITES).where(INVITES.c.created_by.is_(None), INVITES.c.used_at.is_(None))
            )
        await connection.execute(
            insert(INVITES).values(
                id=new_id("inv", now),
                token_hash=token.hash,
                role=role,
                created_by=by,
                created_at=stamp(now),
                expires_at=stamp(now + (LIFETIME if by else FIRST_LIFETIME)),
            )
        )
        return token.text

    async def take(self, connection: AsyncConnection, token: str) -> tuple[str, Role]:
        """Use an invitation up; returns its id and the role it gives.

        Raises:
            LoginRefused: there is none, or it was used or has ended.
        """
        now = stamp(self._clock.now())
        row = (
            await connection.execute(
                select(INVITES.c.id, INVITES.c.role).where(
                    INVITES.c.token_hash == hash_of(token),
                    INVITES.c.used_at.is_(None),
                    INVITES.c.expires_at > now,
                )
            )
        ).first()
        if row is not None:
            # Of two at once, one changes the row.
            taken = await connection.execute(
                update(INVITES)
                .where(INVITES.c.id == row.id, INVITES.c.used_at.is_(None))
                .values(used_at=now)
            )
            if taken.rowcount == 1:
                return row.id, row.role
        raise LoginRefused(
            "This link does not let anybody in: it was used, has ended, or was never given out.",
            hint="Ask an admin for a new one. The first admin's is printed when the server starts.",
        )

    async def name_user(self, connection: AsyncConnection, invite_id: str, user: UserId) -> None:
        """Say who used an invitation."""
        await connection.execute(
            update(INVITES).where(INVITES.c.id == invite_id).values(used_by=user)
        )
