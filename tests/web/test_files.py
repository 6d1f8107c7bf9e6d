"""The files of a conversation: listed, looked at in their versions, downloaded; none gets out."""

from pathlib import Path

from playwright.async_api import Locator, Page, expect

from browsing import Complaints, axe, fits, shot
from forge.testing.providers.script import Reply, Say, Step, UseTool

LONG_MS = 60_000
"""How long anything may take on a host where six others work."""

PAGE = """<title>x</title><meta http-equiv="refresh" content="1; url=http://OUT/refresh">
<link rel="dns-prefetch" href="//OUT"><link rel="preconnect" href="http://OUT">
<h1 id="said">waiting</h1><script>
const tried = [];
const attempt = (name, what) => { try { what(); tried.push(name) } catch (error) {} };
attempt("cookie", () => document.cookie);
attempt("parent", () => parent.document.title);
attempt("storage", () => localStorage.length);
const call = new RTCPeerConnection({iceServers: [{urls: "stun:OUT"}]});
call.createDataChannel("x");
call.createOffer().then(offer => call.setLocalDescription(offer));
fetch("http://OUT/fetch").then(() => tried.push("fetch"), () => 0);
new Image().src = "http://OUT/image";
document.getElementById("said").textContent = "reached: " + (tried.join(" ") || "nothing");
</script>"""


def writing(path: str, content: str) -> UseTool:
    """The model writes a file."""
    return UseTool("write_file", {"path": path, "content": content})


async def test_files_are_looked_at_in_their_versions_and_reach_nothing(
    page: Page,
    complaints: Complaints,
    script: list[Step],
    tmp_path: Path,
    outside: tuple[str, list[str]],
):
    """A table, Markdown and a hostile page, which rests until a person lets its scripts run: WebRTC
    is in no browser's cage. The panel is a drawer in a narrow window.
    """
    place, reached = outside
    complaints.expect(r"Content Security Policy|sandboxed")
    script += [
        Reply(
            (
                writing("sales.csv", "month,revenue\njan,9.5\n"),
                writing("page.html", PAGE.replace("OUT", place)),
            )
        ),
        Reply((Say("Once."),)),
        Reply((writing("sales.csv", "month,revenue\njan,9.5\nfeb,100.25\n"),)),
        Reply((Say("Twice."),)),
    ]
    (tmp_path / "notes.md").write_text("# Notes\n\nfrom **me**\n")
    await _told(page, tmp_path / "notes.md")
    await page.get_by_role("button", name="Files", exact=True).click()
    files = page.get_by_role("complementary", name="Files")
    await _looked_at(page, files)
    assert reached == []
    await files.get_by_role("button", name="Run its scripts").click()
    inside = page.frame_locator("iframe[title='page.html']")
    await expect(inside.locator("#said")).to_have_text("reached: nothing", timeout=LONG_MS)
    assert "a request" not in reached
    await page.set_viewport_size({"width": 390, "height": 844})
    await _narrow(page, page.get_by_role("dialog", name="Files"))


async def _told(page: Page, notes: Path) -> None:
    """One file is given, and two are written, one of them twice."""
    await page.goto("/")
    async with page.expect_file_chooser() as chosen:
        await page.get_by_role("button", name="Attach files").click()
    await (await chosen.value).set_files(notes)
    box = page.get_by_role("textbox", name="Message")
    for text, answer in (("Write them", "Once."), ("Once more", "Twice.")):
        await box.fill(text)
        await box.press("Enter")
        await expect(page.get_by_text(answer)).to_be_visible(timeout=LONG_MS)
        await expect(page.get_by_role("button", name="Stop")).to_have_count(0, timeout=LONG_MS)


async def _looked_at(page: Page, files: Locator) -> None:
    """The list, a table in both of its versions, and the hostile page."""
    await expect(files.get_by_role("listitem")).to_have_count(3, timeout=LONG_MS)
    await axe(page)
    await shot(page, "files-list")
    await files.get_by_role("button", name="sales.csv").click()
    await expect(files.get_by_role("cell", name="100.25")).to_be_visible(timeout=LONG_MS)
    await files.get_by_role("combobox", name="Versions").select_option(label="Version 1")
    await expect(files.get_by_role("cell", name="100.25")).to_have_count(0)
    await expect(files.get_by_role("cell", name="9.5")).to_be_visible(timeout=LONG_MS)
    await axe(page)
    await shot(page, "files-table")
    await files.get_by_role("button", name="Back to all files").click()
    await files.get_by_role("button", name="page.html").click()
    inside = page.frame_locator("iframe[title='page.html']")
    await expect(inside.locator("#said")).to_have_text("waiting", timeout=LONG_MS)


async def _narrow(page: Page, drawer: Locator) -> None:
    """The same over the conversation."""
    await drawer.get_by_role("button", name="notes.md").click()
    await expect(drawer.get_by_role("heading", name="Notes").last).to_be_visible(timeout=LONG_MS)
    await fits(page)
    await axe(page)
    await shot(page, "files-drawer")
    await page.keyboard.press("Escape")
    await expect(drawer).to_have_count(0)
