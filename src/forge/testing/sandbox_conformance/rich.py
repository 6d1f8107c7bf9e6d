"""Rich results: tables, images, charts and what objects say of themselves, as MIME bundles."""

import json
from typing import Any

from forge.sandbox.base import Sandbox
from forge.sandbox.output import Display
from forge.testing.sandbox_conformance.watching import Check, cell

_CHART = "application/vnd.forge.chart+json"
_PLOTLY = "application/vnd.plotly.v1+json"


async def _chart(sandbox: Sandbox, drawing: str) -> dict[str, Any]:
    code = f"from matplotlib import pyplot as plt\n{drawing};"
    result, seen = await cell(sandbox, code)
    assert result.status == "ok", result
    (bundle,) = seen.displays
    assert bundle["image/png"].startswith("iVBOR")
    chart: dict[str, Any] = json.loads(bundle[_CHART])
    return chart


async def a_table_is_shown_as_text_html_and_data(sandbox: Sandbox) -> None:
    """A DataFrame has all three, and its data is there to be drawn."""
    _, seen = await cell(sandbox, "import pandas\npandas.DataFrame({'a': [1, 2], 'b': ['x', 'é']})")
    (bundle,) = seen.displays
    assert {"text/plain", "text/html", "application/vnd.dataresource+json"} <= set(bundle)
    data = json.loads(bundle["application/vnd.dataresource+json"])
    assert [row["b"] for row in data["data"]] == ["x", "é"]


async def a_plot_is_shown_as_an_image(sandbox: Sandbox) -> None:
    """An open figure is shown at the cell's end, once."""
    _, seen = await cell(sandbox, "from matplotlib import pyplot\npyplot.plot([1, 3, 2]);")
    images = [bundle["image/png"] for bundle in seen.displays if "image/png" in bundle]
    assert len(images) == 1
    assert images[0].startswith("iVBOR")
    assert all("image/png" not in each for each in (await cell(sandbox, "1"))[1].displays)


async def the_last_value_is_told_from_what_is_displayed(sandbox: Sandbox) -> None:
    """Only the value of the last expression is the main result."""
    _, seen = await cell(sandbox, "display(1)\ndisplay(2)\n3")
    shown = [
        (each.data["text/plain"], each.main) for each in seen.items if isinstance(each, Display)
    ]
    assert shown == [("1", False), ("2", False), ("3", True)]


async def a_plot_is_shown_with_the_data_that_was_drawn(sandbox: Sandbox) -> None:
    """Lines, bars, pies, several at once: kind, title, labels and numbers, beside the image."""
    line = await _chart(sandbox, "plt.plot([1, 2], [3, 4], label='a'); plt.xlabel('t (s)')")
    assert (line["type"], line["x_label"], line["x_unit"]) == ("line", "t (s)", "s")
    assert line["elements"] == [{"label": "a", "points": [[1, 3], [2, 4]]}]
    bar = await _chart(sandbox, "plt.bar(['x', 'y'], [1, 2]); plt.title('T')")
    assert (bar["type"], bar["title"]) == ("bar", "T")
    assert [(each["label"], each["value"]) for each in bar["elements"]] == [("x", 1), ("y", 2)]
    assert (await _chart(sandbox, "plt.pie([1, 3], labels=['p', 'q'])"))["type"] == "pie"
    both = await _chart(sandbox, "f, (a, b) = plt.subplots(1, 2); a.plot([1]); b.scatter([1], [2])")
    assert [each["type"] for each in both["elements"]] == ["line", "scatter"]


async def numbers_that_are_none_do_not_break_a_chart(sandbox: Sandbox) -> None:
    """A gap in the data is a gap in the chart, and the JSON is JSON."""
    chart = await _chart(sandbox, "plt.plot([1, 2], [float('nan'), 4])")
    assert chart["elements"][0]["points"] == [[1, None], [2, 4]]


async def a_plotly_figure_is_data_and_a_small_page(sandbox: Sandbox) -> None:
    """Its JSON for a viewer that has Plotly, and a page that loads it; not megabytes of script."""
    code = "import plotly.express as px\npx.bar(x=['</script><b>'], y=[1])"
    _, seen = await cell(sandbox, code)
    (bundle,) = seen.displays
    assert json.loads(bundle[_PLOTLY])["data"][0]["type"] == "bar"
    assert len(bundle["text/html"]) < 50_000
    assert "plotly-" in bundle["text/html"]
    assert "</script><b>" not in bundle["text/html"]


async def objects_are_shown_as_they_say(sandbox: Sandbox) -> None:
    """Images, and every kind of representation that notebooks know."""
    code = "from PIL import Image\nImage.new('RGB', (2, 2))"
    _, seen = await cell(sandbox, code)
    assert seen.displays[0]["image/png"].startswith("iVBOR")
    kinds = {
        "html": "text/html",
        "markdown": "text/markdown",
        "latex": "text/latex",
        "svg": "image/svg+xml",
        "json": "application/json",
    }
    for kind, mime in kinds.items():
        code = f"class Own:\n    def _repr_{kind}_(self): return '<x>'\nOwn()"
        _, seen = await cell(sandbox, code)
        assert seen.displays[0][mime] == "<x>"
    code = "class Own:\n    def _repr_mimebundle_(self, **_): return {'text/html': '<y>'}\nOwn()"
    _, seen = await cell(sandbox, code)
    assert seen.displays[0]["text/html"] == "<y>"


async def what_is_too_large_is_named(sandbox: Sandbox) -> None:
    """A type that is too large is left out with a mark, and the rest is shown."""
    code = (
        "class Own:\n    def _repr_html_(self): return 'é' * 6_000_000\n"
        "    def __repr__(self): return 'R'\nOwn()"
    )
    _, seen = await cell(sandbox, code)
    (bundle,) = seen.displays
    assert "text/html" not in bundle
    assert bundle["text/plain"].startswith("R\n… [clipped: text/html")


CHECKS: tuple[Check, ...] = (
    a_table_is_shown_as_text_html_and_data,
    a_plot_is_shown_as_an_image,
    the_last_value_is_told_from_what_is_displayed,
    a_plot_is_shown_with_the_data_that_was_drawn,
    numbers_that_are_none_do_not_break_a_chart,
    a_plotly_figure_is_data_and_a_small_page,
    objects_are_shown_as_they_say,
    what_is_too_large_is_named,
)
