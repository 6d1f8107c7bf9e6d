"""Rich results: tables, images, charts and what objects say of themselves, as MIME bundles."""

import json
from typing import Any

from forge.sandbox.base import Sandbox
from forge.sandbox.output import Display, Output
from forge.testing.sandbox_conformance.watching import Check, cell, write

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


async def what_notebooks_import_shows_what_it_holds(sandbox: Sandbox) -> None:
    """`IPython.display` is there without IPython, and libraries find no shell of IPython."""
    code = """\
import importlib.util, IPython
from IPython.core.display import HTML as same
from IPython.display import HTML, JSON, SVG, Code, Image, Latex, Markdown, Math, Pretty, display
assert same is HTML and IPython.get_ipython() is None
assert importlib.util.find_spec('IPython.lib') is None
png = bytes.fromhex('89504e470d0a1a0a')
open('dot.gif', 'wb').write(b'GIF89a')
display(HTML('<b>1</b>'), Markdown('*2*'), JSON({'3': [4]}), Image(png), Image('dot.gif'))
display(Image(url='https://x.example/"y"', width=5), SVG('<svg/>'), Latex('$x$'), Math('y'))
display(Code('a<b'))
display({'text/html': '<i>raw</i>'}, raw=True)
Pretty('plain')
"""
    result, seen = await cell(sandbox, code)
    assert result.status == "ok", result
    expected = [
        ("text/html", "<b>1</b>"),
        ("text/markdown", "*2*"),
        ("application/json", '{"3": [4]}'),
        ("image/png", "iVBORw0KGgo="),
        ("image/gif", "R0lGODlh"),
        ("text/html", '<img src="https://x.example/&quot;y&quot;" width="5"/>'),
        ("image/svg+xml", "<svg/>"),
        ("text/latex", "$x$"),
        ("text/latex", "$\\displaystyle y$"),
        ("text/html", "<pre><code>a&lt;b</code></pre>"),
        ("text/html", "<i>raw</i>"),
        ("text/plain", "plain"),
    ]
    assert [bundle[mime] for bundle, (mime, _) in zip(seen.displays, expected, strict=True)] == [
        content for _, content in expected
    ]


async def displays_have_ids_and_are_updated_in_order(sandbox: Sandbox) -> None:
    """What is printed, shown, updated and cleared arrives in the order in which the code did it."""
    code = """\
from IPython.display import clear_output, display, update_display
first = display('a', display_id='me')
print('one')
update_display('b', display_id='me')
print('two')
first.update('c')
clear_output(wait=True)
print('three')
made = display('d', display_id=True)
made.update('e')
assert len(made.display_id) == 32 and display('f') is None
"""
    result, seen = await cell(sandbox, code)
    assert result.status == "ok", result
    told = [
        item.data.decode().strip()
        if isinstance(item, Output)
        else (item.change, item.id, item.data.get("text/plain"))
        for item in seen.items
    ]
    name = seen.items[-2].id if isinstance(seen.items[-2], Display) else ""
    assert told == [
        ("new", "me", "'a'"),
        "one",
        ("update", "me", "'b'"),
        "two",
        ("update", "me", "'c'"),
        ("clear", "", None),
        "three",
        ("new", name, "'d'"),
        ("update", name, "'e'"),
        ("new", "", "'f'"),
    ]


async def an_id_of_any_size_harms_nothing(sandbox: Sandbox) -> None:
    """An id is cut to what a host takes; what no id can be is the code's own error."""
    code = "from IPython.display import display\n"
    result, seen = await cell(sandbox, f"{code}display(1, display_id='\\ud800é' * 100_000);")
    assert (result.status, [len(each.id) for each in _shown(seen.items)]) == ("ok", [128])
    result, _ = await cell(sandbox, f"{code}display(1, update=True)")
    assert result.error is not None
    assert result.error.name == "TypeError"


async def an_ipython_of_the_templates_own_shows_through_the_machine(sandbox: Sandbox) -> None:
    """Where IPython is installed its classes are used, and its `display` does not merely print."""
    await write(sandbox, "IPython/__init__.py", b"own = True")
    await write(sandbox, "IPython/core/__init__.py")
    calls = b"def display(*values): print(*values)\ndef clear_output(): pass\nkept = 7\n"
    await write(sandbox, "IPython/core/display_functions.py", calls)
    await write(sandbox, "IPython/display.py", b"from IPython.core.display_functions import *")
    code = "from IPython.display import display, kept\nfrom IPython import own\ndisplay(kept)"
    result, seen = await cell(sandbox, code)
    assert (result.status, seen.stdout, seen.plain) == ("ok", b"", ["7"]), result


def _shown(items: list[Output | Display]) -> list[Display]:
    return [item for item in items if isinstance(item, Display)]


CHECKS: tuple[Check, ...] = (
    a_table_is_shown_as_text_html_and_data,
    a_plot_is_shown_as_an_image,
    the_last_value_is_told_from_what_is_displayed,
    a_plot_is_shown_with_the_data_that_was_drawn,
    numbers_that_are_none_do_not_break_a_chart,
    a_plotly_figure_is_data_and_a_small_page,
    objects_are_shown_as_they_say,
    what_is_too_large_is_named,
    what_notebooks_import_shows_what_it_holds,
    displays_have_ids_and_are_updated_in_order,
    an_id_of_any_size_harms_nothing,
    an_ipython_of_the_templates_own_shows_through_the_machine,
)
