"""How a file of a person's or a guest's is served: so that it can do nothing in a browser.

Everything goes out as an attachment unless the console shows it in a frame: then only kinds that a
browser can show, and always under a policy that gives the page no origin, no network and no way out
of its frame. What a file is comes from its bytes, and the browser is told not to guess again.
"""

from collections.abc import AsyncIterator
from urllib.parse import quote

from starlette.responses import StreamingResponse

from forge.tools.closing import closing

SHOWN = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/svg+xml",
        "text/html",
        "text/plain",
        "text/csv",
        "text/markdown",
        "application/json",
        "application/pdf",
    }
)
"""What may be shown in a frame."""

_CAGE = (
    "sandbox{scripts}; default-src 'none'; script-src {script}; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; connect-src 'none'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors {frame}"
)


async def begun(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same content with its first piece read already, so that what cannot be read is a problem
    and not an answer that breaks off.

    Raises:
        ForgeError: as the content does for its first piece.
    """
    first = await anext(content, b"")

    async def whole() -> AsyncIterator[bytes]:
        async with closing(content) as rest:
            yield first
            async for chunk in rest:
                yield chunk

    return whole()


def served(
    content: AsyncIterator[bytes],
    *,
    name: str,
    media_type: str,
    size: int | None,
    shown: bool = False,
) -> StreamingResponse:
    """A file as a response; `shown` for the console's frame. Without a size it is not announced: a
    file in a machine may change while it is read.
    """
    framed = shown and media_type in SHOWN
    page = framed and media_type == "text/html"
    how = "inline" if framed else "attachment"
    announced = {} if size is None else {"Content-Length": str(size)}
    return StreamingResponse(
        content,
        media_type=media_type if framed or not _active(media_type) else "application/octet-stream",
        headers=announced
        | {
            "Content-Disposition": f"{how}; filename*=UTF-8''{quote(_base(name), safe='')}",
            "Content-Security-Policy": _CAGE.format(
                scripts=" allow-scripts" if page else "",
                script="'unsafe-inline'" if page else "'none'",
                frame="'self'" if framed else "'none'",
            ),
            "X-Frame-Options": "SAMEORIGIN" if framed else "DENY",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "private, no-store",
        },
    )


def _active(media_type: str) -> bool:
    return media_type in ("text/html", "image/svg+xml", "application/xml", "text/javascript")


def _base(name: str) -> str:
    return name.rpartition("/")[2].encode("utf-8", "replace").decode() or "file"
