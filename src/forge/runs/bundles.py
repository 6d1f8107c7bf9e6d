"""Files in one archive to take away: what a run came to, so that others can check it without Forge;
and the files of a conversation.

A run's bundle is a zip archive:

    ledger.jsonl     the records, one a line: what is hashed, and the hash
    artifacts/…      what the run made, every version
    given/…          what it was given
    manifest.json    the run, the head of its chain, and of each file its size and SHA-256

Each record's hash is the SHA-256 of its line without `hash`, as RFC 8785 writes it; `prev` is the
hash of the line before. So the head in the manifest vouches for the ledger, and the ledger, which
has the digest of each file, for the files. Names are hostile and become harmless in `forge.zips`.
"""

import hashlib
import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, NamedTuple

from forge.errors import InputRefused
from forge.events import Record
from forge.ids import RunId
from forge.ledger.fold import RunView
from forge.runs.artifacts import Blobs
from forge.tools.closing import closing
from forge.zips import StreamedZip, ZipRefused

FORMAT = 1
"""The number of this layout; another one is no longer this."""

LEDGER, MANIFEST = "ledger.jsonl", "manifest.json"
_PIECE = 64 * 1024


class Packed(NamedTuple):
    """A kept file and the name it is to have; `modified` is seconds since 1970."""

    name: str
    sha256: str
    size: int
    modified: float = 0.0


async def zipped(files: Iterable[Packed], blobs: Blobs) -> AsyncGenerator[bytes, None]:
    """Kept files as a zip archive, in pieces. The caller closes it.

    Raises:
        FileNotFound, HostUnfit: a file is not kept any more, or cannot be read.
        InputRefused: they are too many or too large for one archive.
    """
    with StreamedZip() as archive:
        for file in files:
            _begin(archive, file)
            async for piece in _content(archive, file, blobs):
                yield piece
        archive.finish()
        yield archive.take()


async def bundle(
    view: RunView, records: Sequence[Record], blobs: Blobs
) -> AsyncGenerator[bytes, None]:
    """A run's bundle, in pieces. The caller closes it.

    Args:
        view: what the records come to.
        records: the run's records, checked.
        blobs: where its files are.

    Raises:
        FileNotFound, HostUnfit, InputRefused: as in `zipped`.
    """
    at = view.updated_at.timestamp()
    named: list[dict[str, Any]] = []
    with StreamedZip() as archive:
        lines = [_line(record) for record in records]
        ledger = Packed(LEDGER, _digest(lines), sum(map(len, lines)), at)
        named.append(_fact(_begin(archive, ledger), ledger))
        for line in lines:
            archive.write(line)
            if archive.waiting >= _PIECE:
                yield archive.take()
        for file in _files_of(view, at):
            named.append(_fact(_begin(archive, file), file))
            async for piece in _content(archive, file, blobs):
                yield piece
        manifest = _manifest(view.id, view, records[-1], named)
        archive.begin(MANIFEST, size=len(manifest), modified=at)
        archive.write(manifest)
        archive.finish()
        yield archive.take()


def _begin(archive: StreamedZip, file: Packed) -> str:
    try:
        return archive.begin(file.name, size=file.size, modified=file.modified)
    except ZipRefused as error:
        raise InputRefused(
            f"These files cannot be one archive: {error}.", hint="Download them one by one."
        ) from error


async def _content(archive: StreamedZip, file: Packed, blobs: Blobs) -> AsyncGenerator[bytes, None]:
    async with closing(blobs.get(file.sha256)) as content:
        async for piece in content:
            archive.write(piece)
            if archive.waiting >= _PIECE:
                yield archive.take()


def _line(record: Record) -> bytes:
    return record.model_dump_json().encode() + b"\n"


def _digest(lines: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


def _files_of(view: RunView, at: float) -> Iterable[Packed]:
    for made in view.artifacts:
        yield Packed(f"artifacts/{made.name}", made.sha256, made.size, at)
    for given in view.started.files:
        yield Packed(f"given/{given.name}", given.sha256, given.size, at)


def _fact(path: str, file: Packed) -> dict[str, Any]:
    return {"path": path, "size": file.size, "sha256": file.sha256}


def _manifest(run_id: RunId, view: RunView, last: Record, files: Sequence[dict[str, Any]]) -> bytes:
    said = {
        "format": FORMAT,
        "run_id": run_id,
        "status": view.status,
        "model": view.started.model,
        "created_at": view.created_at.isoformat(),
        "updated_at": view.updated_at.isoformat(),
        "records": last.seq,
        "head": last.hash,
        "files": files,
    }
    return json.dumps(said, indent=1, ensure_ascii=False).encode() + b"\n"
