"""`forge serve`: the server, until it is told to stop."""

import asyncio
from dataclasses import replace

from forge.cli.exits import Exit
from forge.cli.link import introduce
from forge.cli.logs import log_server
from forge.cli.render import Screen
from forge.cli.stopping import stopping
from forge.client import beacon
from forge.errors import ForgeError, SettingsInvalid
from forge.hosting import Hosted, open_hosted
from forge.runs.owner import this_process
from forge.server.app import create_app
from forge.server.config import ServerConfig, is_loopback
from forge.server.serve import serving
from forge.settings import Settings, choose_model, secrets_of
from forge.wiring import Forge, open_forge

USUAL_REQUESTS, USUAL_RUNS, USUAL_MIB = 1_200, 10, 10_240
"""What one of several people may do, where the settings do not say: requests a minute, runs at
once, and MiB of files. A browser sends a few hundred in its busiest minute."""


async def serve(settings: Settings, screen: Screen) -> Exit:
    """Serve until a signal; then runs are handed over to the next start, and machines stopped."""
    config = config_of(settings)
    log_server(settings.log, settings.log_format, secrets_of(settings))
    with stopping(screen.notice) as stop:
        try:
            choice = choose_model(settings)
            introduce(choice, screen)
            async with open_forge(settings, screen.notice, choice, serving=True) as forge:
                await _serve(forge, config, screen)
        except asyncio.CancelledError:
            if stop.asked is None:
                raise
    return stop.asked or Exit.DONE


async def _serve(forge: Forge, config: ServerConfig, screen: Screen) -> None:
    config = replace(config, owner_key=beacon.new_key())
    async with (
        open_hosted(forge, config.sign_up, config.url) as hosted,
        serving(create_app(hosted, config), config) as port,
    ):
        own = beacon.Beacon(url=_near(config, port), owner=this_process(), key=config.owner_key)
        with beacon.lit(forge.settings.home, own):
            try:
                await _welcome(hosted, config, screen)
                await _until_stopped(hosted, screen)
            finally:
                forge.service.let_go()  # or open streams would hold the server up


async def _until_stopped(hosted: Hosted, screen: Screen) -> None:
    await _prepare(hosted, screen)
    await asyncio.Event().wait()


def _near(config: ServerConfig, port: int) -> str:
    """Where this computer reaches the server."""
    # Nothing listens there: it is where everybody's address leads from here.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def config_of(settings: Settings) -> ServerConfig:
    """How the settings have the server.

    Raises:
        SettingsInvalid: they would let anybody on the network in without a login.
    """
    local = is_loopback(settings.host) and not settings.public_url
    alone = local and not settings.logins_elsewhere
    single = settings.login == "never" or (settings.login == "auto" and alone)
    if single and not local:
        raise SettingsInvalid(
            f"FORGE_LOGIN is `never`, and {settings.public_url or settings.host} can be reached "
            "by others than you.",
            hint="Set FORGE_LOGIN to `auto` or `always`, or FORGE_HOST to 127.0.0.1.",
        )
    return ServerConfig(
        host=settings.host,
        port=settings.port,
        public_url=settings.public_url,
        proxies=settings.proxies,
        single_user=single,
        sign_up=settings.sign_up,
        preview_wait_s=settings.preview_wait_s,
        preview_limit=settings.preview_mib << 20,
        max_requests=_limit(settings.max_requests, 0 if single else USUAL_REQUESTS),
        max_runs=_limit(settings.max_runs, 0 if single else USUAL_RUNS),
        max_storage=_limit(settings.max_storage_mib, 0 if single else USUAL_MIB) << 20,
    )


def _limit(wanted: int | None, usual: int) -> int:
    return usual if wanted is None else wanted


async def _prepare(hosted: Hosted, screen: Screen) -> None:
    """See to it that machines can be made, while people can look around already. Where they cannot
    be, the server goes on: runs then say why.
    """
    try:
        verdict = await hosted.forge.machines.prepare(screen.building)
    except ForgeError as error:
        screen.error(error)
    else:
        screen.notice(f"Machines are ready: {verdict.accelerator}.")


async def _welcome(hosted: Hosted, config: ServerConfig, screen: Screen) -> None:
    screen.important(f"Forge is at {config.url}")
    if config.single_user:
        screen.notice(
            "Nobody logs in: whoever uses this computer is its one user. FORGE_LOGIN=always "
            "turns accounts on."
        )
    elif (token := await hosted.accounts.first_admin_link()) is not None:
        screen.important(
            "Nobody has an account yet. This link makes the admin's, once, within an hour:\n"
            f"{config.url}/invite#{token}"
        )
    screen.notice("Ctrl-C stops it; runs that go on then are taken up again at the next start.")
