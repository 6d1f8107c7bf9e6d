"""Logging in over HTTP: cookies, keys, sites, and what each person can reach."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from fastapi.routing import APIRoute

from forge.server.app import PAGES
from served import PASSWORD, Served, served
from things import Things

SIGN_UP = {"email": "ada@example.org", "name": "Ada", "password": PASSWORD}
PUBLIC = {
    "/healthz",
    "/readyz",
    "/api/auth/sign-up",
    "/api/auth/log-in",
    "/api/auth/ways",
    "/api/auth/oidc/start",
    "/api/auth/oidc/callback",
    "/api/shared/{token}",
    "/api/download/{user_id}/{file_id}",
    "/api/preview/{user_id}/{conversation_id}/{port}/{expires}/{signature}/{path:path}",
}
"""What nobody needs to be logged in for."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, single_user=False) as server:
        yield server


def routes() -> list[tuple[str, str]]:
    """Every route but the terminal: its method and path."""
    return [
        (method, route.path)
        for page in PAGES
        for route in page.router.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods)
    ]


async def test_a_browser_logs_in_by_a_cookie_that_scripts_and_other_sites_do_not_get(
    server: Served,
):
    """HttpOnly, SameSite; with HTTPS also Secure and bound to the host by its name."""
    site = {"Origin": server.url}
    async with server.client(**site) as browser:
        answer = await browser.post("/api/auth/sign-up", json=SIGN_UP)
        assert answer.status_code == 204
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        me = (await browser.get("/api/me")).json()
        assert (me["name"], me["via"], me["role"]) == ("Ada", "session", "user")
        assert (await browser.post("/api/auth/log-out")).status_code == 204
        assert (await browser.get("/api/me")).status_code == 401
        login = {"email": "ADA@example.org", "password": PASSWORD}
        assert (await browser.post("/api/auth/log-in", json=login)).status_code == 204
        assert (await browser.get("/api/me")).status_code == 200


async def test_with_https_the_cookie_is_bound_to_this_host(tmp_path: Path):
    """`__Host-` cookies cannot be set by a neighbour's subdomain."""
    async with (
        served(tmp_path, single_user=False, public_url="https://forge.example") as server,
        server.client(Host="forge.example") as browser,
    ):
        answer = await browser.post("/api/auth/sign-up", json=SIGN_UP)
        assert answer.headers["set-cookie"].startswith("__Host-forge=")
        assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
    ],
)
async def test_another_sites_page_changes_nothing_in_a_persons_name(
    server: Served, headers: dict[str, str], status: int
):
    """A request with a cookie must come from here, and say so."""
    async with server.client(Origin=server.url) as browser:
        await browser.post("/api/auth/sign-up", json=SIGN_UP)
        cookies = dict(browser.cookies)
    async with httpx2.AsyncClient(base_url=server.url, cookies=cookies) as browser:
        answer = await browser.post("/api/conversations", json={}, headers=headers)
        assert answer.status_code == status
        assert (await browser.get("/api/me")).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_nor_where_nobody_logs_in(tmp_path: Path, headers: dict[str, str]):
    """The user of this computer has no login that a page would lack."""
    async with served(tmp_path) as server, server.client(**headers) as page:
        answer = await page.post("/api/conversations", json={})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


async def test_a_server_on_this_computer_is_not_reached_under_a_strangers_name(tmp_path: Path):
    """DNS rebinding: a page of a stranger's, whose name leads here, gets nothing."""
    async with served(tmp_path) as server, server.client(Host="evil.example") as page:
        for path in ("/api/me", "/healthz", "/api/openapi.json"):
            assert (await page.get(path)).status_code == 421


async def test_every_route_but_the_public_ones_asks_who_it_is(server: Served):
    """Without a login, with a made-up key, and with a revoked one."""
    key = await server.person("ada")
    async with server.client(key) as ada:
        made = (await ada.post("/api/me/keys", json={"name": "x", "scopes": ["read"]})).json()
        await ada.delete(f"/api/me/keys/{made['id']}")
    seen = set()
    for token in ("", "fgk_" + "x" * 43, made["key"]):
        async with server.client(token) as nobody:
            for method, path in routes():
                if path in PUBLIC:
                    seen.add(path)
                    continue
                filled = re.sub(
                    r"\{\w+(:path)?\}", lambda m: "1" if m[0] == "{port}" else "run_1", path
                )
                answer = await nobody.request(method, filled, json={})
                assert answer.status_code == 401, (method, path)
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["code"] == "login_required"
    assert seen == PUBLIC


async def test_a_key_reaches_what_its_scopes_name_and_no_more(server: Served):
    """A key without any scope that a route needs is refused there, by every route."""
    key = await server.person("root", "admin")
    async with server.client(key) as root:
        for scope in ("read", "write", "run"):
            body = {"name": scope, "scopes": [scope]}
            made = (await root.post("/api/me/keys", json=body)).json()
            async with server.client(made["key"]) as narrow:
                for path in ("/api/admin/users", "/metrics"):
                    assert (await narrow.get(path)).status_code == 403
                assert (await narrow.get("/api/me")).status_code == (
                    200 if scope == "read" else 403
                )
                answer = await narrow.post("/api/conversations", json={})
                assert answer.status_code == (201 if scope == "write" else 403)
                answer = await narrow.post("/api/sandbox/probe")
                assert answer.status_code == (200 if scope == "run" else 403)


BODIES = {
    "/api/runs/{run_id}/steer": {"text": "hello"},
    "/api/runs/{run_id}/approve": {"call_id": "c"},
    "/api/runs/{run_id}/deny": {"call_id": "c"},
    "/api/runs/{run_id}/resume": {"caps": {"iterations": 1}},
    "/api/conversations/{conversation_id}": {"title": "taken"},
    "/api/sandbox/{conversation_id}/files/move": {"source": "a", "target": "b"},
    "/api/sandbox/{conversation_id}/files/folder": {"path": "a"},
}


async def test_nobody_reaches_what_is_anothers_through_any_route(server: Served):
    """Every route that takes an id, with every id of another person's: it is not there. An admin
    is another person too.
    """
    things = Things()
    root_key, ada_key, eve_key = (
        await server.person("root", "admin"),
        await server.person("ada"),
        await server.person("eve"),
    )
    async with (
        server.client(root_key) as root,
        server.client(ada_key) as ada,
        server.client(eve_key) as eve,
    ):
        await things.make(ada)
        tried = 0
        for who in (eve, root):
            for method, path in routes():
                names = re.findall(r"\{(\w+)(?::path)?\}", path)
                if path in PUBLIC or not names or not set(names) <= set(things.ids):
                    continue
                filled = path.replace(":path", "").format(**things.ids)
                if "/files" in path:
                    filled += "?path=a.txt"
                answer = await who.request(method, filled, json=BODIES.get(path, {}))
                assert answer.status_code == 404, (method, path, answer.text)
                tried += 1
        assert tried > 40
        base = f"/api/conversations/{things.ids['conversation_id']}"
        assert (await ada.get(base)).json()["title"] != "taken"
        assert (await ada.get("/api/settings/secrets")).json()["items"] == ["mine"]


async def test_a_secret_goes_in_and_never_comes_out(server: Served):
    """Not by any route that lists or shows."""
    async with server.client(await server.person("ada")) as ada:
        secret = "sk-ant-not-a-real-key"
        answer = await ada.put("/api/settings/secrets/anthropic", json={"value": secret})
        assert answer.status_code == 204
        for method, path in routes():
            if method == "GET" and "{" not in path:
                assert secret not in (await ada.get(path)).text, path
        assert (await ada.get("/api/settings/secrets")).json()["items"] == ["anthropic"]


async def test_settings_are_ones_own_over_the_servers(server: Served):
    """And only an admin changes the server's."""
    root, ada = await server.person("root", "admin"), await server.person("ada")
    async with server.client(root) as admin, server.client(ada) as user:
        assert (await user.patch("/api/admin/settings", json={})).status_code == 403
        await admin.patch("/api/admin/settings", json={"model": "openai:small"})
        await user.patch("/api/settings", json={"provider_mode": "strict"})
        counts = (await user.get("/api/settings")).json()["counts"]
        assert (counts["model"], counts["provider_mode"]) == ("openai:small", "strict")
        answer = await user.patch("/api/settings", json={"provider_mode": "cloud"})
        assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
