"""Logging in at another provider, over real HTTP: a provider, a browser and a server."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from forge.testing.oidc import CLIENT_ID, OidcProvider, Signing, oidc_provider, shared_token
from loggingin import browser, server_of
from served import PASSWORD, Served, served

SECRET = "the shared secret of a project of the tests"


@pytest.fixture
async def provider() -> AsyncIterator[OidcProvider]:
    async with oidc_provider() as provider:
        yield provider


@pytest.fixture
async def server(tmp_path: Path, provider: OidcProvider) -> AsyncIterator[Served]:
    async with server_of(tmp_path, provider, secret=SECRET) as server:
        yield server


async def test_who_logs_in_at_another_provider_has_an_account_here(server: Served):
    """The first login makes it, the second finds it."""
    async with browser(server) as first, browser(server) as second:
        answer = await first.log_in()
        assert answer.status_code == 200, answer.text
        me = await first.me()
        assert (me["name"], me["email"], me["via"]) == (
            "Ada Lovelace",
            "ada@example.org",
            "session",
        )
        await second.log_in()
        assert (await second.me())["id"] == me["id"]


async def test_a_browser_is_sent_away_with_what_only_it_can_come_back_with(
    server: Served, provider: OidcProvider
):
    """PKCE, state and nonce, each fresh; our own address alone to come back to; a cookie that
    scripts do not read and that ends.
    """
    async with browser(server) as one:
        asked = []
        for _ in range(2):
            started = await one.start()
            place = urlsplit(started.headers["location"])
            assert f"{place.scheme}://{place.netloc}{place.path}" == f"{provider.issuer}/authorize"
            asked.append({name: each[0] for name, each in parse_qs(place.query).items()})
            cookie = started.headers["set-cookie"]
            assert cookie.startswith("forge_login=")
            assert {"HttpOnly", "SameSite=lax", "Max-Age=600"} <= set(cookie.split("; "))
        assert asked[0]["redirect_uri"] == "http://localhost:0/api/auth/oidc/callback"
        assert (asked[0]["client_id"], asked[0]["code_challenge_method"]) == (CLIENT_ID, "S256")
        for name in ("state", "nonce", "code_challenge"):
            assert len(asked[0][name]) >= 43
            assert asked[0][name] != asked[1][name]


@pytest.mark.parametrize("sign_up", ["invite", "closed"])
async def test_a_first_login_makes_no_account_where_people_do_not_sign_up(
    tmp_path: Path, provider: OidcProvider, sign_up: str
):
    """By the code flow, or with a token of Supabase's."""
    async with server_of(tmp_path, provider, sign_up=sign_up) as server:
        async with browser(server) as stranger:
            answer = await stranger.log_in()
            assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
            assert "set-cookie" not in answer.headers
        async with server.client(provider.token()) as client:
            assert (await client.get("/api/me")).status_code == 403


async def test_a_disabled_account_is_let_in_by_no_provider(server: Served, provider: OidcProvider):
    """Neither by a new login, nor by a token that still counts there."""
    async with browser(server) as ada, server.client(await server.person("r", "admin")) as root:
        await ada.log_in()
        ids = [(await ada.me())["id"]]
        async with server.client(provider.token()) as client:
            ids.append((await client.get("/api/me")).json()["id"])
            for each in ids:
                assert (await root.post(f"/api/admin/users/{each}/disable")).status_code == 204
            assert (await client.get("/api/me")).status_code == 403
        assert (await ada.client.get("/api/me")).status_code == 401
        assert (await ada.log_in()).status_code == 403


async def test_a_token_of_supabase_is_a_login(server: Served, provider: OidcProvider):
    """Signed by a public key or, as older projects have it, with the shared secret; the same person
    is the same account.
    """
    provider.person = {"sub": "2c1f", "user_metadata": {"full_name": "Ada"}, "email": "a@b.example"}
    async with server.client(provider.token()) as client:
        me = (await client.get("/api/me")).json()
        assert (me["name"], me["email"], me["via"]) == ("Ada", None, "token")
        assert (await client.post("/api/conversations", json={})).status_code == 201
    claims = {"iss": f"{provider.issuer}/auth/v1", "aud": "authenticated", "role": "authenticated"}
    older = shared_token({**claims, "sub": "2c1f", "exp": 4_000_000_000}, SECRET)
    async with server.client(older) as client:
        assert (await client.get("/api/me")).json()["id"] == me["id"]


async def test_elliptic_keys_count_too(tmp_path: Path):
    """ES256, as new projects of Supabase sign."""
    async with oidc_provider("ES256") as provider, server_of(tmp_path, provider) as server:
        async with server.client(provider.token()) as client:
            assert (await client.get("/api/me")).status_code == 200
        async with browser(server) as ada:
            assert (await ada.log_in()).status_code == 200


async def test_a_changed_key_is_found_without_a_restart(tmp_path: Path, provider: OidcProvider):
    """A token that names a key that is not known yet makes us ask again."""
    async with server_of(tmp_path, provider) as server, browser(server) as ada:
        provider.keys.append(Signing("RS256", "second"))
        await ada.log_in()
        provider.keys.reverse()
        assert (await ada.log_in()).status_code == 200


async def test_keys_and_sessions_count_beside_supabase(server: Served):
    """What is no signed token is looked up as before."""
    async with server.client(await server.person("ada")) as client:
        assert (await client.get("/api/me")).json()["via"] == "key"
    async with server.client("nonsense") as nobody:
        assert (await nobody.get("/api/me")).status_code == 401


async def test_the_ways_in_are_said_to_everybody(
    tmp_path: Path, server: Served, provider: OidcProvider
):
    """A page can draw its buttons before anybody is logged in."""
    async with server.client() as nobody:
        assert (await nobody.get("/api/auth/ways")).json() == {
            "single_user": False,
            "password": True,
            "sign_up": "open",
            "oidc": {"name": "The tests", "url": "/api/auth/oidc/start"},
            "supabase": {"url": provider.issuer},
        }
    async with served(tmp_path / "alone") as alone, alone.client() as nobody:
        ways = (await nobody.get("/api/auth/ways")).json()
        assert (ways["single_user"], ways["password"], ways["oidc"]) == (True, False, None)
        assert (await nobody.get("/api/auth/oidc/start")).status_code == 404
        assert (await nobody.get("/api/auth/oidc/callback")).status_code == 404


async def test_a_login_by_password_goes_on_beside_it(server: Served):
    """Another provider takes nothing away."""
    async with server.client(Origin=server.url) as grace:
        body = {"email": "grace@example.org", "name": "Grace", "password": PASSWORD}
        assert (await grace.post("/api/auth/sign-up", json=body)).status_code == 204


async def test_an_account_of_another_provider_has_no_password(server: Served):
    """And none can be guessed."""
    async with browser(server) as ada:
        await ada.log_in()
        body = {"email": "ada@example.org", "password": ""}
        answer: httpx2.Response = await ada.client.post(
            "/api/auth/log-in", json=body, headers={"Origin": server.url}
        )
        assert answer.status_code == 401
