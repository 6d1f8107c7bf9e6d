"""What strangers send over HTTP: answered as a problem, bounded, and never with another's data."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from served import Served, served

HTML = b"<script>fetch('/api/me').then(r => r.text()).then(alert)</script>"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, upload_limit=1 << 20) as server:
        yield server


async def raw(server: Served, *parts: bytes, pause_s: float = 0) -> bytes:
    """What the server answers to these bytes, up to the connection's end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.close()


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    """A request whose connection ends with its answer."""
    head = [line, "Host: localhost", "Connection: close", *headers, "", ""]
    return "\r\n".join(head).encode() + body


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
        ("Content-Length: 2", "Content-Length: 30"),
        ("Content-Length: +2",),
        ("Content-Length: -1",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding : chunked",),
        ("X: a\x00b",),
        ("X: " + "a" * 70_000,),
    ],
)
async def test_a_request_that_two_servers_would_read_differently_is_refused(
    server: Served, headers: tuple[str, ...]
):
    """Smuggling: whatever follows such a head is never taken for a second request."""
    hidden = request("GET /api/me HTTP/1.1")
    answer = await raw(
        server,
        request(
            "POST /api/conversations HTTP/1.1",
            "Content-Type: application/json",
            *headers,
            body=b"{}" + hidden,
        ),
    )
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert b'"via"' not in answer


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(server: Served):
    """Announced, or chunk by chunk without an end."""
    announced = await raw(
        server,
        request(
            "POST /api/conversations HTTP/1.1",
            "Content-Type: application/json",
            "Content-Length: 99999999999",
        ),
    )
    assert announced.startswith(b"HTTP/1.1 413 ")

    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 32_768

    async with server.client() as client:
        answer = await client.post(
            "/api/conversations",
            content=unannounced(),
            headers={"Content-Type": "application/json"},
        )
        assert (answer.status_code, answer.json()["code"]) == (413, "request_entity_too_large")
        answer = await client.post("/api/upload?name=big", content=unannounced())
        assert answer.status_code in (413, 422)
        assert (await client.get("/api/artifacts")).json()["items"] == []


async def test_a_client_that_sends_a_byte_now_and_then_holds_nobody_up(server: Served):
    """Slow-loris: a hundred unfinished requests, and others are answered at once."""
    held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(100)]
    try:
        for _, writer in held:
            writer.write(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Le")
        async with server.client() as client, asyncio.timeout(10):
            for _ in range(5):
                assert (await client.get("/healthz")).status_code == 200
    finally:
        for _, writer in held:
            writer.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"message": 1}',
        b'{"message": ""}',
        b'{"message": "x", "extra": 1}',
        b'{"message": "\\ud800"}',
        b'{"message": "x", "caps": {"usd": "NaN"}}',
        b'{"message": "x", "caps": {"iterations": -1}}',
        b'{"message": "x", "conversation_id": "../../etc/passwd"}',
        b'{"message": "x", "files": ["file_none"]}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"message": ' + b"1" * 5_000 + b"}",
    ],
)
async def test_a_question_that_cannot_be_carried_out_is_a_problem_and_leaves_nothing(
    server: Served, body: bytes
):
    """Before the stream begins: no run, and a status that says whose fault it is."""
    async with server.client() as client:
        headers = {"Content-Type": "application/json"}
        answer = await client.post("/api/chat", content=body, headers=headers)
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["detail"]
        assert problem["request_id"] == answer.headers["x-request-id"]
        assert (await client.get("/api/runs")).json()["items"] == []


@pytest.mark.parametrize("number", ["-1", "x", "1e3", "9" * 20, "\uff11", "0x1"])
async def test_a_place_in_a_stream_that_is_none_is_a_problem(server: Served, number: str):
    """And not a stream from somewhere else."""
    async with server.client() as client:
        message = {"message": "```python\nprint(1)\n```"}
        events = (await client.post("/api/chat", json=message)).text
        run_id = json.loads(events.partition("data: ")[2].partition("\n")[0])["run_id"]
        path = f"/api/runs/{run_id}/events"
        headers = [(b"Last-Event-ID", number.encode())]
        assert (await client.get(path, headers=headers)).status_code in (400, 422)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/cron.d/x",
        "a/b",
        "..",
        "a\x00b",
        "x" * 300,
        "a\nSet-Cookie: b=c",
        "a\u202egpj.exe",
    ],
)
async def test_an_uploads_name_is_no_path_and_no_header(server: Served, name: str):
    """Refused, and nothing is kept."""
    async with server.client() as client:
        answer = await client.post("/api/upload", params={"name": name}, content=b"x")
        assert answer.status_code == 422, answer.text
        assert (await client.get("/api/artifacts")).json()["items"] == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.html", HTML),
        ("picture.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("picture.png", HTML),
        ("code.js", b"alert(1)"),
        ("page.xml", b"<?xml version='1.0'?><x xmlns='http://www.w3.org/1999/xhtml'/>"),
    ],
)
async def test_a_hostile_file_can_do_nothing_in_a_browser(
    server: Served, name: str, content: bytes
):
    """As a download it is never shown; in the console's frame it has no origin and no network."""
    async with server.client() as client:
        file = (await client.post("/api/upload", params={"name": name}, content=content)).json()
        for shown in (False, True):
            answer = await client.get(f"/api/artifacts/{file['id']}/content?shown={shown}")
            assert answer.content == content
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("sandbox")
            assert "allow-same-origin" not in policy
            assert "connect-src 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            if not shown:
                assert answer.headers["content-disposition"].startswith("attachment")
                assert answer.headers["content-type"] not in ("text/html", "image/svg+xml")


async def test_what_people_say_is_never_html(server: Served):
    """A title, a message and an error come back as JSON that no browser reads as a page."""
    async with server.client() as client:
        script = "<script>alert(1)</script>"
        made = (await client.post("/api/conversations", json={"title": script})).json()
        for path in (
            "/api/conversations",
            f"/api/conversations/{made['id']}",
            f"/api/conversations/{script}",
            f"/{script}",
            f"/api/runs/{script}",
        ):
            answer = await client.get(path)
            assert answer.headers["content-type"].startswith("application/"), path
            assert "json" in answer.headers["content-type"]
            assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "wrong",
    ["' OR 1=1 --", '"; DROP TABLE runs; --', "%", "_", "\\", "\u0000", "run_" + "x" * 9000],
)
async def test_what_is_asked_for_is_never_part_of_a_statement(server: Served, wrong: str):
    """Ids, cursors and names with another meaning in SQL or LIKE find nothing."""
    async with server.client() as client:
        message = {"message": "```python\nprint(1)\n```"}
        await client.post("/api/chat", json=message)
        for path in ("/api/runs/", "/api/conversations/", "/api/artifacts/", "/api/shared/"):
            answer = await client.get(path + quote(wrong, safe=""))
            assert 400 <= answer.status_code < 500, (path, answer.text)
        for path in ("/api/runs", "/api/conversations", "/api/artifacts"):
            answer = await client.get(path, params={"cursor": wrong})
            assert answer.status_code < 500, (path, answer.text)
        assert len((await client.get("/api/runs")).json()["items"]) == 1
