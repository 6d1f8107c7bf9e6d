"""A server that dies between a run's beginning and its answer's place: for a test of its successor.

Everything is real: the app, its rooms and the database. Only the conversations kill the process
where they are told of the answer.
"""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2

from forge.client.mounted import mounted
from forge.hosting import open_hosted
from forge.runs.conversations.store import Conversations
from forge.server.app import create_app
from forge.server.config import ServerConfig
from forge.settings import ModelChoice, Settings
from forge.wiring import Forge, Machines
from running import house


class Deadly(Conversations):
    async def answer(self, *_: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


async def main(folder: Path) -> None:
    settings, config = Settings(FORGE_HOME=folder), ServerConfig()  # type: ignore[call-arg]
    async with house(folder) as home:
        forge = Forge(
            settings=settings,
            model=ModelChoice("offline", "none", "for the tests"),
            service=home.service,
            machines=Machines(home.provider, None, settings, print),
            talks=home.driver.machines,
            blobs=home.blobs,
            database=home.database,
        )
        async with open_hosted(forge, "open", config.url) as hosted:
            deadly = replace(hosted, conversations=Deadly(home.database, hosted.clock))
            async with (
                mounted(create_app(deadly, config)) as transport,
                httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client,
            ):
                await client.post("/api/chat", json={"message": "```\nprint(6 * 7)\n```"})


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
