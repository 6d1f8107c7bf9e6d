"""The console opens: whole, without a complaint, with nothing for axe to find, in every look."""

from playwright.async_api import Page, expect

from browsing import Look, axe, fits, shot


async def test_the_first_page_opens(seen: Page, look: Look):
    """Nobody has asked anything yet."""
    await seen.goto("/")
    await expect(seen.get_by_role("main")).to_be_visible()
    await fits(seen)
    await axe(seen)
    await shot(seen, f"first-{look}")
