"""`forge microvm serve`: the worker that another Forge starts and speaks to."""

import asyncio

from forge.cli.exits import Exit
from forge.cli.render import Screen
from forge.cli.stopping import stopping
from forge.sandbox.worker import serve as worker
from forge.settings import Settings
from forge.wiring import open_machines


async def serve(settings: Settings, screen: Screen) -> Exit:
    """Serve until the client has gone, then stop every machine."""
    with stopping(screen.notice) as stop:
        try:
            async with open_machines(settings, screen.notice, warm=True) as machines:
                await worker.serve(machines.provider)
        except asyncio.CancelledError:
            if stop.asked is None:
                raise
            return stop.asked
    return Exit.DONE
