"""What notebooks import from IPython, for code that runs where IPython is not installed.

`from IPython.display import display, HTML, …` is how much of the world's code shows things. Here it
finds these few classes, which say of themselves what they are, and the calls of `display`. Nothing
more of IPython is there: `get_ipython()` is None, which is how libraries find out that no shell of
IPython runs. Where a template has the real one, that is imported, and only what its `display` calls
do is ours: without a shell of its own it would print where it should show.
"""

import base64
import html
import importlib.abc
import importlib.machinery
import json
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from forge_guest.interpreter import display as showing

_PAGES = ("IPython", "IPython.display", "IPython.core", "IPython.core.display")
_CALLS = "IPython.core.display_functions"
_IMAGES = {"png": "image/png", "jpeg": "image/jpeg", "jpg": "image/jpeg", "gif": "image/gif"}
_BEGINNINGS = ((b"\x89PNG", "png"), (b"\xff\xd8", "jpeg"), (b"GIF8", "gif"), (b"RIFF", "webp"))


class DisplayObject:
    """Content of one MIME type: `data` itself, or what is in the file `filename`."""

    mime = "text/plain"

    def __init__(self, data: Any = None, url: str | None = None, filename: Any = None) -> None:
        if data is None and filename is not None:
            data = self._read(Path(filename))
        self.data, self.url, self.filename = data, url, filename

    def _read(self, path: Path) -> Any:
        return path.read_text()

    def _content(self) -> Any:
        return self.data

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        content = self._content()
        return {} if content is None else {self.mime: content}

    def __repr__(self) -> str:
        return f"<IPython.core.display.{type(self).__name__} object>"


class HTML(DisplayObject):
    """A piece of HTML."""

    mime = "text/html"


class Markdown(DisplayObject):
    """Markdown text."""

    mime = "text/markdown"


class Latex(DisplayObject):
    """LaTeX text."""

    mime = "text/latex"


class Math(Latex):
    """LaTeX of mathematics alone."""

    def _content(self) -> Any:
        return f"$\\displaystyle {str(self.data).strip('$')}$"


class SVG(DisplayObject):
    """An SVG image."""

    mime = "image/svg+xml"


class Javascript(DisplayObject):
    """A script for whoever shows it."""

    mime = "application/javascript"


class Pretty(DisplayObject):
    """Plain text."""

    def __repr__(self) -> str:
        return str(self.data)


class Code(DisplayObject):
    """Source text."""

    mime = "text/html"

    def _content(self) -> Any:
        return f"<pre><code>{html.escape(str(self.data))}</code></pre>"

    def __repr__(self) -> str:
        return str(self.data)


class JSON(DisplayObject):
    """Anything that JSON can hold; `data` may be JSON text."""

    mime = "application/json"

    def _content(self) -> Any:
        return self.data if isinstance(self.data, str) else json.dumps(self.data, default=str)


class Image(DisplayObject):
    """An image: bytes or a path as `data`, a file, or an address that is shown as a link."""

    def __init__(
        self,
        data: Any = None,
        url: str | None = None,
        filename: Any = None,
        format: str | None = None,  # noqa: A002 -- IPython's own argument
        width: int | None = None,
        height: int | None = None,
        **_: Any,
    ) -> None:
        if isinstance(data, str) and data.startswith(("http://", "https://")):
            data, url = None, data
        elif isinstance(data, (str, Path)):
            data, filename = None, data
        super().__init__(data, url, filename)
        self.format, self.width, self.height = format, width, height

    def _read(self, path: Path) -> Any:
        return path.read_bytes()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        if self.data is None:
            sizes = "".join(
                f' {name}="{int(size)}"'
                for name, size in (("width", self.width), ("height", self.height))
                if size is not None
            )
            return {"text/html": f'<img src="{html.escape(str(self.url))}"{sizes}/>'}
        data = bytes(self.data)
        kind = (self.format or _kind_of(data)).lower()
        return {_IMAGES.get(kind, f"image/{kind}"): base64.b64encode(data).decode()}


class IFrame(DisplayObject):
    """Another page, in a frame."""

    mime = "text/html"

    def __init__(self, src: str, width: Any, height: Any, **_: Any) -> None:
        size = f'width="{html.escape(str(width))}" height="{html.escape(str(height))}"'
        super().__init__(f'<iframe {size} src="{html.escape(src)}" frameborder="0"></iframe>')


def _kind_of(data: bytes) -> str:
    return next((kind for begin, kind in _BEGINNINGS if data.startswith(begin)), "png")


def publish_display_data(data: dict[str, Any], *_: Any, **options: Any) -> None:
    """Show a MIME bundle that is one already."""
    showing.display(data, raw=True, display_id=(options.get("transient") or {}).get("display_id"))


_OBJECTS: tuple[Any, ...] = (
    *(DisplayObject, HTML, Markdown, Latex, Math, SVG, Javascript, Pretty, Code, JSON, Image),
    *(IFrame, publish_display_data),
)
_SHOWING: tuple[Any, ...] = (
    *(showing.display, showing.update_display, showing.clear_output, showing.DisplayHandle),
)


def get_ipython() -> None:
    """None: no shell of IPython runs."""


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the stand-in where there is no IPython; where there is, it mends its calls."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Answer for IPython's pages alone."""
        if not fullname.startswith("IPython"):
            return None
        real = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if real is not None:
            if fullname == _CALLS and real.loader is not None:
                real.loader = _Mended(real.loader)
            return real
        if fullname not in _PAGES:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=fullname in _PAGES[::2])

    def exec_module(self, module: types.ModuleType) -> None:
        """Fill a page."""
        module.__doc__ = "A stand-in of the machine's; `pip install ipython` brings the real one."
        if module.__name__ == "IPython":
            names = {"get_ipython": get_ipython, "version_info": (8, 24, 0), "__version__": "8.24"}
            module.__dict__.update(names)
        elif module.__name__ != "IPython.core":
            module.__dict__.update({each.__name__: each for each in (*_OBJECTS, *_SHOWING)})


class _Mended(importlib.abc.Loader):
    """Loads the real page of calls, and puts ours in their place."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        """As the real loader does."""
        made: types.ModuleType | None = self._real.create_module(spec)
        return made

    def exec_module(self, module: types.ModuleType) -> None:
        """As the real loader does, and then ours."""
        self._real.exec_module(module)
        module.__dict__.update({each.__name__: each for each in _SHOWING})
        module.__dict__["publish_display_data"] = publish_display_data


def install() -> None:
    """Let code import it from here on."""
    sys.meta_path.insert(0, _Finder())
