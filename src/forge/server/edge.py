"""What every request passes before any route sees it: plain ASGI, so that streams stay streams.

    request id, log, metrics ─ known host ─ security headers ─ body limit ─▶ the app

An id sent along is taken over where it is harmless, so that a proxy's log and ours meet. A `Host`
that is not ours is refused: without that, a page of a stranger's could make a browser talk to a
server on this computer under the stranger's name (DNS rebinding).
"""

import logging
import re
import secrets
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forge.about import about
from forge.server.measures import Measures

LOG = logging.getLogger("forge.access")

REQUEST_ID = "x-request-id"
_HARMLESS_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "content-security-policy": (
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; frame-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
}


class Watched:
    """Gives each request an id, counts it, and writes one line about it."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app, self._measures = app, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        with about(request_id=request_id):
            await self._watched(scope, receive, send, request_id)

    async def _watched(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        begun, status = time.monotonic(), 500

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            await self._app(scope, receive, answered)
        finally:
            took = time.monotonic() - begun
            route = _route(scope)
            method = scope.get("method", "WEBSOCKET")
            self._measures.request(method, route, status, took)
            LOG.info(
                "%s %s %s",
                method,
                route,
                status,
                extra={"status": status, "duration_ms": round(took * 1000, 1)},
            )


class KnownHost:
    """Refuses requests for another host. With none given, every host is known."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] in ("http", "websocket") and self._hosts:
            host = _without_port(Headers(scope=scope).get("host", ""))
            if host not in self._hosts:
                await _refuse(
                    scope, send, 421, "misdirected_request", "This server has another name."
                )
                return
        await self._app(scope, receive, send)


class Hardened:
    """Adds the headers that keep a browser from being used against its user; a route's own win."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)


class BodyLimit:
    """Ends reading a body that is larger than its route takes."""

    def __init__(self, app: ASGIApp, limit: int, upload_limit: int, uploads: str) -> None:
        self._app, self._limit, self._upload_limit = app, limit, upload_limit
        self._uploads = re.compile(uploads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._upload_limit if self._uploads.fullmatch(scope["path"]) else self._limit
        why = f"More than {limit} bytes were sent."
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > limit:
            await _refuse(scope, send, 413, "body_too_large", why)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise HTTPException(413)  # answered as every other problem is
            return message

        await self._app(scope, counted, send)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _HARMLESS_ID.fullmatch(given) else secrets.token_hex(8)


def _route(scope: MutableMapping[str, Any]) -> str:
    """The route's pattern: a path would be another name for each thing there is."""
    return getattr(scope.get("route"), "path", "(none)")


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


async def _refuse(scope: Scope, send: Send, status: int, code: str, detail: str) -> None:
    """Answer without the app. A WebSocket is closed before it is open."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = (
        f'{{"type": "about:blank", "title": "{code}", "status": {status}, '
        f'"code": "{code}", "detail": "{detail}"}}'
    ).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
