"""The app: routes, and around them what every request passes.

`create_app` opens nothing: what it serves is opened, and closed, by whoever calls it.
"""

from pathlib import Path

from fastapi import FastAPI
from starlette.middleware import Middleware

import forge
from forge.hosting import Hosted
from forge.server import openapi, problems
from forge.server.allowance import Allowance
from forge.server.auth import Doorkeeper
from forge.server.config import ServerConfig, is_loopback
from forge.server.console import BUILT, Console
from forge.server.doors import AccountsDoor, Cookie, LocalDoor, OwnerDoor
from forge.server.edge import BodyLimit, Hardened, KnownHost, Watched
from forge.server.measures import Measures
from forge.server.routes import (
    accounts,
    again,
    chat,
    conversations,
    files,
    health,
    logins,
    machine_files,
    previews,
    runs,
    sandbox,
    settings,
    terminal,
)
from forge.server.signing import Signer
from forge.server.state import State

UPLOADS = r"/api/(upload|sandbox/[^/]+/files/content)"
"""The routes that take files."""

PAGES = (
    health,
    chat,
    again,
    conversations,
    runs,
    files,
    sandbox,
    machine_files,
    terminal,
    previews,
    settings,
    accounts,
    logins,
)


def create_app(hosted: Hosted, config: ServerConfig, console: Path = BUILT) -> FastAPI:
    """The app that serves what was opened, and the console that was built into a folder."""
    measures = Measures(hosted.forge.measures.registry)
    app = openapi.Described(
        title=openapi.TITLE,
        version=forge.__version__,
        summary=openapi.SUMMARY,
        docs_url=None,
        redoc_url=None,
        openapi_url=openapi.ADDRESS,
        generate_unique_id_function=openapi.operation,
        responses=openapi.responses(),
        middleware=[
            Middleware(Watched, measures=measures),
            Middleware(KnownHost, hosts=known_hosts(config)),
            Middleware(Hardened),
            Middleware(
                BodyLimit,
                limit=config.body_limit,
                upload_limit=config.upload_limit,
                uploads=UPLOADS,
            ),
        ],
    )
    app.state.forge = State(
        hosted=hosted,
        config=config,
        measures=measures,
        doorkeeper=_doorkeeper(hosted, config),
        allowance=Allowance(
            hosted,
            requests=config.max_requests,
            runs=config.max_runs,
            storage=config.max_storage,
        ),
        cookie=Cookie(config),
        signer=Signer(hosted.master, hosted.clock),
    )
    problems.install(app)
    for page in PAGES:
        app.include_router(page.router)
    app.router.default = Console(app.router.default, console)
    return app


def known_hosts(config: ServerConfig) -> frozenset[str]:
    """The names under which this server may be asked; empty where its names cannot be known.

    One that only this computer reaches has this computer's names; one with a public address has
    that one's. A server on a network without a public address has whatever name people gave it,
    and then always asks for a login.
    """
    own = frozenset({"localhost", "127.0.0.1", "[::1]"})
    if config.public_url:
        place = config.public_url.partition("://")[2].partition("/")[0]
        name, _, port = place.rpartition(":")
        return own | {(name if port.isdecimal() and name else place).lower()}
    return own if is_loopback(config.host) else frozenset()


def _doorkeeper(hosted: Hosted, config: ServerConfig) -> Doorkeeper:
    if config.single_user:
        return LocalDoor(hosted.accounts)
    people = AccountsDoor(hosted.accounts, config, hosted.logins.supabase)
    return OwnerDoor(hosted.accounts, config.owner_key, people) if config.owner_key else people
