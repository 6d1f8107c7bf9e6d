"""Attacks with tokens: forged, foreign, old, and keys that should not count."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from forge.accounts.fetching import open_fetcher
from forge.accounts.supabase import SupabaseTokens
from forge.clock import SystemClock
from forge.errors import LoginRefused
from forge.testing.oidc import (
    CLIENT_ID,
    Lies,
    OidcProvider,
    Signing,
    oidc_provider,
    shared_token,
    token_of,
)
from loggingin import server_of
from served import Served

SECRET = "the shared secret of a project of the tests"
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
async def supabase(provider: OidcProvider) -> AsyncIterator[SupabaseTokens]:
    async with open_fetcher() as fetcher:
        yield SupabaseTokens(provider.issuer, SECRET, fetcher, SystemClock(), may_join=True)


async def test_a_key_inside_the_token_is_not_believed(server: Served, provider: OidcProvider):
    """`jwk` in the head: the attacker's own key, under the right name."""
    mine = Signing("RS256", "first")
    right = {"iss": f"{provider.issuer}/auth/v1", "aud": "authenticated", "role": "authenticated"}
    claims = {"sub": "1815", "exp": FAR_OFF, **right}
    forged = token_of(
        claims, mine, Lies(head={"jwk": {"kty": "RSA"}, "jku": "http://evil.example"})
    )
    async with server.client(forged) as eve:
        assert (await eve.get("/api/me")).status_code == 401


async def test_tokens_that_name_unknown_keys_make_no_flood(server: Served, provider: OidcProvider):
    """A hundred made-up keys: the provider is asked once, and right tokens go on counting."""
    place = "/auth/v1/.well-known/jwks.json"
    async with server.client(provider.token()) as ada:
        assert (await ada.get("/api/me")).status_code == 200
        before = provider.asked[place]
        async with server.client() as eve:
            for number in range(100):
                provider.lies.head = {"kid": f"made-up-{number}"}
                headers = {"Authorization": f"Bearer {provider.token()}"}
                assert (await eve.get("/api/me", headers=headers)).status_code == 401
        assert provider.asked[place] - before <= 1
        assert (await ada.get("/api/me")).status_code == 200


async def test_a_weak_or_foreign_key_is_not_taken(server: Served, provider: OidcProvider):
    """RSA of 1024 bits; a shared secret among the public keys; a key for sealing."""
    weak = Signing("RS256", "weak", bits=1024)
    right = provider.keys[0]
    listed = [
        weak.public,
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256"},
        {**right.public, "use": "enc", "kid": "sealing"},
        {**right.public, "n": "A" * 100_000, "kid": "large"},
        {**right.public, "e": 65537, "kid": "odd"},
        "no key",
    ]
    place = "/auth/v1/.well-known/jwks.json"
    provider.lies.bodies[place] = json.dumps({"keys": [*listed, right.public]}).encode()
    async with server.client(provider.token()) as ada:
        assert (await ada.get("/api/me")).status_code == 200
    provider.keys = [weak]
    for kid in ("weak", "secret", "sealing", "large", "odd"):
        provider.lies.head = {"kid": kid}
        async with server.client(provider.token()) as eve:
            assert (await eve.get("/api/me")).status_code == 401, kid


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "anon"},
        {"aud": None},
        {"iss": "supabase"},
        {"iss": "https://another.example/auth/v1"},
        {"exp": LONG_AGO},
        {"exp": None},
        {"nbf": FAR_OFF},
        {"role": "service_role"},
        {"role": "anon"},
        {"role": None},
        {"sub": None},
        {"is_anonymous": True},
    ],
    ids=str,
)
async def test_a_token_of_supabase_that_is_not_a_users_lets_nobody_in(
    supabase: SupabaseTokens, provider: OidcProvider, claims: dict[str, Any]
):
    """The project's keys for programs, anonymous users, other projects, other times; signed by
    the key and with the secret alike.
    """
    provider.lies.claims = claims
    right = {"iss": f"{provider.issuer}/auth/v1", "aud": "authenticated", "role": "authenticated"}
    all_of_it = {"sub": "1815", "exp": FAR_OFF, **right, **claims}
    kept = {name: value for name, value in all_of_it.items() if value is not None}
    for token in (provider.token(), shared_token(kept, SECRET)):
        with pytest.raises(LoginRefused):
            await supabase.who(token)


async def test_without_a_shared_secret_hs256_is_nothing(tmp_path: Path, provider: OidcProvider):
    """Neither an empty one, nor the public key."""
    right = {"iss": f"{provider.issuer}/auth/v1", "aud": "authenticated", "role": "authenticated"}
    claims = {"sub": "1815", "exp": FAR_OFF, **right}
    async with server_of(tmp_path, provider) as server:
        for secret in ("", "secret", provider.keys[0].pem.decode()):
            async with server.client(shared_token(claims, secret)) as eve:
                assert (await eve.get("/api/me")).status_code == 401


async def test_a_token_for_the_code_flow_is_no_bearers(server: Served, provider: OidcProvider):
    """What another client of the provider was given is not a login here."""
    claims = {"iss": provider.issuer, "aud": CLIENT_ID, "sub": "1815", "exp": FAR_OFF}
    async with server.client(token_of(claims, provider.keys[0])) as eve:
        assert (await eve.get("/api/me")).status_code == 401


LOOK_ALIKES = ("a.b.c", "..", "e30.e30.", "é.é.é", "a" * 30_000 + ".b.c", "[[[[.e30.e30", ".")


async def test_what_only_looks_like_a_token_is_refused(server: Served):
    """As a problem, never as a fault of ours."""
    async with server.client() as eve:
        for token in LOOK_ALIKES:
            headers = {"Authorization": f"Bearer {token}".encode()}
            answer = await eve.get("/api/me", headers=headers)  # type: ignore[arg-type]
            assert answer.status_code == 401, token
