"""Whether the server can do its work, part by part, and why not where it cannot.

Anybody may ask, so a reason is a code and a sentence of ours; the whole error, which may name hosts
and folders, is in the log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pydantic import BaseModel

from forge.errors import ForgeError
from forge.server.state import State
from forge.wiring import TEMPLATE

LOG = logging.getLogger(__name__)

CHECK_S = 5.0
"""How long one part may take to answer: whoever asks has a deadline too."""

WRONG = {
    "database": "The database does not answer.",
    "storage": "Files cannot be kept.",
    "image": "Machines cannot be made: what they boot from is not built yet, or is gone.",
    "engine": "This server takes up no runs: it is stopping, or it counts as gone.",
}
"""The parts, and what it means where one does not do its work."""


class Part(BaseModel):
    """A part: `ok`, or the `code` of what is wrong with it and the `reason` in words."""

    ok: bool
    code: str = ""
    reason: str = ""


class Readiness(BaseModel):
    """Whether all of it is ready: `ready` or `not_ready`."""

    status: str
    parts: dict[str, Part]


async def readiness(state: State) -> Readiness:
    """Look at every part at once."""
    async with asyncio.TaskGroup() as group:
        looking = {
            name: group.create_task(_part(name, check)) for name, check in _checks(state).items()
        }
    parts = {name: task.result() for name, task in looking.items()}
    ready = all(part.ok for part in parts.values())
    return Readiness(status="ready" if ready else "not_ready", parts=parts)


def _checks(state: State) -> dict[str, Callable[[], Awaitable[None]]]:
    async def database() -> None:
        await state.runs.list_runs(limit=1)

    async def image() -> None:
        if (images := state.forge.machines.images) is not None:  # a worker sees to its own
            images.find(TEMPLATE)

    return {
        "database": database,
        "storage": state.forge.blobs.check,
        "image": image,
        "engine": state.runs.check,
    }


async def _part(name: str, check: Callable[[], Awaitable[None]]) -> Part:
    try:
        async with asyncio.timeout(CHECK_S):
            await check()
    except ForgeError as error:
        LOG.warning("not ready: %s: %s", name, error.message)
        return Part(ok=False, code=error.code, reason=WRONG[name])
    except TimeoutError:
        LOG.warning("not ready: %s: no answer within %s s", name, CHECK_S)
        return Part(ok=False, code="timeout", reason=WRONG[name])
    return Part(ok=True)
