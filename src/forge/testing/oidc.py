"""A provider of logins on this computer: real HTTP, real signatures, and lies where a test wants.

It speaks enough of OpenID Connect for the code flow (discovery, authorize, token, jwks) and of
Supabase for its tokens. It holds a client to the rules that a strict provider has: the redirect
address, PKCE, the client's secret, a code for one use. A test changes `lies` to make it one that
was taken over, or is somebody else. Signatures are made with `cryptography` alone, so that they do
not share a mistake with what checks them.

    async with oidc_provider() as provider:
        provider.lies.claims["nonce"] = "another"
"""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import uvicorn
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from forge.clock import SystemClock

CLIENT_ID, CLIENT_SECRET = "forge-tests", "a secret of the tests"
_STARTED_S = 10.0
"""It listens already; this is for a computer that is busy with other things."""


@dataclass(slots=True)
class Lies:
    """What the provider does that it should not. As it is made, it does nothing of the kind."""

    discovery: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    """Claims in place of the right ones; None leaves one out."""
    head: dict[str, Any] = field(default_factory=dict)
    signature: str = ""
    """`none`, `public-as-secret` or `other-key` instead of its own."""
    query: dict[str, str] = field(default_factory=dict)
    """What goes back with the browser in place of what is right."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    """What a path answers instead."""
    moved: dict[str, str] = field(default_factory=dict)
    """Where a path redirects to instead of answering."""
    late_s: dict[str, float] = field(default_factory=dict)
    """How long a path takes."""


class Signing:
    """A key pair, and what it signs."""

    def __init__(self, alg: str, kid: str, *, bits: int = 2048) -> None:
        self.alg, self.kid = alg, kid
        self._rsa = rsa.generate_private_key(65537, bits) if alg == "RS256" else None
        self._ec = ec.generate_private_key(ec.SECP256R1()) if alg == "ES256" else None

    @property
    def public(self) -> dict[str, str]:
        """The public key as JWK."""
        head = {"kid": self.kid, "use": "sig", "alg": self.alg}
        if self._rsa is not None:
            numbers = self._rsa.public_key().public_numbers()
            return {**head, "kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
        assert self._ec is not None
        point = self._ec.public_key().public_numbers()
        return {
            **head,
            "kty": "EC",
            "crv": "P-256",
            "x": _number(point.x, 32),
            "y": _number(point.y, 32),
        }

    @property
    def pem(self) -> bytes:
        """The public key as anybody can have it."""
        key = self._rsa or self._ec
        assert key is not None
        return key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, text: bytes) -> bytes:
        """A signature as JWS has it."""
        if self._rsa is not None:
            return self._rsa.sign(text, padding.PKCS1v15(), hashes.SHA256())
        assert self._ec is not None
        r, s = utils.decode_dss_signature(self._ec.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def token_of(claims: dict[str, Any], key: Signing, lies: Lies | None = None) -> str:
    """A signed token."""
    lies = lies or Lies()
    alg = {"none": "none", "public-as-secret": "HS256"}.get(lies.signature, key.alg)
    head = {"typ": "JWT", "alg": alg, "kid": key.kid, **lies.head}
    kept = {name: value for name, value in (claims | lies.claims).items() if value is not None}
    text = f"{_letters(json.dumps(head).encode())}.{_letters(json.dumps(kept).encode())}"
    if lies.signature == "none":
        return f"{text}."
    if lies.signature == "public-as-secret":
        return f"{text}.{_letters(hmac.digest(key.pem, text.encode(), 'sha256'))}"
    signer = Signing(key.alg, key.kid) if lies.signature == "other-key" else key
    return f"{text}.{_letters(signer.sign(text.encode()))}"


def shared_token(claims: dict[str, Any], secret: str) -> str:
    """A token signed with a shared secret (HS256)."""
    head = _letters(b'{"alg":"HS256","typ":"JWT"}')
    text = f"{head}.{_letters(json.dumps(claims).encode())}"
    return f"{text}.{_letters(hmac.digest(secret.encode(), text.encode(), 'sha256'))}"


@dataclass(slots=True)
class _Code:
    challenge: str
    redirect_uri: str
    nonce: str


@dataclass(slots=True)
class OidcProvider:
    """A running provider. `person` is who logs in; `asked` counts requests by path."""

    port: int
    keys: list[Signing]
    person: dict[str, Any]
    lies: Lies = field(default_factory=Lies)
    asked: Counter[str] = field(default_factory=Counter)
    _codes: dict[str, _Code] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        """Its address, and its name."""
        return f"http://127.0.0.1:{self.port}"

    def token(self, **claims: Any) -> str:
        """A token of Supabase's for the person."""
        now = int(SystemClock().now().timestamp())
        right = {
            "iss": f"{self.issuer}/auth/v1",
            "aud": "authenticated",
            "role": "authenticated",
            "iat": now,
            "exp": now + 3600,
            **self.person,
        }
        return token_of(right | claims, self.keys[0], self.lies)

    def discovery(self) -> dict[str, Any]:
        """What it publishes of itself."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "id_token_signing_alg_values_supported": ["RS256"],
            "authorization_response_iss_parameter_supported": True,
            **self.lies.discovery,
        }

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser goes with a code."""
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self._codes[code] = _Code(
            asked["code_challenge"], asked["redirect_uri"], asked.get("nonce", "")
        )
        back = {"code": code, "state": asked["state"], "iss": self.issuer} | self.lies.query
        return f"{asked['redirect_uri']}?{urlencode(back)}"

    def redeem(self, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """The tokens for a code, once; None where a rule is broken."""
        code = self._codes.pop(form.get("code", ""), None)
        given = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if code is None or authorization != f"Basic {given}":
            return None
        challenge = _letters(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if challenge != code.challenge or form.get("redirect_uri") != code.redirect_uri:
            return None
        now = int(SystemClock().now().timestamp())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": code.nonce,
            **self.person,
        }
        return {
            "access_token": secrets.token_urlsafe(16),
            "token_type": "Bearer",
            "expires_in": 300,
            "id_token": token_of(claims, self.keys[0], self.lies),
        }

    async def answer(self, request: Request) -> Response:
        """Answer a request, or lie."""
        path = request.url.path
        self.asked[path] += 1
        await asyncio.sleep(self.lies.late_s.get(path, 0))
        if path in self.lies.moved:
            return RedirectResponse(self.lies.moved[path], 302)
        if path in self.lies.bodies:
            return Response(self.lies.bodies[path], media_type="application/json")
        if path == "/authorize":
            return RedirectResponse(self.authorize(dict(request.query_params)), 302)
        if path != "/token":
            keys = {"keys": [key.public for key in self.keys]}
            return JSONResponse(self.discovery() if path.endswith("configuration") else keys)
        form = dict(parse_qsl((await request.body()).decode()))
        tokens = self.redeem(form, request.headers.get("authorization", ""))
        return JSONResponse(tokens or {"error": "invalid_grant"}, 200 if tokens else 400)


@asynccontextmanager
async def oidc_provider(alg: str = "RS256") -> AsyncIterator[OidcProvider]:
    """A provider, until the block is left."""
    person = {"sub": "1815", "name": "Ada Lovelace", "email": "ada@example.org"}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        provider = OidcProvider(
            listener.getsockname()[1],
            [Signing(alg, "first")],
            person | {"email_verified": True},
        )
        paths = ("/.well-known/openid-configuration", "/authorize", "/token", "/jwks")
        supabase = "/auth/v1/.well-known/jwks.json"
        routes = [
            Route(path, provider.answer, methods=["GET", "POST"]) for path in (*paths, supabase)
        ]
        server = _Server(
            uvicorn.Config(
                Starlette(routes=routes),
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            try:
                async with asyncio.timeout(_STARTED_S):
                    await server.answers.wait()
                yield provider
            finally:
                server.should_exit = True


class _Server(uvicorn.Server):
    """Says when it answers, and leaves the signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _letters(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int, length: int = 0) -> str:
    return _letters(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))
