"""Accounts as the floors above see them: come in, be recognised, leave.

Each change and what the audit says of it are one transaction. Whoever is refused a login is not
told whether the address or the password was wrong, and waits as long for either.
"""

import logging
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from forge.accounts.audit import Audit, Origin
from forge.accounts.invites import Invites
from forge.accounts.keys import ApiKeys
from forge.accounts.passwords import Passwords
from forge.accounts.principal import EVERYTHING, Principal, Role
from forge.accounts.sessions import Sessions
from forge.accounts.throttle import Throttle
from forge.accounts.tokens import kind_of
from forge.accounts.users import Identity, NewUserRow, User, Users, email_of, name_of
from forge.clock import Clock
from forge.errors import Conflict, LoginRefused, NotAllowed
from forge.store.database import Database

LOG = logging.getLogger(__name__)

SignUp = str
"""`open`, `invite` or `closed`."""

LOCAL = Identity("forge", "local")
"""Who the only user of this computer is, where nobody logs in."""


class NewUser(NamedTuple):
    """What somebody who comes in says of themselves."""

    email: str
    name: str
    password: str


class Claims(NamedTuple):
    """What another provider says of somebody; `may_join` lets a first login make an account."""

    name: str
    email: str | None
    may_join: bool


class Accounts:
    """Everything about who people are. It holds nothing open but failed attempts of a minute."""

    def __init__(
        self, database: Database, clock: Clock, passwords: Passwords, sign_up: SignUp
    ) -> None:
        self._database, self._sign_up = database, sign_up
        self._passwords, self._throttle = passwords, Throttle(clock)
        self._users, self._sessions = Users(clock), Sessions(clock)
        self._keys, self._invites, self._audit = ApiKeys(clock), Invites(clock), Audit(clock)

    # -- coming in ---------------------------------------------------------------------------------

    async def local_user(self) -> Principal:
        """The only user of this computer, made where it is not there yet."""
        async with self._database.writing() as connection:
            user = await self._users.by_identity(connection, LOCAL)
            if user is None:
                user = await self._users.add(connection, NewUserRow("You", None, "admin", None))
                await self._users.bind(connection, user.id, LOCAL)
        return Principal(user.id, user.role, "local")

    async def first_admin_link(self) -> str | None:
        """A one-time token that makes the first admin; None once anybody has an account."""
        async with self._database.writing() as connection:
            if await self._users.any(connection):
                return None
            return await self._invites.make(connection, "admin", None)

    async def sign_up(self, new: NewUser, origin: Origin, invite: str = "") -> str:
        """Make an account and log in; returns the session's token.

        Raises:
            NotAllowed: nobody may, or not without an invitation.
            LoginRefused: the invitation is used up or none.
            InputRefused: a field cannot be used.
            Conflict: the address has an account.
            TooMany: too many attempts of this address failed.
        """
        if not invite and self._sign_up != "open":
            raise NotAllowed(
                "Nobody can sign up here without an invitation.",
                hint="Ask an admin of this server for a link.",
            )
        if invite and self._sign_up == "closed" and await self._anyone():
            raise NotAllowed("Nobody can sign up here any more.")
        email, name = email_of(new.email), name_of(new.name)
        await self._throttle.check(f"sign-up {origin.address}", origin.address)
        kept = await self._passwords.hash(new.password)
        try:
            async with self._database.writing() as connection:
                role: Role = "user"
                invite_id = ""
                if invite:
                    invite_id, role = await self._invites.take(connection, invite)
                user = await self._users.add(connection, NewUserRow(name, email, role, kept))
                if invite:
                    await self._invites.name_user(connection, invite_id, user.id)
                await self._audit.note(connection, "signed_up", origin, user.id, role=role)
                return await self._sessions.begin(connection, user.id, origin)
        except LoginRefused:
            await self._throttle.failed(f"sign-up {origin.address}", origin.address)
            raise

    async def log_in(self, email: str, password: str, origin: Origin) -> str:
        """Log in; returns the session's token.

        Raises:
            LoginRefused: the two do not belong together, or the account is disabled.
            TooMany: too many attempts failed.
        """
        account = email.strip().lower()[:254]
        await self._throttle.check(account, origin.address)
        async with self._database.reading() as connection:
            user = await self._users.by_email(connection, account)
        right = await self._passwords.matches(user.password if user else None, password)
        if user is None or not right or user.disabled:
            await self._throttle.failed(account, origin.address)
            async with self._database.writing() as connection:
                await self._audit.note(
                    connection, "login_refused", origin, user.id if user else None
                )
            raise LoginRefused("The e-mail address and the password do not belong together.")
        assert user.password is not None
        fresh = None
        if self._passwords.outdated(user.password):
            fresh = await self._passwords.hash(password)
        async with self._database.writing() as connection:
            if fresh is not None:
                await self._users.change(connection, user.id, password=fresh)
            await self._audit.note(connection, "logged_in", origin, user.id)
            return await self._sessions.begin(connection, user.id, origin)

    async def log_in_as(self, who: Identity, claims: Claims, origin: Origin) -> str:
        """Log in somebody whom another provider has recognised; returns the session's token.

        A first login makes an account where people may sign up. An address that has an account here
        already is not bound to it by itself: whoever controls another provider would control it.

        Raises:
            NotAllowed: nobody may sign up here, or the account is disabled.
            Conflict: the address has an account already.
            InputRefused: the provider's name or address cannot be used.
        """
        user = await self._joined(who, claims, origin)
        async with self._database.writing() as connection:
            await self._audit.note(connection, "logged_in", origin, user.id, issuer=who.issuer)
            return await self._sessions.begin(connection, user.id, origin)

    async def recognise(self, who: Identity, claims: Claims, origin: Origin) -> Principal:
        """Who somebody with another provider's signed token is; no session is made.

        Raises:
            NotAllowed, Conflict, InputRefused: as in `log_in_as`.
        """
        async with self._database.reading() as connection:
            user = await self._users.by_identity(connection, who)
        if user is None or user.disabled:
            user = await self._joined(who, claims, origin)
        return Principal(user.id, user.role, "token", EVERYTHING)

    async def _joined(self, who: Identity, claims: Claims, origin: Origin) -> User:
        """Somebody's account, made where it is not there yet, whoever else makes it at this moment:
        a page's first requests come all at once.
        """
        try:
            async with self._database.writing() as connection:
                return await self._recognised(connection, who, claims, origin)
        except Conflict:  # also where the address has an account, which is said again below
            LOG.debug("another request has made the account")
        async with self._database.writing() as connection:
            return await self._recognised(connection, who, claims, origin)

    async def _recognised(
        self, connection: AsyncConnection, who: Identity, claims: Claims, origin: Origin
    ) -> User:
        user = await self._users.by_identity(connection, who)
        if user is None:
            if not claims.may_join:
                raise NotAllowed(
                    "There is no account for this login, and nobody can join by themselves.",
                    hint="Ask an admin of this server.",
                )
            email = email_of(claims.email) if claims.email else None
            name = name_of(claims.name or claims.email or who.subject)
            user = await self._users.add(connection, NewUserRow(name, email, "user", None))
            await self._users.bind(connection, user.id, who)
            await self._audit.note(connection, "signed_up", origin, user.id, issuer=who.issuer)
        if user.disabled:
            raise NotAllowed("This account is disabled.", hint="Ask an admin.")
        return user

    # -- being recognised --------------------------------------------------------------------------

    async def authenticate(self, token: str) -> Principal | None:
        """Whose session's token or API key this is; None if it is nobody's or no more."""
        kind = kind_of(token)
        if kind == "fgs":
            return await self._by_session(token)
        return await self._by_key(token) if kind == "fgk" else None

    async def _by_session(self, token: str) -> Principal | None:
        async with self._database.reading() as connection:
            session = await self._sessions.find(connection, token)
            user = session and await self._users.by_id(connection, session.user_id)
        if session is None or user is None or user.disabled:
            return None
        if self._sessions.stale(session):
            async with self._database.writing() as connection:
                await self._sessions.used(connection, token)
        return Principal(user.id, user.role, "session", EVERYTHING)

    async def _by_key(self, token: str) -> Principal | None:
        async with self._database.reading() as connection:
            key = await self._keys.find(connection, token)
            user = key and await self._users.by_id(connection, key.user_id)
        if key is None or user is None or user.disabled:
            return None
        if self._keys.stale(key):
            async with self._database.writing() as connection:
                await self._keys.used(connection, key.id)
        return Principal(user.id, user.role, "key", key.scopes)

    # -- leaving -----------------------------------------------------------------------------------

    async def log_out(self, token: str, origin: Origin) -> None:
        """End the login of this token."""
        async with self._database.writing() as connection:
            session = await self._sessions.find(connection, token)
            await self._sessions.end(connection, token)
            if session is not None:
                await self._audit.note(connection, "logged_out", origin, session.user_id)

    async def _anyone(self) -> bool:
        async with self._database.reading() as connection:
            return await self._users.any(connection)
