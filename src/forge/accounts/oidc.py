"""Logging in at another provider (OpenID Connect), by the code flow with PKCE.

    browser ──start──▶ Forge ──303, a signed cookie──▶ browser ──▶ provider
    browser ◀──code, state── provider              browser ──callback──▶ Forge
    Forge ──code, verifier, client secret──▶ provider ──signed token──▶ Forge: who it is

The provider is found by discovery from its one, pinned address (`issuer`). Who somebody is comes
from the signed token alone, checked against the provider's published keys: issuer, audience, time
and nonce. An address counts only where the provider says that it verified it, and never leads to an
account by itself. Authlib prepares requests and checks claims; it comes with the extra `oidc`.
"""

import asyncio
import hmac
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from authlib.oauth2.auth import ClientAuth  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.parameters import (  # type: ignore[import-untyped]
    prepare_grant_uri,
    prepare_token_request,
)
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from authlib.oidc.discovery import get_well_known_url  # type: ignore[import-untyped]

from forge.accounts.audit import Origin
from forge.accounts.claimed import claimed_by, identity_of
from forge.accounts.fetching import Fetcher, is_safe
from forge.accounts.flows import Flows, OidcAnswer, OidcClient, new_flow
from forge.accounts.keysets import AGAIN_WITHOUT_S, FRESH_S, KeySet
from forge.accounts.service import Claims
from forge.accounts.signed import LEEWAY_S, PUBLIC_KEY, claims_of, head_of, with_reason
from forge.accounts.throttle import Throttle
from forge.accounts.users import Identity
from forge.clock import Clock
from forge.errors import LoginRefused, LoginUnavailable

SCOPE = "openid profile email"


class Started(NamedTuple):
    """A login on its way: where the browser goes, and what it keeps."""

    url: str
    cookie: str


class OidcLogin:
    """Logins at one provider. Holds what the provider publishes, for an hour."""

    def __init__(
        self, client: OidcClient, fetcher: Fetcher, clock: Clock, master: bytes, *, may_join: bool
    ) -> None:
        self._client, self._fetcher, self._clock = client, fetcher, clock
        self._may_join = may_join
        self._flows, self._throttle = Flows(master, clock), Throttle(clock)
        self._places = _Places(client.issuer, fetcher, clock)
        self._keys = KeySet(fetcher, self._jwks, clock)

    @property
    def name(self) -> str:
        """What people call the provider."""
        return self._client.name

    async def start(self) -> Started:
        """Begin a login.

        Raises:
            LoginUnavailable: the provider cannot be asked, or publishes what cannot be used.
        """
        flow, places = new_flow(), await self._places.get()
        url: str = prepare_grant_uri(
            places["authorization_endpoint"],
            client_id=self._client.client_id,
            response_type="code",
            redirect_uri=self._client.redirect_uri,
            scope=SCOPE,
            state=flow.state,
            nonce=flow.nonce,
            code_challenge=create_s256_code_challenge(flow.verifier),
            code_challenge_method="S256",
        )
        return Started(url, self._flows.sealed(flow))

    async def finish(
        self, cookie: str, answer: OidcAnswer, origin: Origin
    ) -> tuple[Identity, Claims]:
        """Who came back.

        Raises:
            LoginRefused: it is not the browser that went, or the provider says no, or what it says
                is not signed by it for us and for this login.
            LoginUnavailable: the provider cannot be asked.
            TooMany: too many logins from there were refused in the last minute.
        """
        who = f"login elsewhere {origin.address}"
        await self._throttle.check(who, origin.address)
        try:
            return await self._finished(cookie, answer)
        except LoginRefused:
            await self._throttle.failed(who, origin.address)
            raise

    async def _finished(self, cookie: str, answer: OidcAnswer) -> tuple[Identity, Claims]:
        flow, issuer = self._flows.opened(cookie), self._client.issuer
        if not hmac.compare_digest(flow.state.encode(), answer.state.encode("utf-8", "replace")):
            raise LoginRefused("This is not the login that was begun in this browser.")
        places = await self._places.get()
        named = places.get("authorization_response_iss_parameter_supported") is True
        if (answer.iss or named) and answer.iss != issuer:
            raise LoginRefused("Another provider has answered.")
        if answer.error or not answer.code:
            raise LoginRefused(f"{self.name} has not let you in.", hint="Ask whoever runs it.")
        tokens = await self._redeemed(places, answer.code, flow.verifier)
        claims = await self._checked(tokens, flow.nonce)
        return identity_of(issuer, claims), claimed_by(
            claims, verified=claims.get("email_verified") is True, may_join=self._may_join
        )

    async def _redeemed(
        self, places: Mapping[str, Any], code: str, verifier: str
    ) -> dict[str, Any]:
        client = self._client
        body = prepare_token_request(
            "authorization_code",
            redirect_uri=client.redirect_uri,
            code=code,
            code_verifier=verifier,
        )
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        auth = ClientAuth(client.client_id, client.secret, _way(places, client.secret))
        url, headers, body = auth.prepare("POST", places["token_endpoint"], headers, body)
        answer = await self._fetcher.post(url, body, headers)
        if answer.status != HTTPStatus.OK:
            raise LoginRefused(f"{self.name} does not take the code that it gave.")
        return answer.body

    async def _checked(self, tokens: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        token, access = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(token, str):
            raise LoginRefused(f"{self.name} does not say who you are.")
        head = head_of(token)
        claims = claims_of(token, await self._keys.find(head), PUBLIC_KEY)
        client_id = self._client.client_id
        checked = CodeIDToken(
            claims,
            head._asdict(),
            {
                "iss": {"essential": True, "value": self._client.issuer},
                "aud": {"essential": True, "value": client_id},
            },
            {
                "nonce": nonce,
                "client_id": client_id,
                "access_token": access if isinstance(access, str) else None,
            },
        )
        now = int(self._clock.now().timestamp())
        with_reason(lambda: checked.validate(now, LEEWAY_S))
        return claims

    async def _jwks(self) -> str:
        place: str = (await self._places.get())["jwks_uri"]
        return place


class _Places:
    """What a provider publishes of itself, kept for an hour."""

    def __init__(self, issuer: str, fetcher: Fetcher, clock: Clock) -> None:
        self._issuer, self._fetcher, self._clock = issuer, fetcher, clock
        self._known: dict[str, Any] = {}
        self._got = self._asked = float("-inf")
        self._asking = asyncio.Lock()

    async def get(self) -> dict[str, Any]:
        """Its own description.

        Raises:
            LoginUnavailable: it has none, or another's, or one that cannot be used.
        """
        async with self._asking:
            now = self._clock.monotonic()
            if now - self._got > FRESH_S:
                if now - self._asked < AGAIN_WITHOUT_S:
                    raise LoginUnavailable("The provider could not be asked just now.")
                self._asked = now
                self._known = self._fit(
                    await self._fetcher.get(get_well_known_url(self._issuer, external=True))
                )
                self._got = self._clock.monotonic()
            return self._known

    def _fit(self, found: dict[str, Any]) -> dict[str, Any]:
        if found.get("issuer") != self._issuer:
            raise LoginUnavailable(
                f"What is published at {self._issuer} is of another provider.",
                hint="FORGE_OIDC_ISSUER must be its `issuer`, letter by letter.",
            )
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not is_safe(found.get(name), self._issuer):
                raise LoginUnavailable(f"{self._issuer} publishes no {name} that could be used.")
        return found


def _way(places: Mapping[str, Any], secret: str) -> str:
    """How a client shows who it is: what the provider offers, else what all must offer."""
    offered = places.get("token_endpoint_auth_methods_supported")
    if not secret:
        return "none"
    if isinstance(offered, list) and "client_secret_basic" not in offered:
        return "client_secret_post"
    return "client_secret_basic"
