"""`forge runs stop|steer|approve|deny`: tell a run that goes on something, wherever it goes on.

Through the API: the server of `FORGE_SERVER`, the one that runs here, or the app in this process,
whose orders reach a `forge run` in another terminal through the database.
"""

from collections.abc import Mapping
from typing import Literal

from forge.cli.exits import Exit
from forge.cli.link import linked
from forge.cli.render import Screen
from forge.ids import RunId
from forge.settings import Settings

Order = Literal["stop", "steer", "approve", "deny"]

_SAID: Mapping[Order, str] = {
    "stop": "The run was told to stop.",
    "steer": "The run hears it at its next step.",
    "approve": "The call is made.",
    "deny": "The call is not made; the model is told.",
}


async def tell(
    settings: Settings, screen: Screen, run_id: str, order: Order, body: Mapping[str, str]
) -> Exit:
    """Tell a run something; its id may be the beginning of one."""
    async with linked(settings, screen, asking=False) as link:
        if order == "stop":
            await link.client.stop(RunId(run_id))
        else:
            await link.client.tell(RunId(run_id), order, body)
    screen.notice(_SAID[order])
    return Exit.DONE
