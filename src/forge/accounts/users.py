"""Users, as rows."""

import re
import unicodedata
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from forge.accounts.principal import Role
from forge.clock import Clock, stamp
from forge.errors import Conflict, InputRefused, NotFound
from forge.ids import UserId, new_user_id
from forge.store.tables import IDENTITIES, USERS

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
LONGEST_NAME = 100


class User(NamedTuple):
    """A person with an account."""

    id: UserId
    created_at: datetime
    email: str | None
    name: str
    role: Role
    password: str | None
    disabled: bool


class NewUserRow(NamedTuple):
    """A user to be: `email` as `email_of` gives it, `password` as a hash."""

    name: str
    email: str | None
    role: Role
    password: str | None


class Identity(NamedTuple):
    """Who a person is at a provider of logins: OIDC's `iss` and `sub`."""

    issuer: str
    subject: str


def email_of(text: str) -> str:
    """An address as it is kept and compared: NFC, in lower case.

    Raises:
        InputRefused: it is not the form of an address.
    """
    email = unicodedata.normalize("NFC", text.strip()).lower()
    if not _EMAIL.fullmatch(email) or not email.isprintable():
        raise InputRefused(f"{text[:80]!r} is not an e-mail address.")
    return email


def name_of(text: str) -> str:
    """A name as it is kept.

    Raises:
        InputRefused: it is empty, too long or holds what cannot be shown.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise InputRefused(f"A name has 1 to {LONGEST_NAME} characters that can be shown.")
    return name


class Users:
    """Reads and writes users, inside the caller's transaction."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def add(self, connection: AsyncConnection, new: NewUserRow) -> User:
        """Make a user.

        Raises:
            Conflict: another has this address.
        """
        if new.email is not None and await self.by_email(connection, new.email) is not None:
            raise Conflict("There is an account with this e-mail address already.")
        now = self._clock.now()
        user = User(
            new_user_id(now), now, new.email, new.name, new.role, new.password, disabled=False
        )
        await connection.execute(
            insert(USERS).values(
                id=user.id,
                created_at=stamp(now),
                email=new.email,
                name=new.name,
                role=new.role,
                password=new.password,
            )
        )
        return user

    async def by_email(self, connection: AsyncConnection, email: str) -> User | None:
        """The user with this address, as `email_of` gives it."""
        return _user(
            (await connection.execute(select(USERS).where(USERS.c.email == email))).first()
        )

    async def by_id(self, connection: AsyncConnection, user_id: UserId) -> User | None:
        """The user with this id."""
        return _user((await connection.execute(select(USERS).where(USERS.c.id == user_id))).first())

    async def by_identity(self, connection: AsyncConnection, who: Identity) -> User | None:
        """The user who is this at a provider of logins."""
        query = (
            select(USERS)
            .join(IDENTITIES, IDENTITIES.c.user_id == USERS.c.id)
            .where(IDENTITIES.c.issuer == who.issuer, IDENTITIES.c.subject == who.subject)
        )
        return _user((await connection.execute(query)).first())

    async def bind(self, connection: AsyncConnection, user_id: UserId, who: Identity) -> None:
        """Let a provider's login be this user's."""
        await connection.execute(
            insert(IDENTITIES).values(
                issuer=who.issuer,
                subject=who.subject,
                user_id=user_id,
                created_at=stamp(self._clock.now()),
            )
        )

    async def list(
        self, connection: AsyncConnection, *, limit: int, after: str | None
    ) -> tuple[User, ...]:
        """Users by age, from the one after `after` on."""
        query = select(USERS).where(USERS.c.id > (after or "")).order_by(USERS.c.id).limit(limit)
        rows = (await connection.execute(query)).all()
        return tuple(user for row in rows if (user := _user(row)) is not None)

    async def any(self, connection: AsyncConnection) -> bool:
        """Whether anyone but the user of this computer has an account."""
        query = select(USERS.c.id).where(USERS.c.email.is_not(None)).limit(1)
        return (await connection.execute(query)).first() is not None

    async def change(self, connection: AsyncConnection, user_id: UserId, **fields: Any) -> None:
        """Change columns of a user.

        Raises:
            NotFound: there is no such user.
        """
        changed = await connection.execute(
            update(USERS).where(USERS.c.id == user_id).values(**fields)
        )
        if changed.rowcount == 0:
            raise NotFound("There is no such user.")


def _user(row: Row[Any] | None) -> User | None:
    if row is None:
        return None
    return User(
        id=UserId(row.id),
        created_at=datetime.fromisoformat(row.created_at),
        email=row.email,
        name=row.name,
        role=row.role,
        password=row.password,
        disabled=row.disabled_at is not None,
    )
