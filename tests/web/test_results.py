"""Rich results in the chat: each kind in its best form, and none of them does harm."""

import json

from playwright.async_api import Page, expect

from browsing import Complaints, Look, axe, fits, shot
from forge.testing.providers.script import Reply, Say, Step, UseTool

LONG_MS = 60_000
"""How long anything may take on a host where six others work."""

FRAME = """
<div><style scoped>.dataframe {}</style>
<table border="1" class="dataframe">
  <thead><tr style="text-align: right;"><th></th><th>month</th><th>revenue</th></tr></thead>
  <tbody>
    <tr><th>0</th><td>jan</td><td>9.5</td></tr>
    <tr><th>1</th><td>feb</td><td>100.25</td></tr>
    <tr><th>2</th><td>mar</td><td>19.0</td></tr>
  </tbody>
</table><p>3 rows x 2 columns</p></div>
"""
FIGURE = {
    "data": [{"type": "bar", "x": ["jan", "feb"], "y": [9.5, 100.25]}],
    "layout": {"title": {"text": "<a href='javascript:alert(1)'>By month</a>"}, "height": 320},
}
HOSTILE = """
<h1>Prize</h1><script>parent.document.title = "taken"; fetch("http://OUT/script")</script>
<img src="http://OUT/picture" onerror="top.document.title = 'taken'">
<form action="http://OUT/form"><button>Send</button></form>
<meta http-equiv="refresh" content="0; url=http://OUT/refresh"><iframe src="http://OUT/frame"></iframe>
<link rel="stylesheet" href="http://OUT/style"><a href="http://OUT/link" target="_top">out</a>
"""
DRAWING = """
<svg xmlns="http://www.w3.org/2000/svg" width="60" height="40"><rect width="60" height="40"/>
<script>fetch("http://OUT/svg")</script><image href="http://OUT/inner" width="9" height="9"/></svg>
"""


def showing(kind: str, content: str) -> UseTool:
    """The model shows one result of a kind."""
    bundle = {kind: content, "text/plain": f"a {kind}"}
    code = f"# Show {kind}\nclass R:\n    _repr_mimebundle_ = lambda self: {bundle!r}\nR()\n"
    return UseTool("run_python", {"code": code})


async def test_each_kind_of_result_has_its_form_and_none_gets_out(
    seen: Page,
    look: Look,
    complaints: Complaints,
    script: list[Step],
    outside: tuple[str, list[str]],
):
    """A table that sorts, a figure that is drawn, a picture, a formula, a tree; and what is
    hostile neither runs, nor asks anybody, nor leads away.
    """
    place, reached = outside
    script += [
        Reply(
            (
                showing("text/html", FRAME),
                showing("application/vnd.plotly.v1+json", json.dumps(FIGURE)),
                showing("application/json", '{"a": {"b": [1, 2]}, "<b>": "<i>text</i>"}'),
                showing("text/latex", "$\\displaystyle \\frac{1}{2}$"),
                showing("image/svg+xml", DRAWING.replace("OUT", place)),
                showing(
                    "text/markdown",
                    "**bold** <script>x</script> ![p](http://OUT/markdown)".replace("OUT", place),
                ),
            )
        ),
        Reply((showing("text/html", HOSTILE.replace("OUT", place)),)),
        Reply((Say("All shown."),)),
    ]
    # What is hostile is refused, which the browser says.
    complaints.expect(r"about:srcdoc|Content Security Policy|sandboxed")
    await seen.goto("/")
    await seen.get_by_role("textbox", name="Message").fill("Show everything")
    await seen.get_by_role("textbox", name="Message").press("Enter")
    await expect(seen.get_by_text("All shown.")).to_be_visible(timeout=LONG_MS)

    table = seen.get_by_role("region", name="Table")
    await table.get_by_role("button", name="revenue").click()
    await expect(table.get_by_role("row").nth(1)).to_contain_text("9.5")
    await table.get_by_role("button", name="revenue").click()
    await expect(table.get_by_role("row").nth(1)).to_contain_text("100.25")
    figure = seen.frame_locator("iframe[title='Interactive figure']")
    await expect(figure.locator(".barlayer .point").first).to_be_visible(timeout=LONG_MS)
    await expect(seen.get_by_role("tree", name="JSON")).to_contain_text("<i>text</i>")
    await expect(seen.locator(".katex")).to_be_visible(timeout=LONG_MS)
    await expect(seen.get_by_role("img", name="a image/svg+xml")).to_be_visible()
    await expect(seen.get_by_text("bold <script>x</script>")).to_be_visible()
    await table.scroll_into_view_if_needed()
    await fits(seen)
    await axe(seen)
    await shot(seen, f"results-{look}")
    await seen.locator("iframe[title='Interactive figure']").scroll_into_view_if_needed()
    await shot(seen, f"results-figure-{look}")

    assert await seen.title() == "Show everything · Forge"
    assert reached == []
    assert await figure.locator("body").evaluate("() => self.origin") == "null"
    assert "/c/" in seen.url
