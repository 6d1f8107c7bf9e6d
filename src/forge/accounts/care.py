"""What people do with their own accounts, and admins with others'.

A changed password ends every other login: whoever knew the old one may be in. Each change and what
the audit says of it are one transaction.
"""

from collections.abc import Iterable
from datetime import datetime

from forge.accounts.audit import AccountEvent, Audit, Origin
from forge.accounts.invites import Invites
from forge.accounts.keys import ApiKey, ApiKeys
from forge.accounts.passwords import Passwords
from forge.accounts.principal import Principal, Role, Scope
from forge.accounts.sessions import Session, Sessions
from forge.accounts.users import User, Users, name_of
from forge.clock import Clock, stamp
from forge.errors import Conflict, LoginRefused, NotAllowed, NotFound
from forge.ids import UserId
from forge.store.database import Database


class AccountCare:
    """Changes to accounts. Each is in somebody's name, who was recognised before."""

    def __init__(self, database: Database, clock: Clock, passwords: Passwords) -> None:
        self._database, self._clock, self._passwords = database, clock, passwords
        self._users, self._sessions = Users(clock), Sessions(clock)
        self._keys, self._invites, self._audit = ApiKeys(clock), Invites(clock), Audit(clock)

    async def user(self, user_id: UserId) -> User:
        """A user.

        Raises:
            NotFound: there is none with this id.
        """
        async with self._database.reading() as connection:
            user = await self._users.by_id(connection, user_id)
        if user is None:
            raise NotFound("There is no such user.")
        return user

    async def change_password(
        self, who: Principal, old: str, new: str, *, session: str, origin: Origin
    ) -> None:
        """Change one's password; every other login and no key ends.

        Raises:
            LoginRefused: the old one is not right.
            Conflict: this account has none.
            InputRefused: the new one cannot be used.
        """
        user = await self.user(who.user_id)
        if user.password is None:
            raise Conflict("This account has no password.", hint="Its login is another provider's.")
        if not await self._passwords.matches(user.password, old):
            raise LoginRefused("The old password is not right.")
        kept = await self._passwords.hash(new)
        async with self._database.writing() as connection:
            await self._users.change(connection, user.id, password=kept)
            await self._sessions.end_all(connection, user.id, but=session)
            await self._audit.note(connection, "password_changed", origin, user.id)

    async def log_out_everywhere(self, who: Principal, origin: Origin) -> int:
        """End every login of one's own; returns how many."""
        async with self._database.writing() as connection:
            ended = await self._sessions.end_all(connection, who.user_id)
            await self._audit.note(connection, "logged_out_everywhere", origin, who.user_id)
        return ended

    async def sessions(self, who: Principal) -> tuple[Session, ...]:
        """One's own logins, the last used first."""
        async with self._database.reading() as connection:
            return await self._sessions.list(connection, who.user_id)

    # -- keys --------------------------------------------------------------------------------------

    async def make_key(
        self,
        who: Principal,
        name: str,
        scopes: Iterable[Scope],
        expires_at: datetime | None,
        origin: Origin,
    ) -> tuple[ApiKey, str]:
        """Make an API key; returns it and its text, which is shown once.

        Raises:
            NotAllowed: a key would be given more than its maker may.
            InputRefused: it would never work, or its name cannot be used.
        """
        wanted = frozenset(scopes)
        if excess := sorted(scope for scope in wanted if not who.may(scope)):
            raise NotAllowed(f"You may not give a key the scope {excess[0]!r}.")
        async with self._database.writing() as connection:
            made = await self._keys.make(connection, who.user_id, name_of(name), wanted, expires_at)
            await self._audit.note(connection, "key_made", origin, who.user_id, key=made[0].id)
        return made

    async def keys(self, who: Principal) -> tuple[ApiKey, ...]:
        """One's own keys, the newest first."""
        async with self._database.reading() as connection:
            return await self._keys.list(connection, who.user_id)

    async def revoke_key(self, who: Principal, key_id: str, origin: Origin) -> None:
        """Let one of one's own keys count no more.

        Raises:
            NotFound: there is no such key.
        """
        async with self._database.writing() as connection:
            await self._keys.revoke(connection, who.user_id, key_id)
            await self._audit.note(connection, "key_revoked", origin, who.user_id, key=key_id)

    # -- what admins do ----------------------------------------------------------------------------

    async def invite(self, who: Principal, role: Role, origin: Origin) -> str:
        """Make a one-time link to an account; returns its token.

        Raises:
            NotAllowed: only admins may.
        """
        _admin(who)
        async with self._database.writing() as connection:
            await self._audit.note(connection, "invited", origin, who.user_id, role=role)
            return await self._invites.make(connection, role, who.user_id)

    async def users(self, who: Principal, *, limit: int, after: str | None) -> tuple[User, ...]:
        """Everybody with an account, by age.

        Raises:
            NotAllowed: only admins may.
        """
        _admin(who)
        async with self._database.reading() as connection:
            return await self._users.list(connection, limit=limit, after=after)

    async def disable(self, who: Principal, user_id: UserId, origin: Origin) -> None:
        """Let somebody in no more, and end all their logins.

        Raises:
            NotAllowed: only admins may.
            Conflict: it is oneself.
            NotFound: there is no such user.
        """
        _admin(who)
        if user_id == who.user_id:
            raise Conflict("You cannot disable your own account.", hint="Ask another admin.")
        async with self._database.writing() as connection:
            await self._users.change(connection, user_id, disabled_at=stamp(self._clock.now()))
            await self._sessions.end_all(connection, user_id)
            await self._audit.note(connection, "disabled", origin, user_id, who.user_id)

    async def enable(self, who: Principal, user_id: UserId, origin: Origin) -> None:
        """Let somebody in again.

        Raises:
            NotAllowed: only admins may.
            NotFound: there is no such user.
        """
        _admin(who)
        async with self._database.writing() as connection:
            await self._users.change(connection, user_id, disabled_at=None)
            await self._audit.note(connection, "enabled", origin, user_id, who.user_id)

    async def events(
        self, who: Principal, *, limit: int, before: str | None
    ) -> tuple[AccountEvent, ...]:
        """What happened to accounts, the newest first.

        Raises:
            NotAllowed: only admins may.
        """
        _admin(who)
        async with self._database.reading() as connection:
            return await self._audit.read(connection, limit=limit, before=before)


def _admin(who: Principal) -> None:
    if not who.may("admin"):
        raise NotAllowed("Only an admin may do this.", hint="Ask an admin of this server.")
