"""A whole server on a port of its own, over real HTTP: for the tests of the API.

Its machines are processes of this host (`forge.testing.sandbox`), so that hundreds of requests take
seconds; what real machines do behind the API is tried where machines are.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from forge.accounts.principal import Role
from forge.hosting import Hosted, open_hosted
from forge.server.app import create_app
from forge.server.config import ServerConfig
from forge.server.console import BUILT
from forge.server.serve import serving
from forge.server.state import State
from forge.settings import ModelChoice, Settings
from forge.wiring import Forge, Machines
from running import House, house

PASSWORD = "an engine of numbers"


@dataclass
class Served:
    """A server, what is behind it, and clients to ask it with."""

    url: str
    port: int
    home: House
    hosted: Hosted
    config: ServerConfig
    state: State

    @asynccontextmanager
    async def client(self, token: str = "", **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
        """Somebody who asks: a program with a key, or nobody."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=90) as client:
            yield client

    async def person(self, name: str, role: Role = "user") -> str:
        """Somebody with an account; returns a key that may do all that they may."""
        accounts, care = self.hosted.accounts, self.hosted.care
        from forge.accounts.audit import Origin
        from forge.accounts.service import NewUser

        link = await accounts.first_admin_link() if role == "admin" else ""
        new = NewUser(f"{name}@example.org", name, PASSWORD)
        who = await accounts.authenticate(await accounts.sign_up(new, Origin(), link or ""))
        assert who is not None
        scopes = ["read", "write", "run"] + (["admin"] if role == "admin" else [])
        _, key = await care.make_key(who, "tests", scopes, None, Origin())  # type: ignore[arg-type]
        return key


@asynccontextmanager
async def served(
    folder: Path,
    *,
    model: Any = None,
    provider: Any = None,
    sign_up: Any = "open",
    set_to: Mapping[str, str] | None = None,
    console: Path = BUILT,
    **config: Any,
) -> AsyncIterator[Served]:
    """A server until the block is left; `set_to` are settings, `console` is the folder
    of the console's files, `config` are fields of its configuration.
    """
    settings = Settings(FORGE_HOME=folder, **(set_to or {}))  # type: ignore[arg-type]
    async with house(folder, model=model, provider=provider) as home:
        forge = Forge(
            settings=settings,
            model=ModelChoice("offline", "none", "for the tests"),
            service=home.service,
            machines=Machines(home.provider, None, settings, print),
            talks=home.driver.machines,
            blobs=home.blobs,
            database=home.database,
            measures=home.measures,
        )
        wanted = ServerConfig(port=0, sign_up=sign_up, **config)
        async with open_hosted(forge, sign_up, wanted.url) as hosted:
            app = create_app(hosted, wanted, console)
            async with serving(app, wanted) as port:
                url = f"http://127.0.0.1:{port}"
                yield Served(url, port, home, hosted, wanted, app.state.forge)
