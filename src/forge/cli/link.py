"""The way from a command to what carries it out: always the same API, in one of three places.

    FORGE_SERVER ─ else the server of this FORGE_HOME that runs ─ else the same app, in this process

In this process nothing listens: requests go straight into the app, and leaving the block stops the
machines and closes the ledger. The app is only imported there, as that takes half a second.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from forge.cli.render import Screen
from forge.client import beacon
from forge.client.api import Client, open_client
from forge.client.wire import Place
from forge.errors import SettingsInvalid
from forge.runs.owner import is_alive
from forge.settings import ModelChoice, Settings, choose_model
from forge.wiring import history_only

OFFLINE = """\
No model is configured, so nothing here understands what you write: Forge only runs the fenced \
code blocks (```python or ```bash) in your message, in a fresh machine.
To get a model, set ANTHROPIC_API_KEY, or OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your \
own; docs/settings.md has the rest."""

_LARGEST_PROMPT = 16 << 20  # bytes of the longest prompt as JSON
_LARGEST_FILE = 64 << 30  # a machine's largest disk


@dataclass(frozen=True, slots=True)
class Link:
    """A client, and what this terminal's own settings add to what is asked: its model and template
    where it is done in this process, nothing where a server has settings of its own.
    """

    client: Client
    model: str = ""
    template: str = ""

    def body(self, wanted: Mapping[str, Any], template: str = "") -> dict[str, Any]:
        """What is asked, with what was named and what the settings add."""
        machine = {**wanted.get("machine", {}), "template": template or self.template}
        return {**wanted, "model": self.model, "machine": machine}


@asynccontextmanager
async def linked(
    settings: Settings, screen: Screen, model: str = "", route: str = "", *, asking: bool = True
) -> AsyncIterator[Link]:
    """A link until the block is left. `model` and `route` are those that were named, if any were:
    where all is answered in words, or nothing is `asking` a model, no machine is made ready.

    Raises:
        SettingsInvalid: the key would go where others can read it.
        ForgeError: in this process, as in `forge.wiring.open_forge`; with a server, that it cannot
            be asked is said when it is.
    """
    if settings.server:
        place = _place(settings, screen)
        screen.notice(f"Asking the server at {settings.server}; its settings count.")
        async with open_client(lambda: place, screen.notice) as client:
            yield Link(client, model)
    elif (here := beacon.place(settings.home, is_alive)) is not None:
        screen.notice(f"Asking the server that runs here, at {here.url}; its settings count.")

        def find() -> Place | None:
            return beacon.place(settings.home, is_alive)

        async with open_client(find, screen.notice, local=True) as client:
            yield Link(client, model)
    else:
        choice = choose_model(settings, model) if asking else history_only()
        if asking:
            introduce(choice, screen)
        machines = asking and (route or settings.route) != "chat"
        async with _in_process(settings, screen, choice, machines=machines) as client:
            yield Link(client, choice.name, settings.template)


@asynccontextmanager
async def _in_process(
    settings: Settings, screen: Screen, choice: ModelChoice, *, machines: bool
) -> AsyncIterator[Client]:
    from forge.client.mounted import mounted
    from forge.hosting import open_hosted
    from forge.server.app import create_app
    from forge.server.config import ServerConfig
    from forge.wiring import open_forge

    config = ServerConfig(
        host=settings.host,
        port=settings.port,
        public_url=settings.public_url,
        body_limit=_LARGEST_PROMPT,
        upload_limit=_LARGEST_FILE,
    )
    async with open_forge(settings, screen.notice, choice) as forge:
        if machines:
            await forge.machines.prepare(screen.building)
        async with (
            open_hosted(forge, "closed", config.url) as hosted,
            mounted(create_app(hosted, config)) as transport,
            open_client(_here, screen.notice, transport, local=True) as client,
        ):
            yield client


def _place(settings: Settings, screen: Screen) -> Place:
    """The server of `FORGE_SERVER`, and the key for it.

    Raises:
        SettingsInvalid: the key would go to another computer over plain HTTP.
    """
    place = Place(settings.server, settings.api_key.get_secret_value())
    if not place.exposes_key:
        return place
    if settings.plain_http != "allow":
        raise SettingsInvalid(
            f"{settings.server} is asked over plain HTTP, where others on the way could read "
            "FORGE_API_KEY; nothing was sent.",
            hint="Use its https:// address, or a tunnel (`ssh -L 3000:localhost:3000 HOST`, then "
            "FORGE_SERVER=http://localhost:3000), or allow it with FORGE_PLAIN_HTTP=allow.",
        )
    screen.important(f"FORGE_API_KEY goes to {settings.server} where others can read it.")
    return place


def _here() -> Place:
    return Place("http://localhost", local=True)


def introduce(choice: ModelChoice, screen: Screen) -> None:
    """Say who is asked, and why; in the offline mode say plainly that nobody is."""
    if choice.provider == "offline":
        screen.important(OFFLINE)
    else:
        screen.notice(f"Asking {choice.name} ({choice.why}).")
