"""The way in, in a browser: an account is made, left and come back to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, expect

import browsing
from browsing import Complaints, Look, axe, fits, shot
from served import PASSWORD, Served, served

LONG_MS = 60_000
"""How long anything may take on a host where six others work."""


@pytest_asyncio.fixture(loop_scope="session")
async def house(tmp_path: Path) -> AsyncIterator[Served]:
    """A server that asks who comes."""
    async with served(tmp_path, single_user=False) as opened:
        yield opened


async def test_somebody_makes_an_account_leaves_and_comes_back(
    browser: Browser, house: Served, complaints: Complaints, look: Look
):
    """A wrong password is said so; the page that was wanted is the one that opens."""
    complaints.expect("401|Failed to load resource")
    async with browsing.window(browser, house.url, complaints, look) as page:
        await page.goto("/runs")
        await expect(page).to_have_url(f"{house.url}/login?to=%2Fruns", timeout=LONG_MS)
        await page.get_by_role("link", name="Make an account").click()
        await page.get_by_role("textbox", name="Name").fill("Ada")
        await page.get_by_role("textbox", name="Email").fill("ada@example.org")
        await page.get_by_role("textbox", name="Password").fill(PASSWORD)
        await fits(page)
        await axe(page)
        await shot(page, f"sign-up-{look}")
        await page.get_by_role("button", name="Make an account").click()
        await expect(page.get_by_role("textbox", name="Message")).to_be_visible(timeout=LONG_MS)

        await page.context.clear_cookies()
        await page.goto("/runs")
        await expect(page).to_have_url(f"{house.url}/login?to=%2Fruns", timeout=LONG_MS)
        await page.get_by_role("textbox", name="Email").fill("ada@example.org")
        await page.get_by_role("textbox", name="Password").fill("not the right one")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_be_visible(timeout=LONG_MS)
        await fits(page)
        await axe(page)
        await shot(page, f"login-{look}")
        await page.get_by_role("textbox", name="Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{house.url}/runs", timeout=LONG_MS)
    assert complaints.unexpected == []
