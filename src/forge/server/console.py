"""The console's files: one page for every address of it, and what that page loads.

    /, /c/…, /runs, …      index.html, always asked for again
    /assets/…              named by content: kept by browsers for good
    /vendor/…              the same, and for pages without an origin too (artifacts in their frames)
    an address of nobody's index.html as well, with 404, for a browser; a problem for a program

The files are those that the build made, each beside its smaller copies (`.br`, `.gz`). Only paths
that were found when the server started are ever opened, so no path leads out of the folder. What is
under `/api`, and everything but reading, is never the console's. Where nothing is built, a page
says how to build it.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

BUILT = Path(__file__).resolve().parent.parent / "_web"
"""Where the build puts the console: in a checkout, in a wheel and in an sdist."""

PAGES = frozenset(
    {
        "admin", "c", "egress", "invite", "login", "memory", "money", "risk", "runs", "settings",
        "shared", "sign-up", "welcome",
    }
)  # fmt: skip
"""The first words of the console's addresses; `web/src/routes.tsx` has the rest of them."""

POLICY = (
    "default-src 'none'; script-src 'self'; "
    "style-src 'self' 'unsafe-inline'; "  # terminals and dialogs write their own
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; worker-src 'self'; manifest-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""What the console may do: scripts and connections of this server's, and nobody's frame."""

FRAME_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'self'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "connect-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
"""What a page may do that draws what came out of a machine, in a frame of the console: it has no
origin, and loads this server's own scripts alone.
"""

_KINDS = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_FOR_GOOD = ("/assets/", "/vendor/")
_ENCODINGS = {"br": ".br", "gzip": ".gz"}
_COPIES = frozenset(_ENCODINGS.values())
_NEVER = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*")
_OWN = re.compile(r"/(api|healthz|readyz|metrics)(/|$)")

_UNBUILT = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Forge: console not built</title>
<h1>Forge is running; its console is not built</h1>
<p>In a checkout of Forge, build it with <code>make web</code> (the first time takes a minute) and
start the server again. A wheel has it already.
<p>Everything else works without it: <code>forge chat</code> in a terminal, and
<a href="/api/openapi.json">the API</a>.
"""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    media_type: str
    digest: str
    copies: Mapping[str, Path]


class Console:
    """Serves the console to whoever no other route serves, and hands the rest on."""

    def __init__(self, otherwise: ASGIApp, folder: Path = BUILT) -> None:
        self._otherwise = otherwise
        self._files = _found(folder)
        self._index = self._files.get("/index.html")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that no route has."""
        answer = self._answer(scope) if scope["type"] == "http" else None
        await (answer or self._otherwise)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        path = scope["path"]
        if scope["method"] not in ("GET", "HEAD") or _OWN.match(path):
            return None
        headers = Headers(scope=scope)
        found = self._files.get(path)
        if found is not None and found is not self._index:
            return _sent(found, headers, for_good=path.startswith(_FOR_GOOD))
        page = path == "/" or path.removeprefix("/").partition("/")[0] in PAGES
        if not page and not _is_wanted_by_a_browser(path, headers):
            return None
        status = 200 if page else 404
        if self._index is None:
            return Response(_UNBUILT, 503 if page else status, media_type="text/html")
        return _sent(self._index, headers, status=status)


def _is_wanted_by_a_browser(path: str, headers: Headers) -> bool:
    """Whether a person typed an address that is nobody's; a file's has a dot in its name."""
    return "text/html" in headers.get("accept", "") and "." not in path.rpartition("/")[2]


def _sent(file: _File, headers: Headers, *, for_good: bool = False, status: int = 200) -> Response:
    encoding = next((each for each in _accepted(headers) if each in file.copies), "")
    kept = "public, max-age=31536000, immutable" if for_good else "no-cache"
    about = {"Cache-Control": kept, "Vary": "Accept-Encoding"}
    about["ETag"] = f'"{file.digest}{encoding and "-"}{encoding}"'
    place = file.path.parent.name
    if place in ("frame", "vendor"):
        about["Cross-Origin-Resource-Policy"] = "cross-origin"
    if file.media_type == "text/html":
        about["Content-Security-Policy"] = FRAME_POLICY if place == "frame" else POLICY
    if place == "frame":
        about["X-Frame-Options"] = "SAMEORIGIN"
    if status == HTTPStatus.OK and about["ETag"] in headers.get("if-none-match", ""):
        return Response(status_code=304, headers=about)
    if encoding:
        about["Content-Encoding"] = encoding
    path = file.copies.get(encoding, file.path)
    return FileResponse(path, status, headers=about, media_type=file.media_type)


def _accepted(headers: Headers) -> list[str]:
    """The encodings that we have and the browser takes, the smallest first."""
    taken = set()
    for part in headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = part.partition(";")
        if not _NEVER.fullmatch(weight):
            taken.add(name.strip())
    return [encoding for encoding in _ENCODINGS if encoding in taken]


def _found(folder: Path) -> dict[str, _File]:
    """Every file by its address. Links are not followed: the build makes none."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in _COPIES or path.is_symlink() or not path.is_file():
            continue
        copies = {
            encoding: copy
            for encoding, ending in _ENCODINGS.items()
            if (copy := path.with_name(path.name + ending)).is_file()
        }
        kind = _KINDS.get(path.suffix, "application/octet-stream")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
        files["/" + path.relative_to(folder).as_posix()] = _File(path, kind, digest, copies)
    return files
