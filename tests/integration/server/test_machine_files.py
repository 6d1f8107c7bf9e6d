"""A conversation's machine over HTTP while nothing runs in it: its files and its use.

Its machines are folders of this host; `test_conversations_machine` does the same with real ones.
"""

import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from asking import asked
from served import Served, served


@asynccontextmanager
async def machine(server: Served) -> AsyncIterator[tuple[httpx2.AsyncClient, str]]:
    """A client, and the address of a machine of its conversation."""
    async with server.client() as client:
        made = (await client.post("/api/conversations", json={})).json()
        yield client, f"/api/sandbox/{made['id']}"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as server:
        yield server


async def test_files_are_moved_and_removed_and_folders_made(server: Served):
    """What is done twice says so; what cannot be done is a problem."""
    async with machine(server) as (client, base):
        await client.put(f"{base}/files/content?path=a/b.txt", content=b"here")
        wanted = {"source": "a/b.txt", "target": "c/d.txt"}
        moved = await client.post(f"{base}/files/move", json=wanted)
        assert (moved.status_code, moved.json()) == (200, wanted)
        assert (await client.get(f"{base}/files/content?path=c/d.txt")).content == b"here"
        again = await client.post(f"{base}/files/move", json=wanted)
        assert (again.status_code, again.json()["code"]) == (404, "file_not_found")
        for made in (True, False):
            answer = await client.post(f"{base}/files/folder", json={"path": "e/f"})
            assert (answer.status_code, answer.json()) == (201, {"path": "e/f", "made": made})
        for removed in (True, False):
            answer = await client.delete(f"{base}/files?path=c")
            assert answer.json() == {"path": "c", "removed": removed}
        listed = (await client.get(f"{base}/files?depth=3")).json()["items"]
        assert [each["path"].removeprefix("/home/user/") for each in listed] == ["a", "e", "e/f"]
        assert (await client.delete(f"{base}/files?path=/etc")).status_code == 422


async def test_a_folder_is_taken_away_as_tar_and_as_zip(server: Served):
    """Whole, with a name that a file system takes; links are named in the zip and not in it."""
    async with machine(server) as (client, base):
        for name in ("a.txt", "sub/b.bin"):
            await client.put(f"{base}/files/content?path={name}", content=name.encode() * 50_000)
        (server.home.provider.made[-1].home / "evil").symlink_to("/etc/passwd")
        tar = await client.get(f"{base}/files/archive")
        assert tar.headers["content-type"] == "application/x-tar"
        answer = await client.get(f"{base}/files/archive?format=zip")
        assert answer.headers["content-type"] == "application/zip"
        assert answer.headers["content-disposition"].endswith(".zip")
        with zipfile.ZipFile(io.BytesIO(answer.content)) as read:
            assert read.testzip() is None
            files = {name for name in read.namelist() if not name.endswith("/")}
            assert files == {"a.txt", "sub/b.bin", "left-out.txt"}
            assert read.read("sub/b.bin") == b"sub/b.bin" * 50_000
            assert b"evil" in read.read("left-out.txt")
        nothing = await client.get(f"{base}/files/archive?format=zip&path=nowhere")
        assert nothing.status_code == 404


async def test_a_machine_says_what_it_uses(server: Served):
    """Once there is one; and the server says what machines it makes, and why those."""
    async with machine(server) as (client, base):
        none = await client.get(f"{base}/metrics")
        assert (none.status_code, none.json()["code"]) == (404, "machine_unknown")
        await client.post(f"{base}/start")
        used = (await client.get(f"{base}/metrics")).json()
        assert used["state"] == "running"
        assert used["memory_limit_bytes"] == used["disk_limit_bytes"] == 1 << 30
        assert 0 <= used["cpu_percent"] <= 800
        ability = (await client.get("/api/sandbox")).json()
        assert (ability["provider"], ability["template"]) == ("local", "base")
        assert ability["pool"] is None


async def test_all_that_a_conversation_made_is_taken_away_as_a_zip(server: Served):
    """The newest of each name; what was uploaded is not among it."""
    make = "```python\nopen('a.txt', 'w').write('{}')\nopen('b.txt', 'w').write('b')\n```"
    async with server.client() as client:
        first, _ = await asked(client, make.format("old"))
        talk = {"conversation_id": first["conversation_id"]}
        await asked(client, make.format("new"), **talk)
        await client.post(
            f"/api/upload?name=mine.txt&conversation_id={talk['conversation_id']}", content=b"x"
        )
        place = f"/api/conversations/{talk['conversation_id']}/artifacts/archive"
        answer = await client.get(place)
        with zipfile.ZipFile(io.BytesIO(answer.content)) as read:
            assert {name: read.read(name) for name in read.namelist()} == {
                "a.txt": b"new",
                "b.txt": b"b",
            }
        assert (await client.get(place.replace("conv_", "conv_x"))).status_code == 404
