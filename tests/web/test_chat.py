"""The chat in a browser: asked, followed, stopped, taken up again; in every look."""

from playwright.async_api import Page, expect

from browsing import Look, axe, fits, shot
from forge.testing.providers.script import Reply, Say, Step, Think, UseTool

CODE = """\
# Add up the months
for month in ("jan", "feb", "mar"):
    print(f"\\x1b[32mread\\x1b[0m {month}")
print("total", 12.5 + 14.25 + 19)
"""
ANSWER = """\
Revenue **grew**:

| Month | Revenue |
| --- | ---: |
| jan | $12.50 |
| mar | $19.00 |

$$\\sum_i x_i = 45.75$$

```python
print(45.75)
```
"""


async def ask(page: Page, text: str) -> None:
    """Say something, as a person does."""
    box = page.get_by_role("textbox", name="Message")
    await box.fill(text)
    await box.press("Enter")


async def test_a_question_becomes_steps_and_an_answer(seen: Page, look: Look, script: list[Step]):
    """From the first page to the last word, and all of it again after a reload."""
    script += [
        Reply((Think("Add them up."), Say("I'll add."), UseTool("run_python", {"code": CODE}))),
        Reply((Say(ANSWER),)),
    ]
    await seen.goto("/")
    await expect(seen.get_by_role("button", name="Draw a chart")).to_be_visible()
    await fits(seen)
    await axe(seen)
    await shot(seen, f"chat-start-{look}")

    await ask(seen, "Work out what the months add up to")
    step = seen.get_by_role("group", name="Add up the months")
    await expect(step.get_by_text("Done", exact=True)).to_be_visible()
    await expect(step.get_by_text("total 45.75")).to_be_visible()
    await expect(seen.get_by_role("cell", name="$19.00")).to_be_visible()
    await expect(seen.locator(".katex")).to_be_visible()
    await expect(seen.get_by_role("button", name="Answer once more")).to_be_visible()
    await seen.get_by_role("button", name="Thought for").click()
    await expect(seen.get_by_text("Add them up.")).to_be_visible()
    await fits(seen)
    await axe(seen)
    await shot(seen, f"chat-done-{look}")

    await seen.reload()
    await expect(seen.get_by_role("cell", name="$19.00")).to_be_visible()
    await expect(seen.get_by_role("heading", name="Add up the months")).to_have_count(1)
    await expect(seen.get_by_text("I'll add.")).to_have_count(1)
