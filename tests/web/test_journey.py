"""One person's whole way through the console, on a real microVM.

The model is scripted; the server, the database, the machine and the browser are real.
"""

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

import browsing
from browsing import Complaints, axe, shot
from forge.errors import ImageMissing, ProgramMissing
from forge.models.anthropic import AnthropicModel
from forge.sandbox.images.stock import Images
from forge.sandbox.qemu.provider import open_provider
from forge.testing.providers.script import Reply, Say, Step, Think, UseTool
from forge.testing.providers.server import scripted_provider
from served import PASSWORD, Served, served

pytestmark = pytest.mark.vm

FORGE_HOME = Path.home() / ".local/share/forge"
LONG_MS = 180_000
"""How long a machine may take for anything under software emulation on a busy host."""

SALES = "month,revenue\njan,12.5\nfeb,14.25\nmar,19\n"
CHART = """\
# Chart revenue by month
import matplotlib.pyplot as plt
import pandas as pd

sales = pd.read_csv("sales.csv")
sales["share"] = sales.revenue / sales.revenue.sum()
sales.to_csv("shares.csv", index=False)
for month in sales.month:
    print("\\x1b[32mread\\x1b[0m", month)
sales.plot.bar(x="month", y="revenue")
plt.show()
"""
COUNT = """\
# Count to a hundred
import time
for n in range(100):
    print("line", n, flush=True)
    time.sleep(0.5)
"""


@pytest_asyncio.fixture(loop_scope="session")
async def real(tmp_path: Path, script: list[Step]) -> AsyncIterator[Served]:
    """A server whose machines are microVMs."""
    try:
        Images(FORGE_HOME).find("base")
    except ImageMissing as error:
        pytest.skip(f"{error.message} {error.hint}")
    async with (
        scripted_provider(script) as provider,
        open_provider(FORGE_HOME, Images(FORGE_HOME).find, lambda _: None) as machines,
    ):
        model = AnthropicModel("claude-sonnet-5-5", provider.key, provider.anthropic_url)
        before = {each.id for each in await machines.list()}
        try:
            await machines.probe()
            async with served(
                tmp_path, model=model, provider=machines, single_user=False
            ) as opened:
                yield opened
        except ProgramMissing as error:
            pytest.skip(f"{error.message} {error.hint}")
        finally:
            await model.close()
            await machines.close()
            for each in await machines.list():
                if each.id not in before:  # paused, it would outlive the test on the disk
                    await machines.remove(each.id)


async def ask(page: Page, text: str) -> None:
    """Say something, as a person does."""
    box = page.get_by_role("textbox", name="Message")
    await box.fill(text)
    await box.press("Enter")


async def test_a_person_works_with_a_real_machine(
    browser: Browser, real: Served, complaints: Complaints, script: list[Step], tmp_path: Path
):
    """Make an account, upload, ask, watch, look at the chart, download, reload in the middle, stop,
    approve, reach a limit and go on, fork with the machine, export.
    """
    complaints.expect("401")
    async with browsing.window(browser, real.url, complaints) as page:
        page.set_default_timeout(LONG_MS)
        await _enters(page)
        await _charts(page, script, tmp_path)
        await _stops(page, script)
        await _approves(page, script)
        await _allows_more(page, script)
        await _forks(page, script)
        await axe(page)
        await shot(page, "journey-end")
    assert complaints.unexpected == []


async def _enters(page: Page) -> None:
    """Nobody is in yet."""
    await page.goto("/")
    await page.get_by_role("link", name="Make an account").click()
    await page.get_by_role("textbox", name="Name").fill("Ada")
    await page.get_by_role("textbox", name="Email").fill("ada@example.org")
    await page.get_by_role("textbox", name="Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("textbox", name="Message")).to_be_visible(timeout=LONG_MS)


async def _charts(page: Page, script: list[Step], folder: Path) -> None:
    """A CSV goes in, a chart and another CSV come out."""
    script += [
        Reply((Think("Read it, then draw."), UseTool("run_python", {"code": CHART}))),
        Reply((Say("March was **best**, with 19."),)),
    ]
    (folder / "sales.csv").write_text(SALES)
    async with page.expect_file_chooser() as chosen:
        await page.get_by_role("button", name="Attach files").click()
    await (await chosen.value).set_files(folder / "sales.csv")
    await ask(page, "Chart revenue by month")
    step = page.get_by_role("group", name="Chart revenue by month")
    await expect(step.get_by_text("Done", exact=True)).to_be_visible(timeout=LONG_MS)
    await expect(step.get_by_text("read mar")).to_be_visible()
    picture = step.get_by_role("img")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("each => each.naturalWidth") > 100
    await expect(page.get_by_text("March was best, with 19.")).to_be_visible(timeout=LONG_MS)
    await shot(page, "journey-chart")
    async with page.expect_download() as got:
        await page.get_by_role("link", name="Download shares.csv").click()
    content = (await (await got.value).path()).read_text()
    rows = list(csv.DictReader(io.StringIO(content)))
    assert [each["month"] for each in rows] == ["jan", "feb", "mar"]


async def _stops(page: Page, script: list[Step]) -> None:
    """A reload in the middle shows all there was, once; then it is stopped."""
    script.append(Reply((UseTool("run_python", {"code": COUNT}),)))
    await ask(page, "Count, please")
    step = page.get_by_role("group", name="Count to a hundred")
    await expect(step.get_by_text("line 2", exact=True)).to_be_visible(timeout=LONG_MS)
    await page.reload()
    await expect(step.get_by_text("line 4", exact=True)).to_be_visible(timeout=LONG_MS)
    await expect(step.get_by_text("line 2", exact=True)).to_have_count(1)
    await expect(page.get_by_role("img")).to_be_attached()
    await page.get_by_role("button", name="Stop", exact=True).click()
    await expect(page.locator("#content").get_by_text("You stopped it")).to_be_visible(
        timeout=LONG_MS
    )


async def _approves(page: Page, script: list[Step]) -> None:
    """The machine is the same: what was made before is still there."""
    script += [
        Reply((UseTool("run_shell", {"command": "wc -l shares.csv"}),)),
        Reply((Say("Four lines."),)),
    ]
    origin = {"Origin": await page.evaluate("location.origin")}
    await page.request.patch("/api/settings", data={"approve": ["run_shell"]}, headers=origin)
    await ask(page, "How long is it?")
    step = page.get_by_role("group", name="wc -l shares.csv")
    await step.get_by_role("button", name="Approve").click()
    await expect(step.get_by_text("4 shares.csv", exact=True)).to_be_visible(timeout=LONG_MS)
    await expect(page.get_by_text("Four lines.")).to_be_visible(timeout=LONG_MS)
    await page.request.patch("/api/settings", data={"approve": None}, headers=origin)


async def _allows_more(page: Page, script: list[Step]) -> None:
    """One call was too few."""
    script += [
        Reply((UseTool("run_shell", {"command": "echo half"}),)),
        Reply((Say("The whole of it."),)),
    ]
    origin = {"Origin": await page.evaluate("location.origin")}
    await page.request.patch("/api/settings", data={"max_iterations": 1}, headers=origin)
    await ask(page, "Do it in one")
    limit = page.get_by_role("group", name="It reached a limit")
    await limit.get_by_role("button", name="Allow more").click()
    await expect(page.get_by_text("The whole of it.")).to_be_visible(timeout=LONG_MS)
    await page.request.patch("/api/settings", data={"max_iterations": None}, headers=origin)


async def _forks(page: Page, script: list[Step]) -> None:
    """The copy of the machine has what was in it; the conversation goes home as Markdown."""
    script += [
        Reply((UseTool("run_shell", {"command": "head -1 shares.csv"}),)),
        Reply((Say("Its head."),)),
    ]
    first = page.url
    await page.get_by_role("button", name="More", exact=True).click()
    await page.get_by_role("menuitem", name="Fork with the machine").click()
    await expect(page).not_to_have_url(first, timeout=LONG_MS)
    await expect(page.get_by_text("The whole of it.")).to_be_visible(timeout=LONG_MS)
    await ask(page, "What is its head?")
    step = page.get_by_role("group", name="head -1 shares.csv")
    await expect(step.get_by_text("month,revenue,share", exact=True)).to_be_visible(timeout=LONG_MS)
    await expect(page.get_by_text("Its head.")).to_be_visible(timeout=LONG_MS)
    await page.get_by_role("button", name="More", exact=True).click()
    async with page.expect_download() as got:
        await page.get_by_role("menuitem", name="Export as Markdown").click()
    assert "with 19" in (await (await got.value).path()).read_text()
