"""The console in a browser: a real server, a real database, real pages, in Debian's Chromium.

    server      a server on a port of its own, whose machines are processes of this host and whose
                model is `script`
    script      a list of the model's answers; a test fills it before it asks
    page        a window on the server; whatever it complains of fails the test
    look, seen  the same window light, dark and 390 pixels wide: the test runs three times
    outside     a place elsewhere, and who came to it
    cutter      a connection between `page` and the server, which the test can cut

All tests of a process share one browser and one event loop, which playwright needs.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

import browsing
from browsing import Complaints, Look
from cutting import Cutter, cutting
from forge.models.anthropic import AnthropicModel
from forge.server.console import BUILT
from forge.testing.providers.script import Step
from forge.testing.providers.server import scripted_provider
from served import Served, served

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One loop for all of these tests."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, started once; skipped where there is none or no console."""
    if not browsing.is_there():
        pytest.skip("there is no /usr/bin/chromium here; scripts/setup-debian.sh installs it")
    if not (BUILT / "index.html").exists():
        pytest.skip("the console is not built; `make test` builds it first, `make web` alone")
    async with async_playwright() as playwright:
        opened = await browsing.launched(playwright)
        try:
            yield opened
        finally:
            await opened.close()


@pytest.fixture
def script() -> list[Step]:
    """What the model answers, one step a call."""
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path: Path, script: list[Step]) -> AsyncIterator[Served]:
    """A server for one person, as `forge serve` is on one's own computer."""
    async with scripted_provider(script) as provider:
        model = AnthropicModel("claude-sonnet-5-5", provider.key, provider.anthropic_url)
        try:
            async with served(tmp_path, model=model) as opened:
                yield opened
        finally:
            await model.close()


@pytest.fixture
def complaints() -> Complaints:
    """What pages complained of, and what of it the test expects."""
    return Complaints()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, server: Served, complaints: Complaints) -> AsyncIterator[Page]:
    """A light window, 1280 by 800."""
    async with browsing.window(browser, server.url, complaints) as opened:
        yield opened
    assert complaints.unexpected == []


@pytest.fixture(params=list(browsing.LOOKS))
def look(request: pytest.FixtureRequest) -> Look:
    """Light, dark, and 390 pixels wide."""
    look: Look = request.param
    return look


@pytest_asyncio.fixture(loop_scope="session")
async def seen(
    browser: Browser, server: Served, complaints: Complaints, look: Look
) -> AsyncIterator[Page]:
    """A window in each look in turn."""
    async with browsing.window(browser, server.url, complaints, look) as opened:
        yield opened
    assert complaints.unexpected == []


@pytest_asyncio.fixture(loop_scope="session")
async def cutter(server: Served) -> AsyncIterator[Cutter]:
    """A connection to the server that can be cut."""
    async with cutting(server.port) as proxy:
        yield proxy


@pytest_asyncio.fixture(loop_scope="session")
async def outside() -> AsyncIterator[tuple[str, list[str]]]:
    """A server elsewhere, and who came to it."""
    reached: list[str] = []

    async def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append("a connection")
        if await reader.read(1):
            reached.append("a request")
        writer.close()

    class Datagrams(asyncio.DatagramProtocol):
        def datagram_received(self, *_: object) -> None:
            reached.append("a datagram")

    async with await asyncio.start_server(came, "127.0.0.1", 0) as server:
        place = server.sockets[0].getsockname()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=place)
        yield f"{place[0]}:{place[1]}", reached
        transport.close()
