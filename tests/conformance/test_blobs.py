"""Every place for blobs keeps the contract: a folder, and a bucket of a real server of S3's API.

The server is moto's: its own implementation of S3 behind HTTP, in a thread of this process.
"""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from forge.errors import (
    FileNotFound,
    LedgerCorrupt,
    SettingsInvalid,
    StorageRefused,
    StorageUnreachable,
)
from forge.store.blobs import Blobs, BlobStore
from forge.store.s3 import S3Blobs
from forge.testing.blob_conformance import CHECKS, pieces, whole

SECRET = "hunter2-hunter2"


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Where a server of S3's API answers."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str) -> Iterator[str]:
    """The URL of a fresh bucket."""
    client = boto3.client(
        "s3", endpoint_url=s3, aws_access_key_id="k", aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )  # fmt: skip
    client.create_bucket(Bucket="kept")
    yield f"s3://k:{SECRET}@kept/some/prefix?endpoint={s3}"
    for item in client.list_objects_v2(Bucket="kept").get("Contents", []):
        client.delete_object(Bucket="kept", Key=item["Key"])
    client.delete_bucket(Bucket="kept")


@pytest.fixture(params=["folder", "s3", "s3 without copies"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    """Each place in turn."""
    match request.param:
        case "folder":
            return BlobStore(tmp_path / "blobs")
        case "s3":
            return S3Blobs(tmp_path / "blobs", request.getfixturevalue("bucket"))
        case _:
            return Forgetful(tmp_path / "blobs", request.getfixturevalue("bucket"))


class Forgetful(S3Blobs):
    """A bucket whose folder loses each copy at once, as if another computer had put it."""

    async def put(self, content, *, limit):
        blob = await super().put(content, limit=limit)
        shutil.rmtree(self._folder)
        return blob


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_a_place_for_blobs_keeps_the_contract(
    blobs: Blobs, check: Callable[[Blobs], Awaitable[None]]
):
    """The whole suite, on each place."""
    await check(blobs)


async def test_a_bucket_that_holds_other_bytes_is_found_out(tmp_path: Path, bucket: str, s3: str):
    """What the bucket has is compared, though the copy here is sound."""
    store = S3Blobs(tmp_path / "blobs", bucket)
    blob = await store.put(pieces(b"abc"), limit=3)
    client = boto3.client(
        "s3", endpoint_url=s3, aws_access_key_id="k", aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )  # fmt: skip
    key = f"some/prefix/sha256/{blob.sha256[:2]}/{blob.sha256[2:]}"
    client.put_object(Bucket="kept", Key=key, Body=b"abd")
    with pytest.raises(LedgerCorrupt, match=blob.sha256):
        await store.verify(blob.sha256)
    client.delete_object(Bucket="kept", Key=key)
    with pytest.raises(FileNotFound):
        await store.verify(blob.sha256)


async def test_sweeping_removes_copies_and_nothing_from_the_bucket(tmp_path: Path, bucket: str):
    """What was swept is got from the bucket."""
    store = S3Blobs(tmp_path / "blobs", bucket)
    blob = await store.put(pieces(b"abc"), limit=3)
    assert await store.sweep(before=1) == 0
    assert await store.sweep(before=1e12) == 1
    assert not store.path(blob.sha256).exists()
    assert await whole(store, blob.sha256) == b"abc"


async def test_a_bucket_that_cannot_be_used_is_named_without_the_secret(tmp_path: Path, s3: str):
    """One that is not there, and a server that is not: each may be tried again."""
    for url in (
        f"s3://k:{SECRET}@nothing?endpoint={s3}",
        f"s3://k:{SECRET}@kept?endpoint=http://127.0.0.1:1",
    ):
        with pytest.raises(StorageUnreachable) as caught:
            await S3Blobs(tmp_path / "blobs", url).put(pieces(b"abc"), limit=3)
        assert SECRET not in f"{caught.value.message} {caught.value.hint} {caught.value.__cause__}"
        assert caught.value.retry


async def test_a_refused_key_is_named(tmp_path: Path):
    """A server that answers 403 to everything: the key's fault, and not to be tried again."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        url = f"s3://k:{SECRET}@kept?endpoint=http://127.0.0.1:{port}"
        with pytest.raises(StorageRefused) as caught:
            await S3Blobs(tmp_path / "blobs", url).put(pieces(b"abc"), limit=3)
    assert SECRET not in f"{caught.value.message}{caught.value.__cause__}"
    assert not caught.value.retry


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/bucket",
        "s3://",
        f"s3://k:{SECRET}@bucket:x",
        f"s3://k:{SECRET}@bucket?what=1",
    ],
)
def test_a_url_of_something_else_is_refused(tmp_path: Path, url: str):
    """The form is told, the secret is not."""
    with pytest.raises(SettingsInvalid) as caught:
        S3Blobs(tmp_path, url)
    assert SECRET not in f"{caught.value.message}{caught.value.__cause__}"
    assert "endpoint=" in caught.value.hint
