"""Who asks, and may they: the one dependency that every route but a few has.

    async def route(who: Annotated[Principal, may("run")]): ...

A `Doorkeeper` says who a request is from; `may` then holds that to what the route needs. On a
server that serves one person on this computer alone there is no login: whoever reaches it is that
person. That is safe only while strangers' web pages cannot: the host is checked (`edge.KnownHost`),
and what changes anything must not come from another site.
"""

from typing import Any, Protocol

from fastapi import Depends
from starlette.requests import HTTPConnection

from forge.accounts.principal import Principal, Scope
from forge.errors import LoginRequired, NotAllowed

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Doorkeeper(Protocol):
    """Says who a request is from."""

    async def principal(self, connection: HTTPConnection) -> Principal | None:
        """The one who asks; None where nobody is logged in.

        Raises:
            NotAllowed: it comes from another site in a person's name.
        """


def check_site(connection: HTTPConnection) -> None:
    """Refuse what a page of another site makes a browser send in its user's name.

    A browser says where a request comes from (`Sec-Fetch-Site`, and `Origin` where it changes
    anything or opens a WebSocket); a program that is no browser says nothing and holds no cookie.

    Raises:
        NotAllowed: it comes from elsewhere.
    """
    method = connection.scope.get("method", "WEBSOCKET")
    if method in SAFE:
        return
    site = connection.headers.get("sec-fetch-site")
    if site in ("cross-site", "same-site"):
        raise NotAllowed("This request comes from another site.")
    origin = connection.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != connection.headers.get("host"):
        raise NotAllowed("This request comes from another site.")


async def admitted(connection: HTTPConnection, scope: Scope) -> Principal:
    """The one who asks, if this request may do what the scope names.

    Raises:
        LoginRequired: nobody is logged in.
        TooMany: they ask too often.
        NotAllowed: it may not.
    """
    state = connection.app.state.forge
    doorkeeper: Doorkeeper = state.doorkeeper
    who = await doorkeeper.principal(connection)
    if who is None:
        raise LoginRequired("Nobody is logged in.")
    await state.allowance.request(who.user_id)
    if not who.may(scope):
        raise NotAllowed(f"{connection.url.path} needs the scope {scope!r}.")
    return who


def may(scope: Scope) -> Any:
    """A dependency: the one who asks, admitted to what the scope names."""

    async def allowed(connection: HTTPConnection) -> Principal:
        return await admitted(connection, scope)

    return Depends(allowed)
