"""A browser that logs in at another provider, and a server that lets it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from forge.testing.oidc import CLIENT_ID, CLIENT_SECRET, OidcProvider
from served import Served, served


@asynccontextmanager
async def server_of(
    folder: Path, provider: OidcProvider, *, secret: str = "", **more: Any
) -> AsyncIterator[Served]:
    """A server at which one logs in at the provider, which is a Supabase project too."""
    set_to = {
        "FORGE_OIDC_ISSUER": provider.issuer,
        "FORGE_OIDC_CLIENT_ID": CLIENT_ID,
        "FORGE_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "FORGE_OIDC_NAME": "The tests",
        "FORGE_SUPABASE_URL": provider.issuer,
        "FORGE_SUPABASE_JWT_SECRET": secret,
    }
    async with served(folder, single_user=False, set_to=set_to, **more) as server:
        yield server


class Browser:
    """Goes where it is sent, and keeps what it is given."""

    def __init__(self, server: Served, client: httpx2.AsyncClient) -> None:
        self.server, self.client = server, client

    async def start(self) -> httpx2.Response:
        """Ask our server to log in."""
        return await self.client.get("/api/auth/oidc/start")

    async def away(self, started: httpx2.Response) -> str:
        """Log in at the provider; returns the address it sends the browser back to, on our server:
        its path and query.
        """
        async with httpx2.AsyncClient() as abroad:
            answer = await abroad.get(started.headers["location"])
        assert answer.status_code == 302, answer.text
        back = urlsplit(answer.headers["location"])
        return f"{back.path}?{back.query}"

    async def log_in(self) -> httpx2.Response:
        """The whole way."""
        started = await self.start()
        assert started.status_code == 303, started.text
        return await self.client.get(await self.away(started))

    async def me(self) -> dict[str, Any]:
        """Who our server says this is."""
        answer = await self.client.get("/api/me")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def browser(server: Served) -> AsyncIterator[Browser]:
    """A browser with nothing in it."""
    async with server.client() as client:
        yield Browser(server, client)
