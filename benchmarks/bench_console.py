"""What the console takes, in Debian's Chromium against a whole server: one JSON line per figure.

What the first page loads, as sent, and until one can type; the processor time of all of the
browser's processes while a long answer streams, and while a program prints; a run of ten thousand
events, until its last words are seen; and the build. The model is scripted, the machines are
processes of this host; browser, server and model share its processors. The browser has no graphics
hardware and draws on the processor, which its time includes.

    uv run python benchmarks/bench_console.py [--times N] [--no-build]
"""

import argparse
import asyncio
import importlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

from forge.events import (
    AnyEvent,
    Caps,
    ModelRequested,
    ModelResponded,
    ModelText,
    RunFinished,
    RunStarted,
    ToolFinished,
    ToolOutput,
    ToolStarted,
    Totals,
)
from forge.ids import new_run_id
from forge.ledger.append import LedgerWriter
from forge.messages import AssistantMessage, Text, ToolCall
from forge.models.anthropic import AnthropicModel
from forge.testing.providers.script import Reply, Say, Step, UseTool
from forge.testing.providers.server import scripted_provider
from forge.usage import Usage

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
# The tests' parts, whose own types are not checked with the benchmarks'.
browsing: Any = importlib.import_module("browsing")
served: Any = importlib.import_module("served").served

ANSWER = """\
Revenue **grew 41 %** between January and December, with *one* outlier in `november`:

| Quarter | Revenue | Change |
| --- | ---: | ---: |
| Q1 | $312,400 | - |
| Q2 | $355,120 | +13.7 % |
| Q3 | $398,900 | +12.3 % |

```python
def growth(series):
    first, last = series.iloc[0], series.iloc[-1]
    return (last - first) / first
```

1. Open `by_month.csv`
2. Check the **November** outlier
3. Ask for a *forecast* of the next quarter

"""
LONG = 45_000
"""Characters of the long answer."""

LINES = """\
import time
for n in range(2000):
    print(f"\\x1b[32m[{n:04}/2000]\\x1b[0m a line of some sixty letters, as programs print them")
    time.sleep(0.006)
"""
EVENTS = 10_000
STEPS = 40
LONG_MS = 180_000


def tell(name: str, values: list[float], unit: str) -> None:
    """One figure: the middle of what was measured."""
    value = round(statistics.median(values), 2)
    print(json.dumps({"name": name, "value": value, "unit": unit, "n": len(values)}), flush=True)


class Processor:
    """The processor time, in seconds, that blocks took: of all the browser's processes, and of the
    page's own thread, in which its scripts run and it is laid out and painted.
    """

    def __init__(self) -> None:
        self.all: list[float] = []
        self.page: list[float] = []

    @asynccontextmanager
    async def taken(self, browser: Browser, page: Page) -> AsyncIterator[None]:
        """Measure the block."""
        whole = await browser.new_browser_cdp_session()
        own = await page.context.new_cdp_session(page)
        await own.send("Performance.enable")

        async def now() -> tuple[float, float]:
            processes = (await whole.send("SystemInfo.getProcessInfo"))["processInfo"]
            metrics = (await own.send("Performance.getMetrics"))["metrics"]
            tasks = next(each["value"] for each in metrics if each["name"] == "TaskDuration")
            return sum(each["cpuTime"] for each in processes), tasks

        before = await now()
        yield
        after = await now()
        self.all.append(after[0] - before[0])
        self.page.append(after[1] - before[1])
        await whole.detach()
        await own.detach()

    def tell(self, name: str) -> None:
        """Both figures."""
        tell(f"{name}, processor time of the browser", self.all, "s")
        tell(f"{name}, of it the page's thread", self.page, "s")


def keep(found: list[Any]) -> Callable[[Any], None]:
    """What puts each event there; the browser's driver takes plain functions alone."""

    def kept(event: Any) -> None:
        found.append(event)

    return kept


async def first_load(browser: Browser, server: Any, times: int) -> None:
    """A browser that has seen nothing of it."""
    ready: list[float] = []
    sent: list[float] = []
    for _ in range(times):
        async with browsing.window(browser, server.url, browsing.Complaints()) as page:
            finished: list[Any] = []
            page.on("requestfinished", keep(finished))
            begun = time.perf_counter()
            await page.goto("/", wait_until="commit")
            await page.get_by_role("textbox", name="Message").wait_for()
            ready.append((time.perf_counter() - begun) * 1000)
            await page.wait_for_load_state("networkidle")
            scripts = [each for each in finished if each.url.endswith(".js")]
            measured = [await each.sizes() for each in scripts]
            sent.append(sum(each["responseBodySize"] for each in measured) / 1000)
    tell("console: scripts of the first page, as sent", sent, "kB")
    tell("console: first page until one can type", ready, "ms")


def zipped() -> None:
    """The first page's scripts under gzip, as the build has them."""
    from forge.server.console import BUILT

    index = (BUILT / "index.html").read_text()
    first = [each for each in (BUILT / "assets").glob("*.js.gz") if each.stem in index]
    tell(
        "console: scripts that the first page names, gzip",
        [sum(each.stat().st_size for each in first) / 1000],
        "kB",
    )


async def opened(page: Page) -> None:
    """The first page, whole."""
    await page.goto("/")
    await page.wait_for_load_state("networkidle")


async def ask(page: Page, text: str) -> None:
    """Say something in a new conversation."""
    box = page.get_by_role("textbox", name="Message")
    await box.fill(text)
    await box.press("Enter")
    await page.wait_for_url("**/c/*")


async def over(server: Any, page: Page, words: str) -> None:
    """Wait until the newest run is over, and then for its last words in the page: whoever looks
    for them all the while takes more of the processor than the page.
    """
    async with server.client() as client:
        deadline = time.monotonic() + LONG_MS / 1000
        while (await client.get("/api/runs?limit=1")).json()["items"][0]["status"] == "running":
            assert time.monotonic() < deadline, "the run does not end"
            await asyncio.sleep(0.25)
    await expect(page.get_by_text(words)).to_be_visible(timeout=LONG_MS)


async def streams(browser: Browser, server: Any, script: list[Step], times: int) -> None:
    """A long answer, and a program that prints."""
    long = (ANSWER * (LONG // len(ANSWER) + 1))[:LONG] + "\n\nThe end of it."
    answered, printed = Processor(), Processor()
    for _ in range(times):
        async with browsing.window(browser, server.url, browsing.Complaints()) as page:
            await opened(page)
            script.append(Reply((Say(long),), piece=24, delay_s=0.005))
            async with answered.taken(browser, page):
                await ask(page, "A long answer, please")
                await over(server, page, "The end of it.")
            await opened(page)
            script.append(Reply((UseTool("run_python", {"code": LINES}),)))
            script.append(Reply((Say("Printed."),)))
            async with printed.taken(browser, page):
                await ask(page, "Print, please")
                await over(server, page, "Printed.")
    answered.tell("console: 45 kB of Markdown in 10 s")
    printed.tell("console: 2,000 lines printed in 12 s")


def events_of(step: int, model: str) -> list[AnyEvent]:
    """A step that prints a few hundred lines, each an event of its own."""
    call = ToolCall(id=f"call_{step}", name="run_python", arguments='{"code": "print(1)"}')
    printed = [
        ToolOutput(step=step, call_id=call.id, stream="stdout", text=f"line {n}\n")
        for n in range(EVENTS // STEPS - 5)
    ]
    said = Text(text=f"Step {step}.")
    return [
        ModelRequested(
            step=step,
            attempt=1,
            model=model,
            max_tokens=1,
            input_tokens=1,
            worst_usd=None,
        ),
        ModelText(step=step, text=said.text),
        ModelResponded(
            step=step,
            message=AssistantMessage(parts=(said, call)),
            stop_reason="tool_use",
            usage=Usage(input_tokens=100, output_tokens=20),
            usd=None,
            duration_ms=5,
            first_token_ms=1,
        ),
        ToolStarted(step=step, call_id=call.id, name=call.name, arguments=call.arguments),
        *printed,
        ToolFinished(
            step=step,
            call_id=call.id,
            name=call.name,
            outcome="ok",
            content="1",
            duration_ms=5,
        ),
    ]


async def long_run(server: Any) -> str:
    """A conversation whose one run has ten thousand events."""
    forge = server.hosted.forge
    user = (await server.hosted.accounts.local_user()).user_id
    talks = server.hosted.conversations
    talk = await talks.create(user)
    asked = await talks.ask(user, talk.id, "Ten thousand events", None)
    clock = server.home.driver.clock
    run_id = new_run_id(clock.now())
    started = RunStarted(
        prompt="Ten thousand events",
        model="anthropic:claude-sonnet-5-5",
        template="base",
        caps=Caps(),
        conversation_id=talk.id,
        message_id=asked.id,
    )
    writer = LedgerWriter(forge.database, clock)
    appender, _ = await writer.begin(run_id, "benchmark", started, user)
    await talks.answer(talk.id, asked.id, run_id)
    for step in range(1, STEPS + 1):
        await appender.append(*events_of(step, started.model))
    await appender.append(
        ModelText(step=STEPS + 1, text="The end of it."),
        RunFinished(status="done", answer="The end of it.", error=None, totals=Totals()),
    )
    await talks.settle(run_id, "The end of it.")
    return str(talk.id)


async def long_runs(browser: Browser, server: Any, times: int) -> None:
    """Open it where the page was loaded before, and as the first page of all."""
    talk = await long_run(server)
    shown: list[float] = []
    loaded: list[float] = []
    for _ in range(times):
        async with browsing.window(browser, server.url, browsing.Complaints()) as page:
            begun = time.perf_counter()
            await page.goto(f"/c/{talk}", wait_until="commit")
            await expect(page.get_by_text("Step 40.", exact=True)).to_be_visible(timeout=LONG_MS)
            loaded.append((time.perf_counter() - begun) * 1000)
        async with browsing.window(browser, server.url, browsing.Complaints()) as page:
            await opened(page)
            link = page.get_by_role("link", name="Ten thousand events")
            begun = time.perf_counter()
            await link.click()
            await expect(page.get_by_text("Step 40.", exact=True)).to_be_visible(timeout=LONG_MS)
            shown.append((time.perf_counter() - begun) * 1000)
    tell("console: a run of 10,000 events, opened from the list", shown, "ms")
    tell("console: the same with the page itself", loaded, "ms")


def build() -> None:
    """`npm ci` and the build, in a copy that has nothing of either."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(ROOT / "web", copy / "web", ignore=shutil.ignore_patterns("node_modules"))
        for part in ("scripts", "src/forge/__init__.py"):
            source = ROOT / part
            target = copy / part
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, str(copy / "scripts" / "console.py"), "build"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        tell("console: npm ci and the build", [time.perf_counter() - begun], "s")


async def measure(times: int) -> None:
    """Everything that takes a browser."""
    script: list[Step] = []
    with tempfile.TemporaryDirectory() as folder:
        async with scripted_provider(script) as provider, async_playwright() as playwright:
            model = AnthropicModel("claude-sonnet-5-5", provider.key, provider.anthropic_url)
            browser = await browsing.launched(playwright)
            try:
                async with served(Path(folder), model=model) as server:
                    await first_load(browser, server, times)
                    await streams(browser, server, script, times)
                    await long_runs(browser, server, times)
            finally:
                await browser.close()
                await model.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--no-build", action="store_true")
    given = parser.parse_args()
    zipped()
    asyncio.run(measure(given.times))
    if not given.no_build:
        build()


if __name__ == "__main__":
    main()
