"""What the server logs: each request once, with ids to find it by, and never a secret."""

import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.routing import APIRoute

from forge.about import about
from forge.cli.logs import log_server
from forge.server.app import PAGES
from served import PASSWORD, Served, served

SECRET = "sekret-words-of-a-setting"
VALUE = "a-secret-that-a-person-keeps"
_HINT = 20
"""A key's first letters are no secret: they say which key it is."""


@contextmanager
def logged(form: Any = "json") -> Iterator[io.StringIO]:
    """What is logged in the block: all of our own, and more of libraries than is ever heard."""
    stream = io.StringIO()
    names = (None, "forge", "uvicorn", "uvicorn.error")
    before = {name: logging.getLogger(name).level for name in names}
    handler = log_server("debug", form, [SECRET], stream)
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.DEBUG if name else logging.INFO)
        yield stream
    finally:
        logging.getLogger().removeHandler(handler)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, single_user=False) as server:
        yield server


async def session(server: Served) -> set[str]:
    """Use everything that has a secret, then every route with nonsense; returns the secrets."""
    key = await server.person("root", role="admin")
    secrets = {key, PASSWORD, VALUE, SECRET}
    async with server.client(Origin=server.url) as browser:
        secrets |= await _logged_in(browser)
        secrets |= await _used(browser)
        asked = await browser.post("/api/chat", json={"message": f"```python\nprint('{key}')\n```"})
        assert asked.is_success
    async with server.client(key) as program:
        secrets |= _tokens((await program.post("/api/admin/invites", json={})).json())
        link = min(each for each in secrets if each.startswith("fgl_"))
        for method, path in _routes():
            address = path.replace("{token}", link)
            for name in ("run_id", "conversation_id", "file_id", "user_id", "share_id", "key_id"):
                address = address.replace(f"{{{name}}}", key)
            await program.request(method, address.replace("{name}", key), json={"password": key})
    return secrets


async def _logged_in(browser: httpx2.AsyncClient) -> set[str]:
    login = {"email": "ada@example.org", "password": PASSWORD}
    assert (await browser.post("/api/auth/sign-up", json={**login, "name": "Ada"})).is_success
    first = set(dict(browser.cookies).values())
    wrong = {**login, "password": VALUE}
    assert (await browser.post("/api/auth/log-in", json=wrong)).status_code == 401
    assert (await browser.post("/api/auth/log-in", json=login)).is_success
    second = set(dict(browser.cookies).values())
    assert first != second
    return first | second


async def _used(browser: httpx2.AsyncClient) -> set[str]:
    """Make a key, keep a secret, share a conversation, sign an address."""
    made = await browser.post("/api/me/keys", json={"name": "k", "scopes": ["read"]})
    assert (await browser.put("/api/settings/secrets/mine", json={"value": VALUE})).is_success
    talk = (await browser.post("/api/conversations", json={})).json()["id"]
    share = await browser.post(f"/api/conversations/{talk}/shares", json={})
    sent = await browser.post("/api/upload", params={"name": "a.txt"}, content=b"bytes")
    link = await browser.post(f"/api/artifacts/{sent.json()['id']}/link")
    address = link.json()["url"]
    assert (await browser.get("/api/" + address.partition("/api/")[2])).is_success
    return _tokens(made.json()) | _tokens(share.json()) | {address.partition("signature=")[2]}


def _routes() -> list[tuple[str, str]]:
    return [
        (method, route.path)
        for page in PAGES
        for route in page.router.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods)
    ]


def _tokens(answer: dict[str, Any]) -> set[str]:
    found = {str(each) for each in answer.values() if str(each).rpartition("#")[2][:2] == "fg"}
    assert found, answer
    return {token for each in found if len(token := re.split("[/#]", each)[-1]) > _HINT}


@pytest.mark.parametrize("form", ["json", "console"])
async def test_no_secret_is_ever_logged(server: Served, form: str):
    """Passwords, logins' cookies, keys, invites, links, signed addresses, kept secrets: after a
    session that uses all of them and every route, heard at every level, none is in the log.
    """
    with logged(form) as stream:
        secrets = await session(server)
        logging.getLogger("forge.x").error("%s", SECRET, extra={"headers": {"Cookie": VALUE}})
        logging.getLogger("a.library").warning("password=%s", VALUE)
    said = stream.getvalue()
    assert len(secrets) >= 9, "the session used fewer secrets than there are"
    assert "/api/me/keys" in said
    for secret in secrets:
        assert secret not in said


async def test_each_request_has_one_line_and_its_id_is_in_the_answer(server: Served):
    """One can go from an answer to all that was logged for it, and from a run to its request."""
    key = await server.person("ada")
    with logged() as stream:
        async with server.client(key) as client:
            answer = await client.get("/api/runs/run_nope")
            given = {"X-Request-Id": "proxy-0001"}
            await client.post("/api/chat", json={"message": "hello"}, headers=given)
    access = [each for each in lines(stream) if each["logger"] == "forge.access"]
    assert [(each["event"], each["status"], each["request_id"]) for each in access] == [
        ("GET /api/runs/{run_id} 404", 404, answer.headers["x-request-id"]),
        ("POST /api/chat 200", 200, "proxy-0001"),
    ]
    assert all(each["duration_ms"] > 0 and each["at"] and each["level"] for each in access)


def test_an_error_is_one_line_with_its_traceback_and_its_ids():
    """Also in JSON; and what it says of secrets is blotted out."""
    with logged() as stream, about(request_id="r1"), about(run_id="run_1"):
        try:
            raise ValueError(f"no such token: {SECRET}")
        except ValueError:
            logging.getLogger("forge.x").exception("it failed")
    (line,) = lines(stream)
    assert (line["level"], line["request_id"], line["run_id"]) == ("error", "r1", "run_1")
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: no such token: ***")


def test_libraries_are_heard_from_a_warning_on_and_forge_from_where_it_is_set():
    """What a library says below that may hold what people wrote."""
    with logged() as stream:
        for name, level in ((None, logging.WARNING), ("forge", logging.INFO)):
            logging.getLogger(name).setLevel(level)
        logging.getLogger("openai").info("the whole prompt")
        logging.getLogger("forge.x").debug("not heard")
        logging.getLogger("forge.x").info("heard")
    assert [each["event"] for each in lines(stream)] == ["heard"]
