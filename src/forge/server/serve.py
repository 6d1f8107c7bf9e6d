"""Serving the app: uvicorn, told what is believed and how long ending may take.

Whoever calls `serve` owns the signals: uvicorn's own handling is left out, so that runs are handed
over before anything is closed.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from forge.errors import HostUnfit
from forge.server.config import ServerConfig
from forge.server.connections import impatient
from forge.tasks import together

END_S = 5
"""How long open streams may take to end; readers come back after a restart."""

STARTED_S = 15.0
"""How long the first answer may take; it takes milliseconds."""

_WAITING = 2048

_TYPED = 1 << 20
"""The largest message that a WebSocket of ours takes, in bytes."""


class _Server(uvicorn.Server):
    """Says when it answers, and leaves the signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: FastAPI, config: ServerConfig) -> AsyncIterator[int]:
    """Serve until the block is left; gives the port, which is the one asked for unless that was 0.

    Raises:
        HostUnfit: the address cannot be listened on.
    """
    listener = _listener(config)
    try:
        server = _Server(_settings(app, config))
        async with together() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            try:
                async with asyncio.timeout(STARTED_S):
                    await server.answers.wait()
                yield listener.getsockname()[1]
            finally:
                server.should_exit = True
    finally:
        listener.close()


def _listener(config: ServerConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(config.take_s * 1000))
        listener.bind((config.host, config.port))
        listener.listen(_WAITING)
    except OSError as error:
        listener.close()
        raise HostUnfit(
            f"{config.host} port {config.port} cannot be listened on: {error.strerror}.",
            hint="Another program may listen there. Set FORGE_PORT to another number.",
        ) from error
    return listener


def _settings(app: FastAPI, config: ServerConfig) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=impatient(config.take_s),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=bool(config.proxies),
        forwarded_allow_ips=list(config.proxies),
        timeout_graceful_shutdown=END_S,
        h11_max_incomplete_event_size=32 * 1024,
        ws_max_size=max(config.preview_message, _TYPED),
    )
