"""Turns values into MIME bundles, as Jupyter does, and shows figures that are left open.

A bundle maps a MIME type to text: binary types are base64, JSON types are JSON text. A type that
would be too large is left out and named in the bundle's `text/plain`, never dropped silently.

A Matplotlib figure is an image and, where its kind is known, the data that was drawn: a chart in
the schema of the package `e2b-charts`. A Plotly figure is its JSON and a page that loads Plotly's
own script by its version instead of carrying four megabytes of it.

A display may have an id, by which a later one says that it replaces it; and code may say that what
it has shown may go. Whoever shows displays decides what comes of either: nothing that was sent is
taken back.
"""

import base64
import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Callable
from typing import Any

MAX_TYPE = 4 * 1024 * 1024
"""Bytes of one MIME type as JSON."""

MAX_BUNDLE = 10 * 1024 * 1024
"""Bytes of all types of a bundle together; the agent takes no message of more than 16 MiB."""

_MIME = re.compile(r"[a-z0-9.+-]{1,60}/[a-zA-Z0-9.+-]{1,100}")
MAX_TABLE_ROWS = 200
_MAX_TYPES = 24
TABLE = "application/vnd.dataresource+json"
PLOTLY = "application/vnd.plotly.v1+json"
CHART = "application/vnd.forge.chart+json"
_SCRIPT = "https://cdn.plot.ly/plotly-{version}.min.js"

_KNOWN = frozenset(("text/plain", "text/html", "image/png", "application/json", TABLE, CHART))
_METHODS = (
    ("_repr_html_", "text/html"),
    ("_repr_markdown_", "text/markdown"),
    ("_repr_latex_", "text/latex"),
    ("_repr_svg_", "image/svg+xml"),
    ("_repr_png_", "image/png"),
    ("_repr_jpeg_", "image/jpeg"),
    ("_repr_json_", "application/json"),
)

Send = Callable[[dict[str, str], bool, dict[str, str]], None]
"""Takes a bundle, whether it is the main result, and its `id` and `change` where it has them."""

MAX_ID = 128
"""Characters of a display's id."""

_show: list[Send] = []


def install(send: Send, names: dict[str, Any]) -> None:
    """Make `display(...)` known to a person's code and let figures be shown."""
    _show[:] = [send]
    names["display"] = display
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        setattr(pyplot, "show", lambda *_, **__: show_figures())  # noqa: B010 -- a module
    plotly_io = sys.modules.get("plotly.io")
    if plotly_io is not None:
        setattr(plotly_io, "show", lambda figure, *_, **__: show(figure))  # noqa: B010 -- as above
        base = sys.modules.get("plotly.basedatatypes")
        if base is not None:
            base.BaseFigure.show = lambda figure, *_, **__: show(figure)


class DisplayHandle:
    """A display that can be shown anew under its id."""

    def __init__(self, display_id: str | None = None) -> None:
        self.display_id = os.urandom(16).hex() if display_id is None else display_id

    def display(self, value: Any, **options: Any) -> None:
        """Show a value as one more display of this id."""
        display(value, **options | {"display_id": self.display_id})

    def update(self, value: Any, **options: Any) -> None:
        """Show a value in the place of this display."""
        update_display(value, **options | {"display_id": self.display_id})

    def __repr__(self) -> str:
        return f"<DisplayHandle display_id={self.display_id}>"


def display(
    *values: Any, display_id: Any = None, update: bool = False, raw: bool = False, **options: Any
) -> DisplayHandle | None:
    """Show values in the conversation, as IPython's function of this name does.

    Args:
        values: what to show; with `raw`, MIME bundles.
        display_id: an id for them, or True for one that is made up. Returns a handle then.
        update: they take the place of what was shown under this id.
        raw: the values are bundles already.
        options: of IPython's, `clear` says that what was shown may go; others change nothing.
    """
    if update and display_id is None:
        raise TypeError("display_id is required where update is true")
    handle = None
    extra = {}
    if display_id is not None and display_id is not False:
        handle = DisplayHandle(None if display_id is True else str(display_id)[:MAX_ID])
        extra = {"id": handle.display_id} | ({"change": "update"} if update else {})
    if options.get("clear"):
        clear_output()
    for value in values:
        _show[0](clip(_texts(value) if raw else bundle(value)), False, extra)
    return handle


def update_display(value: Any, *, display_id: str, **options: Any) -> None:
    """Show a value in the place of what was shown under an id."""
    display(value, display_id=display_id, update=True, **options)


def clear_output(wait: bool = False) -> None:  # noqa: ARG001 -- IPython's own argument
    """Say that what this cell has shown so far may go. It is said at once, `wait` or not."""
    _show[0]({}, False, {"change": "clear"})


def show(value: Any, *, main: bool = False) -> None:
    """Show one value; `main` is the value of a cell's last expression."""
    _show[0](clip(bundle(value)), main, {})


def show_figures() -> None:
    """Show every open matplotlib figure, and close it."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        if figure.get_axes() or figure.texts or figure.images:
            show(figure)
        pyplot.close(figure)


def bundle(value: Any) -> dict[str, str]:
    """A value as a MIME bundle; `text/plain` is always there."""
    data = {"text/plain": _safely(lambda: repr(value)) or f"<{type(value).__name__}>"}
    kind = _module(value)
    if kind.startswith("plotly.") and hasattr(value, "to_json"):
        return data | _plotly(value)
    if kind.startswith("matplotlib.") and hasattr(value, "savefig"):
        drawn = _some("image/png", _safely(lambda: _png(value)))
        return data | drawn | _some(CHART, _safely(lambda: _chart(value)))
    whole = _safely(lambda: value._repr_mimebundle_(include=None, exclude=None))
    if isinstance(whole, tuple):
        whole = whole[0]
    if isinstance(whole, dict):
        return data | _texts(whole)
    return data | _own_reprs(value) | _data_of(value, kind)


def _texts(whole: dict[Any, Any]) -> dict[str, str]:
    return {str(mime): _text(content) for mime, content in whole.items()}


def _own_reprs(value: Any) -> dict[str, str]:
    data: dict[str, str] = {}
    if not isinstance(value, type):
        for method, mime in _METHODS:
            if hasattr(value, method):
                data |= _some(mime, _safely(getattr(value, method)))
    return data


def _data_of(value: Any, kind: str) -> dict[str, str]:
    if kind.startswith("pandas.") and type(value).__name__ == "DataFrame":
        return _some(TABLE, _safely(lambda: _table(value)))
    if isinstance(value, (dict, list)):
        return _some("application/json", _safely(lambda: json.dumps(value, allow_nan=False)))
    return {}


def clip(data: dict[str, str]) -> dict[str, str]:
    """The bundle without what is too large, which is named in its text."""
    plain = data.get("text/plain", "")
    kept: dict[str, str] = {}
    left, marks = MAX_BUNDLE, []
    for mime, text in data.items():
        weight = _weight(text)
        if weight <= min(left, MAX_TYPE) and len(kept) < _MAX_TYPES and _is_mime(mime):
            kept[mime] = text
            left -= weight
        else:
            marks.append(
                f"… [clipped: {mime[:100]} has {len(text)} characters; the limit is {MAX_TYPE}] …"
            )
    if "text/plain" not in kept:
        # Shortened until its escapes fit: a character of text may take six bytes of JSON.
        plain = plain[: MAX_TYPE if plain.isascii() and plain.isprintable() else MAX_TYPE // 8]
    return kept | {"text/plain": "\n".join([plain, *marks[:_MAX_TYPES]])}


def _is_mime(name: str) -> bool:
    # Most are known, and then no regular expression runs (see `context._scan`).
    return name in _KNOWN or _MIME.fullmatch(name) is not None


def _weight(text: str) -> int:
    return len(json.dumps(text)) if len(text) > MAX_TYPE // 8 else len(text)


def warm_up() -> None:
    """Draw and print once, so that what loads late is loaded before contexts are forked."""
    pyplot, pandas = sys.modules.get("matplotlib.pyplot"), sys.modules.get("pandas")
    if pandas is not None:
        frame = pandas.DataFrame({"a": [1.5, 2.0], "b": ["x", "y"]})
        bundle(frame)
        bundle(frame.groupby("b").a.sum())
        bundle(frame.describe())
        pandas.read_csv(io.StringIO(frame.to_csv(index=False)))
    if pyplot is not None and pandas is not None:
        pandas.Series([1, 2], index=["x", "y"]).plot(kind="bar")
        pyplot.title("x")
        bundle(pyplot.gcf())
        pyplot.close("all")


def _png(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return base64.b64encode(buffer.getvalue()).decode()


def _chart(figure: Any) -> str | None:
    charts = sys.modules.get("e2b_charts")
    chart = charts.chart_figure_to_dict(figure) if charts is not None else None
    if not chart:
        return None
    text = json.dumps(chart, default=_plain)
    # JSON has no NaN: what was missing in the data is missing here.
    return json.dumps(json.loads(text, parse_constant=lambda _: None)) if "N" in text else text


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _plotly(figure: Any) -> dict[str, str]:
    text = _safely(figure.to_json)
    if text is None:
        return {}
    data = {PLOTLY: str(text)}
    version = getattr(
        sys.modules.get("plotly.offline._plotlyjs_version"), "__plotlyjs_version__", 0
    )
    if version and len(text) <= MAX_TYPE // 2:
        script, name = _SCRIPT.format(version=version), f"plotly-{os.urandom(6).hex()}"
        drawn = str(text).replace("<", "\\u003c")
        data["text/html"] = (
            f'<div id="{name}"></div><script src="{script}"></script>'
            f'<script>{{const figure = {drawn}; Plotly.newPlot("{name}", figure);}}</script>'
        )
    return data


def _table(frame: Any) -> str:
    return str(frame.head(MAX_TABLE_ROWS).to_json(orient="table", default_handler=str))


def _module(value: Any) -> str:
    return str(type(value).__module__) + "."


def _text(content: Any) -> str:
    if isinstance(content, bytes):
        return base64.b64encode(content).decode()
    return content if isinstance(content, str) else json.dumps(content, default=str)


def _some(mime: str, content: Any) -> dict[str, str]:
    return {} if content is None else {mime: _text(content)}


def _safely(make: Callable[[], Any]) -> Any:
    """What `make` returns, or None where a person's object fails at it in any way."""
    with contextlib.suppress(Exception):
        return make()
    return None
