"""Blobs in an S3-compatible bucket, with a folder of this computer before it.

What is put is written to the folder first, which gives it its digest, and is then sent; it is kept
only once the bucket has it. What is asked for comes from the folder where it is there, else from
the bucket. An object's name is its digest, so a copy is never out of date. The bucket may be any
program's that speaks S3: `obstore` does the talking, tries again what may be tried, and sends what
is large in parts.

`sweep` makes room: it removes old copies from the folder, never anything from the bucket.
"""

import asyncio
import hashlib
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from forge.errors import (
    FileNotFound,
    LedgerCorrupt,
    SettingsInvalid,
    StorageRefused,
    StorageUnreachable,
)
from forge.store.blobs import Blob, BlobStore, removed

TRIES, TRYING = 3, timedelta(seconds=30)
"""How often a request is tried again, and for how long in all: a person waits for the answer."""

CONNECT, SILENCE = "10s", "60s"
"""How long the bucket may take to take our call, and to answer a request: a part is 5 MB."""

_OPTIONS = {"endpoint", "region"}


class S3Blobs(BlobStore):
    """Blobs of a bucket. `path` is where this computer's copy is, or would be."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        try:
            import obstore
            from obstore.exceptions import (
                BaseError,
                PermissionDeniedError,
                UnauthenticatedError,
            )
        except ImportError as error:
            raise SettingsInvalid(
                "FORGE_BLOBS_URL is set, and Forge is not installed with its extra `s3`.",
                hint="Install it with `uv sync --extra s3`, or `pip install 'forge-microvm[s3]'`.",
            ) from error
        self._calls: Any = obstore
        self._bucket = _bucket(url)
        self.label = f"the bucket {urlsplit(url).hostname!r}"
        self._refusals = (PermissionDeniedError, UnauthenticatedError)
        self._failures = (BaseError, OSError)

    async def put(self, content: AsyncIterator[bytes], *, limit: int) -> Blob:
        """As in `Blobs`."""
        blob = await super().put(content, limit=limit)
        with self._translated():
            if await self._size(blob.sha256) is None:
                await self._calls.put_async(
                    self._bucket, _name(blob.sha256), self.path(blob.sha256)
                )
        return blob

    async def get(
        self, sha256: str, *, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """As in `Blobs`."""
        copy = super().get(sha256, start=start, length=length)
        with suppress(FileNotFound):  # there is no copy, or it was swept just now
            async for piece in copy:
                yield piece
            return
        with self._translated():
            size = await self._size(sha256)
            if size is None:
                raise FileNotFound(f"No blob {sha256} is kept.")
            end = size if length is None else min(size, start + length)
            if start >= end:
                return
            found = await self._calls.get_async(
                self._bucket, _name(sha256), options={"range": (start, end)}
            )
            async for piece in found.stream():
                yield bytes(piece)

    async def size(self, sha256: str) -> int | None:
        """As in `Blobs`: what the bucket has counts, not the copy."""
        self.path(sha256)
        with self._translated():
            return await self._size(sha256)

    async def verify(self, sha256: str) -> int:
        """As in `Blobs`: what the bucket has is compared, not the copy."""
        self.path(sha256)
        digest, size = hashlib.sha256(), 0
        with self._translated():
            if await self._size(sha256) is None:
                raise FileNotFound(f"No blob {sha256} is kept.")
            found = await self._calls.get_async(self._bucket, _name(sha256))
            async for piece in found.stream():
                digest.update(piece)
                size += len(piece)
        if digest.hexdigest() != sha256:
            raise LedgerCorrupt(f"The blob {sha256} holds other bytes than it is named by.")
        return size

    async def delete(self, sha256: str) -> None:
        """As in `Blobs`; the copy goes too."""
        await super().delete(sha256)
        with self._translated():
            await self._calls.delete_async(self._bucket, _name(sha256))

    async def check(self) -> None:
        """As in `Blobs`; the bucket is only asked for something."""
        await super().check()
        with self._translated():
            await self._size("0" * 64)

    async def sweep(self, *, before: float) -> int:
        """Remove copies, and what crashes left half-written, from before then; returns how many."""
        copies = (self._folder / "sha256").glob("*/*")
        return await super().sweep(before=before) + await asyncio.to_thread(removed, copies, before)

    async def _size(self, sha256: str) -> int | None:
        try:
            found = await self._calls.head_async(self._bucket, _name(sha256))
        except FileNotFoundError:
            return None
        return int(found["size"])

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What the library raises, as Forge's own errors; it quotes addresses and no secret."""
        try:
            yield
        except self._refusals as error:
            raise StorageRefused(f"{self.label} does not let us in: {_first(error)}") from error
        except self._failures as error:
            raise StorageUnreachable(f"{self.label} cannot be used: {_first(error)}") from error


def _name(sha256: str) -> str:
    return f"sha256/{sha256[:2]}/{sha256[2:]}"


def _first(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]


def _bucket(url: str) -> Any:
    parts = _parsed(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if unknown := set(options) - _OPTIONS:
        raise SettingsInvalid(
            f"FORGE_BLOBS_URL has the unknown option {min(unknown)[:40]!r}.", hint=_HINT
        )
    from obstore.store import S3Store

    endpoint = options.get("endpoint")
    keys: dict[str, Any] = {"region": options.get("region", "us-east-1")}
    if endpoint:
        keys["endpoint"] = endpoint
    if parts.username and parts.password:
        keys["access_key_id"] = unquote(parts.username)
        keys["secret_access_key"] = unquote(parts.password)
    with warnings.catch_warnings():
        # It warns where a bucket's name has a point in it, which is the person's own choice.
        warnings.simplefilter("ignore")
        return S3Store(
            parts.hostname or "",
            prefix=parts.path.strip("/") or None,
            **keys,
            client_options={
                "allow_http": bool(endpoint and endpoint.startswith("http:")),
                "connect_timeout": CONNECT,
                "timeout": SILENCE,
            },
            retry_config={"max_retries": TRIES, "retry_timeout": TRYING},
        )


_HINT = "Give FORGE_BLOBS_URL as `s3://key:secret@bucket/prefix?endpoint=https://storage.example&region=name`."


def _parsed(url: str) -> SplitResult:
    refusal = SettingsInvalid("FORGE_BLOBS_URL cannot be read.", hint=_HINT)
    try:
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.hostname or parts.port is not None:
            raise refusal
    except ValueError:
        # Not `from` what was raised: it may quote the URL, and the secret in it.
        raise refusal from None
    return parts
