"""A program in a machine serves pages to a browser: whatever it answers, it reaches nobody else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from previewing import Talk, page, talking


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Talk]:
    async with talking(tmp_path) as talk:
        yield talk


async def test_a_page_is_shown_in_a_cage_and_our_keys_stay_out(talk: Talk):
    """No cookie, key or address of ours goes in; no cookie, policy or question comes out."""
    talk.guest.answer = page(
        "Content-Type: text/html",
        "Set-Cookie: forge_session=taken",
        "Set-Cookie: __Host-forge=taken; Path=/; Secure",
        "Content-Security-Policy: default-src *",
        "X-Frame-Options: ALLOWALL",
        "Access-Control-Allow-Credentials: true",
        "Service-Worker-Allowed: /",
        "Clear-Site-Data: *",
        "WWW-Authenticate: Basic realm=password",
        "Refresh: 0;url=https://evil.example",
        "Strict-Transport-Security: max-age=1",
    )
    sent = {"Cookie": "forge_session=secret", "X-Forwarded-For": "10.0.0.1", "Referer": "x"}
    answer = await talk.client.get(f"{talk.base}/a%20b?q=1", headers=sent)
    assert (answer.status_code, answer.content) == (200, b"hello")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox ")
    assert "allow-same-origin" not in policy
    assert "*" not in policy
    for name in (
        "set-cookie",
        "clear-site-data",
        "service-worker-allowed",
        "www-authenticate",
        "refresh",
        "strict-transport-security",
        "access-control-allow-credentials",
    ):
        assert name not in answer.headers
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    (heard,) = talk.guest.heard
    assert heard.startswith(b"GET /a%20b?q=1 HTTP/1.1\r\nHost: localhost:8000\r\n")
    for secret in (b"cookie", b"authorization", b"fgk_", b"forwarded", b"referer", b"origin"):
        assert secret not in heard.lower()
    assert talk.guest.opened[0].closed


@pytest.mark.parametrize(
    ("location", "there"),
    [
        ("http://metadata.example/latest/meta-data", None),
        ("http://127.0.0.1:5432/", None),
        ("//evil.example/", None),
        ("https://localhost:8000/", None),
        ("javascript:alert(1)", None),
        ("http://[::1", None),
        ("\\\\evil.example", None),
        ("/login", "/login"),
        ("/\\evil.example", "/evil.example"),
        ("http://localhost:8000/in?a=b", "/in?a=b"),
    ],
)
async def test_a_redirect_leads_nowhere_but_into_the_machine(
    talk: Talk, location: str, there: str | None
):
    """It is not followed here, and what leads out is not passed on."""
    talk.guest.answer = page(f"Location: {location}", status="302 Found")
    answer = await talk.client.get(f"{talk.base}/")
    assert answer.status_code == 302
    expected = None if there is None else talk.base + there
    assert answer.headers.get("location") == expected
    assert talk.guest.asked == [8000]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 100_000,
        (b"X-A: b\r\n",),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
async def test_an_answer_that_is_none_is_a_problem(talk: Talk, answer: Any):
    """Endless heads, other protocols, heads that two readers would read differently."""
    talk.guest.answer = answer
    shown = await talk.client.get(f"{talk.base}/")
    assert (shown.status_code, shown.json()["code"]) == (404, "port_unreachable")
    assert talk.guest.opened[0].closed


async def test_what_follows_an_answer_is_no_other_answer(talk: Talk):
    """Smuggling: each request has a connection of its own, so nothing waits for the next one."""
    talk.guest.answer = page() + page(body=b"another's")
    assert (await talk.client.get(f"{talk.base}/")).content == b"hello"
    talk.guest.answer = page(body=b"mine")
    assert (await talk.client.get(f"{talk.base}/")).content == b"mine"
    assert len(talk.guest.opened) == 2


async def test_a_program_that_says_nothing_is_given_up(tmp_path: Path):
    """And other ports lead nowhere."""
    answered = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answered.wait()
        writer.close()

    async with talking(tmp_path, preview_wait_s=0.2) as talk:
        assert (await talk.client.get(talk.base.replace("8000", "22") + "/")).status_code == 404
        async with await asyncio.start_server(silent, "127.0.0.1", 0) as listener:
            talk.guest.port = listener.sockets[0].getsockname()[1]
            shown = await talk.client.get(f"{talk.base}/")
            answered.set()
        assert (shown.status_code, shown.json()["code"]) == (404, "port_unreachable")


async def test_a_head_that_comes_drop_by_drop_is_given_up(tmp_path: Path):
    """The whole of it has one deadline, however often some of it comes."""

    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                writer.write(b"X-A: b\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            writer.close()

    async with talking(tmp_path, preview_wait_s=0.3) as talk:
        async with await asyncio.start_server(dripping, "127.0.0.1", 0) as listener:
            talk.guest.port = listener.sockets[0].getsockname()[1]
            shown = await talk.client.get(f"{talk.base}/")
        assert (shown.status_code, shown.json()["code"]) == (404, "port_unreachable")


async def test_no_service_worker_comes_out_of_a_machine(talk: Talk):
    """One would go on in the browser after the page has gone."""
    talk.guest.answer = page("Content-Type: text/javascript", "Service-Worker-Allowed: /")
    answer = await talk.client.get(f"{talk.base}/sw.js", headers={"Service-Worker": "script"})
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert talk.guest.asked == []


async def test_an_endless_body_is_cut_off(tmp_path: Path):
    """After a bound, with the connection."""
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    size = 0
    async with talking(tmp_path, preview_limit=1 << 20) as talk:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        talk.guest.answer = head + chunk * 40
        broken = False
        async with talk.client.stream("GET", f"{talk.base}/") as shown:
            try:
                async for piece in shown.aiter_bytes():
                    size += len(piece)
            except httpx2.RemoteProtocolError:
                broken = True
        assert broken
        assert size <= 1 << 20
        assert talk.guest.opened[0].closed


async def test_a_signed_address_shows_a_page_and_nothing_else(talk: Talk):
    """To whoever has it, with what is posted; changed in any part it is none."""
    link = (await talk.client.post(f"{talk.base}/link")).json()["url"]
    path = link.partition(talk.server.config.url)[2]
    talk.guest.answer = page("Content-Type: text/html", "Access-Control-Allow-Origin: null")
    async with talk.server.client(Origin="null", Cookie="forge_session=secret") as frame:
        answer = await frame.post(path + "form", content=b"a=b")
        assert (answer.status_code, answer.content) == (200, b"hello")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "allow-same-origin" not in answer.headers["content-security-policy"]
        assert b"secret" not in talk.guest.heard[0]
        for wrong in (
            path.replace("/8000/", "/22/"),
            path.replace(talk.id, "conv_other"),
            path[:-2] + ("0/" if path[-2] != "0" else "1/"),
        ):
            assert (await frame.get(wrong)).status_code == 403
    assert talk.guest.asked == [8000]
