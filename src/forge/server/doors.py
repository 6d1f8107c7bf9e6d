"""Doorkeepers: one for a server that serves one person on this computer, one for accounts, and one
for the terminal of whoever owns the server.

A session's token comes in a cookie that scripts cannot read and other sites' pages cannot send; an
API key, or a signed token of Supabase's, as `Authorization: Bearer`. A request with a cookie that
changes anything must say where it comes from, and that must be here; one with a key need not, as no
browser sends a key by itself.
"""

import asyncio
import hmac
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection
from starlette.responses import Response

from forge.accounts.audit import Origin
from forge.accounts.flows import LIFETIME_S as FLOW_LIFETIME_S
from forge.accounts.principal import Principal
from forge.accounts.service import Accounts
from forge.accounts.sessions import LIFETIME
from forge.accounts.tokens import kind_of
from forge.errors import NotAllowed
from forge.server.auth import SAFE, Doorkeeper, check_site
from forge.server.config import ServerConfig

if TYPE_CHECKING:
    from forge.accounts.supabase import SupabaseTokens


class LocalDoor:
    """Everyone who reaches the server is the user of this computer."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._known: Principal | None = None
        self._first = asyncio.Lock()

    async def principal(self, connection: HTTPConnection) -> Principal | None:
        """The user of this computer.

        Raises:
            NotAllowed: a page of another site asks.
        """
        check_site(connection)
        async with self._first:
            if self._known is None:
                self._known = await self._accounts.local_user()
        return self._known


class AccountsDoor:
    """People log in; programs have keys."""

    def __init__(
        self, accounts: Accounts, config: ServerConfig, supabase: "SupabaseTokens | None"
    ) -> None:
        self._accounts, self._cookie, self._supabase = accounts, Cookie(config), supabase

    async def principal(self, connection: HTTPConnection) -> Principal | None:
        """Whose login, key or signed token the request has.

        Raises:
            NotAllowed: a page of another site asks, or where it comes from cannot be told; or the
                token's user has no account here.
            LoginRefused: the token is not right.
            LoginUnavailable: it cannot be checked now.
        """
        kind, _, token = connection.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and token:
            return await self._by_bearer(token.strip(), connection)
        token = self._cookie.read(connection)
        if not token:
            return None
        check_site(connection)
        method = connection.scope.get("method", "WEBSOCKET")
        said = {"origin", "sec-fetch-site"} & set(connection.headers.keys())
        if method not in SAFE and not said:
            raise NotAllowed(
                "This request has a login's cookie and does not say where it comes from.",
                hint="Programs use an API key; browsers say so by themselves.",
            )
        return await self._accounts.authenticate(token)

    async def _by_bearer(self, token: str, connection: HTTPConnection) -> Principal | None:
        if self._supabase is None or kind_of(token) is not None:
            return await self._accounts.authenticate(token)
        who, claims = await self._supabase.who(token)
        return await self._accounts.recognise(who, claims, origin_of(connection))


class OwnerDoor:
    """Lets in whoever has this start's own key, which is in a file of the server's folder, as the
    user of this computer; everybody else goes on to the other door.
    """

    def __init__(self, accounts: Accounts, key: str, other: Doorkeeper) -> None:
        self._owner, self._other = LocalDoor(accounts), other
        self._credential = f"Bearer {key}".encode()

    async def principal(self, connection: HTTPConnection) -> Principal | None:
        """As the other door says, but for the owner."""
        given = connection.headers.get("authorization", "").encode("utf-8", "surrogatepass")
        if hmac.compare_digest(given, self._credential):
            return await self._owner.principal(connection)
        return await self._other.principal(connection)


class Cookie:
    """The cookie that holds a login. With HTTPS its name binds it to this host alone."""

    def __init__(self, config: ServerConfig) -> None:
        self._secure = config.url.startswith("https://")
        self.name = "__Host-forge" if self._secure else "forge_session"

    def read(self, connection: HTTPConnection) -> str:
        """The token of a request; empty for none."""
        return connection.cookies.get(self.name, "")

    def give(self, response: Response, token: str) -> None:
        """Log a browser in."""
        response.set_cookie(
            self.name,
            token,
            max_age=int(LIFETIME.total_seconds()),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="strict",
        )

    def take(self, response: Response) -> None:
        """Log a browser out."""
        response.delete_cookie(
            self.name, path="/", secure=self._secure, httponly=True, samesite="strict"
        )


class FlowCookie:
    """The cookie of a login that is on its way at another provider. It must come along when that
    provider's page sends the browser back, so it is `Lax`; it lets nobody in by itself.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._secure = config.url.startswith("https://")
        self._name = "__Host-forge-login" if self._secure else "forge_login"

    def read(self, connection: HTTPConnection) -> str:
        """What a login left in this browser; empty for none."""
        return connection.cookies.get(self._name, "")

    def give(self, response: Response, value: str) -> None:
        """Let a browser keep it while it is away."""
        response.set_cookie(
            self._name,
            value,
            max_age=FLOW_LIFETIME_S,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def take(self, response: Response) -> None:
        """Forget it."""
        response.delete_cookie(
            self._name, path="/", secure=self._secure, httponly=True, samesite="lax"
        )


def origin_of(connection: HTTPConnection) -> Origin:
    """Where a request comes from; behind a proxy that is believed, where that says."""
    address = connection.client.host if connection.client else ""
    return Origin(address, connection.headers.get("user-agent", ""))
