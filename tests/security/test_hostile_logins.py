"""Attacks on logins by others: providers that lie, forged tokens, browsers that are led."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from forge.accounts.audit import Origin
from forge.accounts.fetching import Fetcher, open_fetcher
from forge.accounts.flows import Flows, OidcAnswer, OidcClient, new_flow
from forge.accounts.oidc import OidcLogin
from forge.accounts.users import Identity
from forge.clock import SystemClock
from forge.errors import LoginRefused, LoginUnavailable
from forge.testing.clock import FakeClock
from forge.testing.oidc import (
    CLIENT_ID,
    CLIENT_SECRET,
    OidcProvider,
    oidc_provider,
)
from loggingin import browser, server_of
from served import PASSWORD, Served

SECRET = "the shared secret of a project of the tests"
DISCOVERY = "/.well-known/openid-configuration"
LONG_AGO, FAR_OFF = 1_000_000_000, 4_000_000_000


@pytest.fixture
async def provider() -> AsyncIterator[OidcProvider]:
    async with oidc_provider() as provider:
        yield provider


@pytest.fixture
async def server(tmp_path: Path, provider: OidcProvider) -> AsyncIterator[Served]:
    async with server_of(tmp_path, provider, secret=SECRET) as server:
        yield server


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with open_fetcher() as fetcher:
        yield fetcher


@pytest.fixture
def login(provider: OidcProvider, fetcher: Fetcher) -> OidcLogin:
    client = OidcClient(
        provider.issuer, CLIENT_ID, CLIENT_SECRET, "The tests", "http://localhost/callback"
    )
    return OidcLogin(client, fetcher, SystemClock(), b"m" * 32, may_join=True)


async def try_in(login: OidcLogin) -> Identity:
    """The whole way to another provider and back, without a server around it."""
    started = await login.start()
    async with httpx2.AsyncClient() as away:
        back = urlsplit((await away.get(started.url)).headers["location"])
    answer = {name: values[0] for name, values in parse_qs(back.query).items()}
    who, _ = await login.finish(started.cookie, OidcAnswer(**answer), Origin("203.0.113.7"))
    return who


async def refused(server: Served, code: str, status: int) -> str:
    """Log in at a server, which refuses it; no cookie lets anybody in. Returns what was said."""
    async with browser(server) as eve:
        answer = await eve.log_in()
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert "forge_session" not in answer.headers.get("set-cookie", "")
        assert (await eve.client.get("/api/me")).status_code == 401
        return str(answer.json()["detail"])


async def test_an_honest_provider_lets_somebody_in(login: OidcLogin, provider: OidcProvider):
    """Without a lie, what the attacks below are refused for is accepted."""
    assert await try_in(login) == (provider.issuer, "1815")


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another login"},
        {"nonce": None},
        {"aud": "another client"},
        {"aud": "another client", "azp": CLIENT_ID},
        {"aud": None},
        {"aud": []},
        {"aud": [CLIENT_ID, "another client"]},
        {"aud": [CLIENT_ID, "another client"], "azp": "another client"},
        {"azp": "another client"},
        {"iss": "https://login.example"},
        {"iss": None},
        {"exp": LONG_AGO},
        {"exp": None},
        {"exp": "4000000000"},
        {"exp": float("nan")},
        {"iat": FAR_OFF},
        {"nbf": FAR_OFF},
        {"sub": None},
        {"sub": ""},
        {"sub": 1815},
        {"sub": "1" * 256},
        {"sub": "18\n15"},
        {"at_hash": "of another token"},
    ],
    ids=lambda claims: "-".join(f"{name}={str(value)[:12]}" for name, value in claims.items()),
)
async def test_a_token_that_is_not_for_this_login_lets_nobody_in(
    login: OidcLogin, provider: OidcProvider, claims: dict[str, Any]
):
    """Well signed, and for another client, another login, another time, or about nobody."""
    provider.lies.claims = claims
    with pytest.raises(LoginRefused):
        await try_in(login)


@pytest.mark.parametrize("signature", ["none", "public-as-secret", "other-key"])
async def test_a_token_that_the_provider_has_not_signed_lets_nobody_in(
    server: Served, provider: OidcProvider, signature: str
):
    """`alg: none`; HS256 with the public key as the secret; another key under the right name."""
    provider.lies.signature = signature
    await refused(server, "login_refused", 401)
    async with server.client(provider.token()) as eve:
        answer = await eve.get("/api/me")
        assert (answer.status_code, answer.json()["code"]) == (401, "login_refused")


@pytest.mark.parametrize(
    "head",
    [
        {"alg": "HS256"},
        {"alg": "ES256"},
        {"alg": "RS384"},
        {"alg": None},
        {"alg": ["RS256"]},
        {"kid": 7},
        {"kid": "../../first"},
        {"crit": ["exp"]},
        {"crit": ["b64"], "b64": False},
    ],
    ids=str,
)
async def test_a_head_that_says_otherwise_lets_nobody_in(
    login: OidcLogin, provider: OidcProvider, head: dict[str, Any]
):
    """The algorithm belongs to the key, and what must be understood must be."""
    provider.lies.head = head
    with pytest.raises(LoginRefused):
        await try_in(login)


@pytest.mark.parametrize(
    "query", [{"state": "another"}, {"state": ""}, {"code": ""}, {"iss": "https://login.example"}]
)
async def test_an_answer_that_is_not_of_this_login_lets_nobody_in(
    login: OidcLogin, provider: OidcProvider, query: dict[str, str]
):
    """Nor does it cost a question to the provider."""
    provider.lies.query = query
    with pytest.raises(LoginRefused):
        await try_in(login)
    assert provider.asked["/token"] == 0


async def test_an_attackers_answer_logs_no_victim_in(server: Served):
    """Login fixation: eve leads ada's browser to the end of a login that eve began."""
    async with browser(server) as eve, browser(server) as ada:
        back = await eve.away(await eve.start())
        assert (await ada.client.get(back)).status_code == 401
        await ada.start()
        assert (await ada.client.get(back)).status_code == 401
        assert (await ada.client.get("/api/me")).status_code == 401


async def test_a_code_is_good_once(server: Served):
    """Whoever sees the address afterwards has nothing."""
    async with browser(server) as ada, browser(server) as eve:
        started = await ada.start()
        back = await ada.away(started)
        kept = dict(ada.client.cookies)
        assert (await ada.client.get(back)).status_code == 200
        eve.client.cookies.update(kept)
        assert (await eve.client.get(back)).status_code == 401


async def test_a_cookie_that_was_not_signed_here_is_none(server: Served):
    """Empty, made up, or with another's signature."""
    async with browser(server) as eve:
        back = await eve.away(await eve.start())
        value = eve.client.cookies["forge_login"]
        eve.client.cookies.clear()
        for forged in ("", "x", "é", "W10=.", value[:-1] + ("1" if value[-1] == "0" else "0")):
            headers = {"Cookie": f"forge_login={forged}".encode()}
            answer = await eve.client.get(back, headers=headers)  # type: ignore[arg-type]
            assert answer.status_code == 401, forged


async def test_an_address_leads_to_no_account_by_itself(server: Served, provider: OidcProvider):
    """Somebody else says that ada's address is theirs, verified or not: it stays ada's."""
    async with server.client(Origin=server.url) as ada:
        body = {"email": "ada@example.org", "name": "Ada", "password": PASSWORD}
        await ada.post("/api/auth/sign-up", json=body)
        me = (await ada.get("/api/me")).json()
        await refused(server, "conflict", 409)
        provider.person["email_verified"] = False
        async with browser(server) as eve:
            assert (await eve.log_in()).status_code == 200
            found = await eve.me()
            assert (found["email"], found["id"] != me["id"]) == (None, True)
        async with server.client(provider.token(email="ada@example.org")) as eve_too:
            found = (await eve_too.get("/api/me")).json()
            assert (found["email"], found["id"] != me["id"]) == (None, True)


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://login.example"},
        {"issuer": None},
        {"token_endpoint": "http://metadata.example/latest"},
        {"token_endpoint": "file:///etc/passwd"},
        {"token_endpoint": "https://:password@login.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://login.example/\r\nSet-Cookie: a=b"},
        {"authorization_endpoint": ["https://login.example"]},
        {"jwks_uri": "gopher://127.0.0.1:6379/"},
        {"jwks_uri": "https://login.example:99999999/"},
        {"jwks_uri": None},
    ],
    ids=str,
)
async def test_a_provider_that_publishes_what_it_must_not_is_not_used(
    login: OidcLogin, provider: OidcProvider, discovery: dict[str, Any]
):
    """Another's name, addresses inside a network, or no addresses at all."""
    provider.lies.discovery = discovery
    with pytest.raises(LoginUnavailable):
        await try_in(login)


HUGE = b'{"keys": [' + b'"' + b"a" * (1 << 20) + b'"' + b"]}"
DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize("path", [DISCOVERY, "/token", "/jwks"])
@pytest.mark.parametrize("body", [HUGE, DEEP, b"[]", b"", b"\xff", b"{}", gzip.compress(HUGE)])
async def test_a_provider_that_answers_anything_lets_nobody_in(
    login: OidcLogin, provider: OidcProvider, path: str, body: bytes
):
    """Huge, deep, packed, empty or not JSON: read to a bound, and refused."""
    provider.lies.bodies[path] = body
    empty = path == "/token" and body == b"{}"
    with pytest.raises(LoginRefused if empty else LoginUnavailable):
        await try_in(login)


@pytest.mark.parametrize("path", [DISCOVERY, "/token", "/jwks"])
async def test_no_redirect_of_a_provider_is_followed(
    login: OidcLogin, provider: OidcProvider, path: str
):
    """It could lead inside this network, with our secret."""
    provider.lies.moved[path] = f"{provider.issuer}/inside"
    with pytest.raises(LoginUnavailable):
        await try_in(login)
    assert provider.asked["/inside"] == 0


async def test_a_provider_that_does_not_answer_is_not_waited_for(
    server: Served, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
):
    """A login fails within the deadline, and others go on meanwhile."""
    monkeypatch.setattr("forge.accounts.fetching.DEADLINE_S", 0.3)
    key = await server.person("grace")
    provider.lies.late_s["/token"] = 5
    async with asyncio.TaskGroup() as tasks, server.client(key) as grace:
        slow = tasks.create_task(refused(server, "login_unavailable", 502))
        assert (await grace.get("/api/me")).status_code == 200
    assert "not answered" in slow.result()


async def test_a_hostile_name_is_cleaned_and_locks_nobody_out(
    server: Served, provider: OidcProvider
):
    """Too long, with line ends and with what cannot be shown."""
    provider.person |= {"name": "A\x00da\r\n\u202e " + "x" * 5_000, "email": "no address"}
    async with browser(server) as ada:
        assert (await ada.log_in()).status_code == 200
        me = await ada.me()
        assert me["name"].startswith("Ada x")
        assert len(me["name"]) <= 100
        assert me["email"] is None


async def test_logins_that_fail_are_slowed_down(server: Served, provider: OidcProvider):
    """After some, that address waits, and the provider is not asked for it any more."""
    provider.lies.claims = {"nonce": "wrong"}
    for _ in range(5):
        await refused(server, "login_refused", 401)
    asked = provider.asked["/token"]
    await refused(server, "too_many", 429)
    assert provider.asked["/token"] == asked


def test_a_late_browser_begins_anew():
    """A login's cookie is good for ten minutes, and for the server that signed it."""
    clock = FakeClock()
    flows, flow = Flows(b"m" * 32, clock), new_flow()
    sealed = flows.sealed(flow)
    assert flows.opened(sealed) == flow
    with pytest.raises(LoginRefused, match="No login"):
        Flows(b"n" * 32, clock).opened(sealed)
    clock.advance(601)
    with pytest.raises(LoginRefused, match="too long"):
        flows.opened(sealed)
