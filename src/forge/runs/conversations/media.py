"""What kind of file this is, by its first bytes. Pure.

A name can claim anything, so it only decides among kinds of text. What is neither known nor text is
`application/octet-stream`, which no browser runs or shows.
"""

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (0, b"PAR1", "application/vnd.apache.parquet"),
    (4, b"ftyp", "video/mp4"),
    (0, b"OggS", "application/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\x7fELF", "application/x-elf"),
)
_ZIPS = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
_TEXTS = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "json": "application/json",
    "ipynb": "application/x-ipynb+json",
    "html": "text/html",
    "htm": "text/html",
    "svg": "image/svg+xml",
    "xml": "application/xml",
    "md": "text/markdown",
    "py": "text/x-python",
    "js": "text/javascript",
    "css": "text/css",
}

HEAD = 4096
"""How many of a file's first bytes are looked at."""

UNKNOWN = "application/octet-stream"


def media_type(head: bytes, name: str) -> str:
    """The media type of a file that begins with `head` (its first `HEAD` bytes, or all)."""
    ending = name.rpartition(".")[2].lower()
    for place, magic, kind in _MAGIC:
        if head[place : place + len(magic)] == magic:
            return _ZIPS.get(ending, kind) if kind == "application/zip" else kind
    if not _is_text(head):
        return UNKNOWN
    return _TEXTS.get(ending, "text/plain")


def _is_text(head: bytes) -> bool:
    if b"\x00" in head:
        return False
    try:
        # A character may be cut in two where the head ends.
        head.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and len(head) - error.start < 4
    return True
