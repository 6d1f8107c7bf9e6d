"""What a person does while the chat goes on: approve, steer, stop, allow more, edit, ask again."""

import re

from playwright.async_api import Page, expect

from browsing import axe, shot
from forge.testing.providers.script import Reply, Say, Step, UseTool
from served import Served

LONG_MS = 60_000
"""How long anything may take on a host where six others work."""

SLOW = """\
# Count to a hundred
import time
for n in range(100):
    print(n, flush=True)
    time.sleep(1)
"""


def shell(command: str) -> UseTool:
    """The model wants a command."""
    return UseTool("run_shell", {"command": command})


async def ask(page: Page, text: str) -> None:
    """Say something, as a person does."""
    box = page.get_by_role("textbox", name="Message")
    await box.fill(text)
    await box.press("Enter")


async def test_a_call_that_waits_is_denied_and_approved_and_never_by_a_stray_key(
    page: Page, script: list[Step]
):
    """What, why and risk are shown; the focus stays where the person writes."""
    script += [
        Reply((shell("echo first"),)),
        Reply((shell("echo second"),)),
        Reply((Say("One of two."),)),
    ]
    await page.goto("/")
    await page.request.patch(
        "/api/settings", data={"approve": ["run_shell"]}, headers={"Origin": page.url.rstrip("/")}
    )
    await ask(page, "Echo twice")
    first = page.get_by_role("group", name="echo first")
    await expect(first.get_by_text("Run a command?")).to_be_visible(timeout=LONG_MS)
    for what in ("What", "Why", "Risk"):
        await expect(first.get_by_role("term").get_by_text(what, exact=True)).to_be_visible()
    await expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    await expect(page.get_by_role("status").get_by_text("waits for your approval")).to_be_attached()
    await axe(page)
    await shot(page, "chat-approve")
    await first.get_by_role("textbox", name="Tell it why").fill("not that one")
    await first.get_by_role("button", name="Deny").click()
    await expect(first.get_by_text("Not approved: not that one")).to_be_visible(timeout=LONG_MS)

    second = page.get_by_role("group", name="echo second")
    await second.get_by_role("button", name="Approve").click(timeout=LONG_MS)
    await expect(second.get_by_text("Done", exact=True)).to_be_visible(timeout=LONG_MS)
    await expect(page.get_by_text("One of two.")).to_be_visible(timeout=LONG_MS)


async def test_it_is_steered_and_stopped_while_it_works(page: Page, script: list[Step]):
    """What it did not hear any more comes back to the person."""
    script += [
        Reply((UseTool("run_python", {"code": SLOW}),)),
        Reply((Say("Never said."),)),
    ]
    await page.goto("/")
    await ask(page, "Count, please")
    await expect(page.get_by_text("Running", exact=True)).to_be_visible(timeout=LONG_MS)
    await ask(page, "And backwards")
    await expect(page.get_by_text("It hears this at its next step")).to_be_visible()
    await shot(page, "chat-steer")

    await page.reload()
    await expect(page.get_by_text("Running", exact=True)).to_be_visible(timeout=LONG_MS)
    await page.get_by_role("button", name="Stop", exact=True).click()
    await expect(page.locator("#content").get_by_text("You stopped it")).to_be_visible(
        timeout=LONG_MS
    )
    await expect(page.get_by_text("Count to a hundred")).to_have_count(2)  # the step, and its code
    await axe(page)


async def test_a_limit_that_was_reached_is_raised(page: Page, server: Served, script: list[Step]):
    """It says which limit, and goes on from where it was."""
    script += [
        Reply((shell("echo half"),)),
        Reply((Say("The whole of it."),)),
    ]
    await page.route(
        "**/api/chat",
        lambda route: route.continue_(
            post_data={**route.request.post_data_json, "caps": {"iterations": 1, "usd": "0.5"}}
        ),
    )
    await page.goto("/")
    await ask(page, "Do it in one")
    limit = page.get_by_role("group", name="It reached a limit")
    await expect(limit.get_by_role("meter", name="Model calls")).to_be_visible(timeout=LONG_MS)
    await expect(page.get_by_role("group", name="echo half")).to_be_visible()
    await axe(page)
    await shot(page, "chat-limit")
    await limit.get_by_role("button", name="Allow more").click()
    await expect(page.get_by_text("The whole of it.")).to_be_visible(timeout=LONG_MS)
    await expect(limit).to_have_count(0)


async def test_a_message_is_edited_and_answered_again_and_all_versions_stay(
    page: Page, script: list[Step]
):
    """By keyboard: the arrow up edits the last message."""
    script += [Reply((Say(f"Answer {number}."),)) for number in range(1, 4)]
    await page.goto("/")
    await ask(page, "First wording")
    await expect(page.get_by_text("Answer 1.")).to_be_visible(timeout=LONG_MS)
    await expect(page.get_by_role("button", name="Answer once more")).to_be_visible(timeout=LONG_MS)

    await page.get_by_role("textbox", name="Message").press("ArrowUp")
    editor = page.get_by_role("textbox", name="Edit the message")
    await editor.fill("Second wording")
    await editor.press("Enter")
    await expect(page.get_by_text("Answer 2.")).to_be_visible(timeout=LONG_MS)
    await expect(page.get_by_role("article").get_by_text("First wording")).to_have_count(0)
    await page.get_by_role("button", name="Answer once more").click(timeout=LONG_MS)
    await expect(page.get_by_text("Answer 3.")).to_be_visible(timeout=LONG_MS)
    await expect(page.get_by_text("2 of 2")).to_have_count(2)
    await axe(page)

    await page.get_by_role("button", name="The version before").last.click()
    await expect(page.get_by_text("Answer 2.")).to_be_visible(timeout=LONG_MS)
    await page.get_by_role("button", name="The version before").first.click()
    await expect(page.get_by_text("Answer 1.")).to_be_visible(timeout=LONG_MS)
    await page.reload()
    await expect(page.get_by_role("article").get_by_text("First wording")).to_be_visible(
        timeout=LONG_MS
    )
    await expect(page.get_by_text(re.compile("Answer [23]"))).to_have_count(0)


async def test_a_conversation_is_renamed_exported_forked_and_deleted(
    page: Page, script: list[Step]
):
    """From the menu in its head; the fork has said the same and is another conversation."""
    script += [Reply((Say("Said once."),))]
    await page.goto("/")
    await ask(page, "Say it")
    await expect(page.get_by_role("button", name="Answer once more")).to_be_visible(timeout=LONG_MS)
    first = page.url
    more = page.get_by_role("button", name="More", exact=True)
    await more.click()
    await axe(page)
    await shot(page, "chat-menu")
    await page.get_by_role("menuitem", name="Rename").click()
    await page.get_by_role("textbox", name="Title").fill("A better name")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="A better name", level=1)).to_be_visible()
    await more.click()
    async with page.expect_download() as got:
        await page.get_by_role("menuitem", name="Export as Markdown").click()
    assert "Said once." in (await (await got.value).path()).read_text()
    await more.click()
    await page.get_by_role("menuitem", name="Fork from here").click()
    await expect(page).not_to_have_url(first, timeout=LONG_MS)
    await expect(page.get_by_role("article").get_by_text("Said once.")).to_be_visible()
    await page.get_by_role("button", name="More", exact=True).click()
    await page.get_by_role("menuitem", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("button", name="Write your own")).to_be_visible(timeout=LONG_MS)
