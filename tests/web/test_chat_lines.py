"""The chat where the world is rough: files, cut lines, hidden tabs."""

from pathlib import Path

from playwright.async_api import Browser, Page, expect

import browsing
from browsing import Complaints, axe, shot
from cutting import Cutter
from forge.testing.providers.script import Reply, Say, Step, UseTool

LONG_MS = 60_000
"""How long anything may take on a host where six others work."""

COUNT = """\
# Count to thirty
import time
for n in range(30):
    print("line", n, flush=True)
    time.sleep(0.1)
"""

DROP = """
([zone, name, text]) => {
  const files = new DataTransfer();
  files.items.add(new File([text], name));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    zone.dispatchEvent(new DragEvent(kind, {dataTransfer: files, bubbles: true, cancelable: true}));
  }
}
"""
PASTE = """
([box, name, text]) => {
  const files = new DataTransfer();
  files.items.add(new File([text], name));
  const all = {clipboardData: files, bubbles: true, cancelable: true};
  box.dispatchEvent(new ClipboardEvent("paste", all));
}
"""

SEEN = """
hidden => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}
"""


async def test_files_are_attached_by_button_drag_and_paste(
    page: Page, script: list[Step], tmp_path: Path
):
    """Several at once; what was attached is in the machine when the model begins."""
    script += [
        Reply((UseTool("run_shell", {"command": "cat one.csv two.csv three.csv four.csv"}),)),
        Reply((Say("All four are there."),)),
    ]
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text(f"in {name}\n")
    await page.goto("/")
    box = page.get_by_role("textbox", name="Message")
    async with page.expect_file_chooser() as chosen:
        await page.get_by_role("button", name="Attach files").click()
    await (await chosen.value).set_files([tmp_path / "one.csv", tmp_path / "two.csv"])
    main = await page.get_by_role("main").locator("> div").element_handle()
    await page.evaluate(DROP, [main, "three.csv", "in three.csv\n"])
    await page.evaluate(PASTE, [await box.element_handle(), "four.csv", "in four.csv\n"])
    await page.evaluate(PASTE, [await box.element_handle(), "unwanted.csv", "no\n"])
    files = page.get_by_role("list", name="Attached files")
    await expect(files.get_by_role("listitem")).to_have_count(5)
    await expect(files.get_by_role("progressbar")).to_have_count(0, timeout=LONG_MS)
    await page.get_by_role("button", name="Remove unwanted.csv").click()
    await axe(page)
    await shot(page, "chat-files")
    await box.fill("Show them")
    await box.press("Enter")
    await expect(page.get_by_text("All four are there.")).to_be_visible(timeout=LONG_MS)
    for name in ("one", "two", "three", "four"):
        await expect(page.get_by_text(f"in {name}.csv").first).to_be_visible()


async def test_a_cut_line_loses_and_doubles_nothing(
    browser: Browser, cutter: Cutter, complaints: Complaints, script: list[Step]
):
    """Cut while it prints, and again as a message is sent: it is asked once, and every line is
    there once.
    """
    complaints.expect("ERR_|Failed to load resource")
    script += [
        Reply((UseTool("run_python", {"code": COUNT}),)),
        Reply((Say("Counted."),)),
        Reply((Say("Heard once."),)),
    ]
    async with browsing.window(browser, cutter.url, complaints) as page:
        await page.goto("/")
        box = page.get_by_role("textbox", name="Message")
        await box.fill("Count, please")
        await box.press("Enter")
        await expect(page.get_by_text("line 3").first).to_be_visible(timeout=LONG_MS)
        cutter.cut()
        await expect(page.get_by_text("The connection was lost.")).to_be_visible(timeout=LONG_MS)
        await shot(page, "chat-lost")
        cutter.mend()
        await expect(page.get_by_text("Counted.")).to_be_visible(timeout=LONG_MS)
        await expect(page.get_by_text("The connection was lost.")).to_have_count(0, timeout=LONG_MS)
        printed = await page.get_by_role("group", name="Count to thirty").inner_text()
        lines = [line for line in printed.splitlines() if line.startswith("line ")]
        assert lines == [f"line {n}" for n in range(30)]

        cutter.cut()
        await box.fill("And once more")
        async with page.expect_event("requestfailed", lambda each: "/api/chat" in each.url):
            await box.press("Enter")
        cutter.mend()
        await expect(page.get_by_text("Heard once.")).to_be_visible(timeout=LONG_MS)
        await expect(page.get_by_role("article").get_by_text("And once more")).to_have_count(1)


async def test_a_hidden_tab_lets_go_of_its_stream_and_takes_it_up_again(
    page: Page, script: list[Step]
):
    """A browser has six connections to a host for all of its tabs."""
    script += [Reply((UseTool("run_python", {"code": COUNT}),)), Reply((Say("Counted."),))]
    await page.goto("/")
    await page.get_by_role("textbox", name="Message").fill("Count, please")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("line 3").first).to_be_visible(timeout=LONG_MS)
    async with page.expect_event("requestfailed", lambda each: "/events" in each.url):
        await page.evaluate(SEEN, True)
    async with page.expect_request(lambda each: "/events?after=" in each.url) as again:
        await page.evaluate(SEEN, False)
    assert not (await again.value).url.endswith("after=0"), "it goes on where it was"
    await expect(page.get_by_text("Counted.")).to_be_visible(timeout=LONG_MS)
    printed = await page.get_by_role("group", name="Count to thirty").inner_text()
    lines = [line for line in printed.splitlines() if line.startswith("line ")]
    assert lines == [f"line {n}" for n in range(30)]
