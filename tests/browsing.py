"""A browser for the tests of the console: Debian's Chromium, and what a test asks of a page.

Whatever a page complains of fails its test: errors of scripts, refusals by its policy, warnings.
What a test provokes on purpose it expects (`complaints.expect`). The browser reaches this computer
and nothing else: every name but its own resolves to nothing.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright

import house

CHROMIUM = Path("/usr/bin/chromium")
PICTURES = house.ROOT / "tests" / "web" / "pictures"
"""Where `shot` puts pictures; git ignores them, people look at them."""

_AXE = house.ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

_FLAGS = [
    "--no-sandbox",  # of Chromium's own, which needs namespaces that a container may forbid
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Look = Literal["light", "dark", "mobile"]
LOOKS: dict[Look, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "mobile": {
        "viewport": {"width": 390, "height": 844},
        "color_scheme": "light",
        "has_touch": True,
        "is_mobile": True,
    },
}
"""How a page is looked at."""

LONG_MS = 30_000
"""How long a page may take for anything on a busy host; it takes a tenth of a second."""


class Complaints:
    """What pages said to their console, and what of it a test expects."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._expected: list[re.Pattern[str]] = []

    def expect(self, pattern: str) -> None:
        """What a test provokes on purpose."""
        self._expected.append(re.compile(pattern))

    def listen(self, context: BrowserContext) -> None:
        context.on("console", self._console)
        context.on("weberror", lambda error: self.said.append(str(error.error)))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            place = message.location.get("url", "")
            self.said.append(f"{message.type}: {message.text} ({place})")

    @property
    def unexpected(self) -> list[str]:
        return [
            each
            for each in self.said
            if not any(pattern.search(each) for pattern in self._expected)
        ]


async def launched(playwright: Playwright) -> Browser:
    """The browser."""
    return await playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)


@asynccontextmanager
async def window(
    browser: Browser, url: str, complaints: Complaints, look: Look = "light", **more: Any
) -> AsyncIterator[Page]:
    """A page of a person's own, with nobody's cookies, looking at a server."""
    context = await browser.new_context(
        base_url=url, locale="en-GB", reduced_motion="reduce", **LOOKS[look], **more
    )
    context.set_default_timeout(LONG_MS)
    complaints.listen(context)
    try:
        yield await context.new_page()
    finally:
        await context.close()


async def axe(page: Page) -> None:
    """Assert that axe finds nothing in the page: WCAG 2.0 to 2.2, A and AA, and good practice."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_AXE.read_text(encoding="utf-8"))
    found = await page.evaluate(
        "async rules => (await axe.run(document, {runOnly: rules})).violations",
        _RULES,
    )
    told = [_told(each) for each in found]
    assert told == [], "\n".join(told)


def _told(violation: dict[str, Any]) -> str:
    places = [f"{node['target']} {node['html'][:200]}" for node in violation["nodes"][:5]]
    return f"{violation['id']} ({violation['impact']}): {violation['help']} at {places}"


async def shot(page: Page, name: str) -> Path:
    """A picture of what is seen, in `PICTURES`."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.png"
    await page.screenshot(path=path, animations="disabled", caret="initial")
    return path


async def fits(page: Page) -> None:
    """Assert that nothing sticks out sideways."""
    over = await page.evaluate(
        "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
    )
    assert over <= 0, f"the page is {over} pixels wider than its window"


def is_there() -> bool:
    """Whether there is a browser."""
    return CHROMIUM.exists()
