"""What a browser keeps for us while its user is at a provider: signed, and good for ten minutes.

Whoever comes back must be the browser that went. It holds what only it and we know (`state`), what
the provider must repeat inside the signed token (`nonce`), and the proof that the code is ours
(`verifier`, RFC 7636). Nothing is kept here, so a stranger who begins a thousand logins fills no
memory. The key is derived from the master key, and nothing else is signed with it.
"""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import NamedTuple

from forge.clock import Clock
from forge.errors import LoginRefused

LIFETIME_S = 600
_LONGEST = 2048


@dataclass(frozen=True, slots=True)
class OidcClient:
    """Who we are at a provider. Without a secret we are a public client. `name` is what people call
    the provider.
    """

    issuer: str
    client_id: str
    secret: str = field(repr=False)
    name: str
    redirect_uri: str


class OidcAnswer(NamedTuple):
    """What the browser brings back; empty where it does not."""

    code: str = ""
    state: str = ""
    error: str = ""
    iss: str = ""


class Flow(NamedTuple):
    """A login on its way."""

    state: str
    nonce: str
    verifier: str


def new_flow() -> Flow:
    """A fresh one: three times 256 random bits."""
    return Flow(*(secrets.token_urlsafe(32) for _ in range(3)))


class Flows:
    """Signs flows, and opens what it signed."""

    def __init__(self, master: bytes, clock: Clock) -> None:
        self._key = hmac.digest(master, b"forge logins on their way", "sha256")
        self._clock = clock

    def sealed(self, flow: Flow) -> str:
        """A flow as a cookie's value."""
        expires = int(self._clock.now().timestamp()) + LIFETIME_S
        body = base64.urlsafe_b64encode(json.dumps([expires, *flow]).encode()).decode()
        return f"{body}.{self._of(body)}"

    def opened(self, text: str) -> Flow:
        """The flow of a cookie.

        Raises:
            LoginRefused: there is none, it was not signed here, or its time is over.
        """
        body, _, signature = text[:_LONGEST].partition(".")
        right = self._of(body).encode()
        if not hmac.compare_digest(right, signature.encode("utf-8", "surrogatepass")):
            raise LoginRefused("No login was begun in this browser.", hint=_AGAIN)
        expires, state, nonce, verifier = json.loads(base64.urlsafe_b64decode(body))
        if expires < self._clock.now().timestamp():
            raise LoginRefused("This login took too long.", hint=_AGAIN)
        return Flow(state, nonce, verifier)

    def _of(self, body: str) -> str:
        text = body.encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()


_AGAIN = "Begin the login again, in one browser, with its cookies allowed."
