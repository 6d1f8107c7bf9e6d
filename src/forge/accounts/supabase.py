"""Supabase's tokens as logins: who is logged in at a project there is somebody here too.

A token comes as `Authorization: Bearer`, is signed by the project and ends by itself, mostly within
an hour. It is checked against the project's public keys (ES256, RS256) or, for projects that still
have it, the shared secret (HS256); which of the two counts goes by the algorithm, and each has a
key of its own kind. The project's own keys for programs (`anon`, `service_role`) are tokens too,
signed with the same secret: they are nobody's, and refused. So are anonymous users, as anybody can
be one. An address is not taken over, because a token does not say whether it was confirmed.
"""

from typing import Any

from forge.accounts.claimed import claimed_by, identity_of
from forge.accounts.fetching import Fetcher
from forge.accounts.keysets import KeySet
from forge.accounts.service import Claims
from forge.accounts.signed import check, claims_of, head_of, shared
from forge.accounts.users import Identity
from forge.clock import Clock
from forge.errors import LoginRefused

AUDIENCE = ROLE = "authenticated"
_PUBLIC = ("ES256", "RS256")


class SupabaseTokens:
    """Tokens of one project. `url` is its address; without a `secret` HS256 is not accepted."""

    def __init__(
        self, url: str, secret: str, fetcher: Fetcher, clock: Clock, *, may_join: bool
    ) -> None:
        self.url = url.rstrip("/")
        self.issuer = f"{self.url}/auth/v1"
        self._secret = shared(secret) if secret else None
        self._clock, self._may_join = clock, may_join
        self._keys = KeySet(fetcher, self._jwks, clock)

    async def who(self, token: str) -> tuple[Identity, Claims]:
        """Whose token this is.

        Raises:
            LoginRefused: it is not signed by the project, not for its users, or over.
            LoginUnavailable: the project's keys cannot be had.
        """
        claims = await self._signed(token)
        check(
            claims,
            self._clock,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": AUDIENCE},
            role={"essential": True, "value": ROLE},
        )
        if claims.get("is_anonymous"):
            raise LoginRefused("An anonymous user of Supabase is nobody here.")
        said = claims.get("user_metadata")
        name = said.get("full_name") or said.get("name") if isinstance(said, dict) else None
        return identity_of(self.issuer, claims), claimed_by(
            {**claims, "name": name}, verified=False, may_join=self._may_join
        )

    async def _signed(self, token: str) -> dict[str, Any]:
        head = head_of(token)
        if head.alg == "HS256" and self._secret is not None:
            return claims_of(token, self._secret, ("HS256",))
        if head.alg not in _PUBLIC:
            raise LoginRefused("The token is signed in a way that is not accepted here.")
        return claims_of(token, await self._keys.find(head), _PUBLIC)

    async def _jwks(self) -> str:
        return f"{self.issuer}/.well-known/jwks.json"
