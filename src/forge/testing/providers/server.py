"""The scripted provider's server: uvicorn on a free port of 127.0.0.1, in a thread of its own.

A thread, so that it answers while a test's event loop is busy, and so that a test may run a whole
command line (with its own loop) against it. It records each request before answering it, notices
when a client goes away, and bounds each wait. `serve_provider` (or `scripted_provider` in async
tests) starts it and, on leaving, ends the thread and closes the socket.

    async with scripted_provider([Reply([Say("Hello")])]) as provider:
        AnthropicModel("claude-test", api_key=provider.key, base_url=provider.anthropic_url)
"""

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from forge.testing.providers import answer, anthropic_rules, openai_rules
from forge.testing.providers.received import ProviderName, Received
from forge.testing.providers.script import (
    Fail,
    Hang,
    Overload,
    Redacted,
    Reply,
    Script,
    Step,
    Think,
    Truncate,
)

TEST_KEY = "test-key-0123456789"
_STOP_S = 5.0
"""Longer than any step in flight needs to notice that the server is stopping."""


@dataclass(slots=True)
class ProviderServer:
    """A running scripted provider. `requests` holds everything received, refused or not."""

    port: int
    key: str
    script: Script
    requests: list[Received] = field(default_factory=list)
    signatures: dict[str, str] = field(default_factory=dict)
    """Seals given out, with the thinking they seal."""
    _taken: int = 0

    @property
    def anthropic_url(self) -> str:
        """The base URL for Anthropic's SDK."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        """The base URL for OpenAI's SDK."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def refusals(self) -> list[str]:
        """Why requests were refused by the provider's rules (not by the script)."""
        return [received.refused for received in self.requests if received.refused]

    def step_for(self, received: Received) -> Step:
        """Record a request and choose its answer: the rules' refusal, or the script's next step."""
        self.requests.append(received)
        if not self._key_accepted(received.headers):
            received.refused = "invalid x-api-key"
            return Fail(401, received.refused)
        if received.provider == "anthropic":
            received.refused = anthropic_rules.refusal(received, self.signatures)
        else:
            received.refused = openai_rules.refusal(received)
        if received.refused is not None:
            return Fail(400, received.refused)
        step = self._next(received)
        self._remember_seals(step)
        return step

    def _key_accepted(self, headers: dict[str, str]) -> bool:
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        return given == self.key

    def _next(self, received: Received) -> Step:
        if callable(self.script):
            return self.script(received)
        if self._taken >= len(self.script):
            return Fail(400, f"the script is over: it had {len(self.script)} steps")
        step = self.script[self._taken]
        self._taken += 1
        return step(received) if callable(step) else step

    def _remember_seals(self, step: Step) -> None:
        reply = step.reply if isinstance(step, Truncate | Overload | Hang) else step
        if isinstance(reply, Reply):
            for part in reply.parts:
                if isinstance(part, Think):
                    self.signatures[part.seal] = part.text
                elif isinstance(part, Redacted):
                    self.signatures[part.data] = ""


def _app(server: ProviderServer) -> Starlette:
    # An object rather than a function: starlette hands such an endpoint the bare ASGI call, which
    # a dropped connection and a watched disconnect need.
    return Starlette(
        routes=[
            Route("/v1/messages", _Endpoint(server, "anthropic"), methods=["POST"]),
            Route("/v1/chat/completions", _Endpoint(server, "openai"), methods=["POST"]),
        ]
    )


@dataclass(frozen=True, slots=True)
class _Endpoint:
    server: ProviderServer
    provider: ProviderName

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.json()
        received = Received(
            number=len(self.server.requests) + 1,
            provider=self.provider,
            headers=dict(request.headers),
            body=body if isinstance(body, dict) else {},
        )
        await answer.perform(self.server.step_for(received), received, receive, send)


@contextmanager
def serve_provider(
    script: Script, *, key: str = TEST_KEY, port: int = 0
) -> Iterator[ProviderServer]:
    """Run a scripted provider until the block ends.

    Args:
        script: the steps, or a function from a request to a step.
        key: the only API key it accepts.
        port: the port to listen on; 0 takes a free one.
    """
    listener = socket.create_server(("127.0.0.1", port))
    server = ProviderServer(port=listener.getsockname()[1], key=key, script=script)
    config = uvicorn.Config(
        _app(server),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    uvicorn_server = uvicorn.Server(config)
    # Scripted disconnects make it log errors that are no errors here.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    thread = threading.Thread(
        target=uvicorn_server.run, kwargs={"sockets": [listener]}, name="scripted-provider"
    )
    thread.start()
    try:
        yield server
    finally:
        uvicorn_server.should_exit = True
        thread.join(_STOP_S)
        listener.close()


@asynccontextmanager
async def scripted_provider(
    script: Script, *, key: str = TEST_KEY, port: int = 0
) -> AsyncIterator[ProviderServer]:
    """`serve_provider` for async tests: stopping it does not block the test's event loop."""
    serving = serve_provider(script, key=key, port=port)
    server = serving.__enter__()
    try:
        yield server
    finally:
        await asyncio.to_thread(serving.__exit__, None, None, None)
