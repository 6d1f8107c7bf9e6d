"""A request that is sent again because its answer was lost is not carried out again.

Whoever sends a POST with an `Idempotency-Key` of their own may send the same request again, for a
day: it is answered as it was, with `Idempotency-Replayed: true`. A run that a chat began is
followed again, from its beginning. The same key with another request is refused, and so is one that
comes while the first is under way.

A request is the same if its method, address and body are, and if it is sent with the same rights:
a key that may do less does not get the answer of one that may do more. What failed was not carried
out, so its key is free again.
"""

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from forge.accounts.principal import Principal
from forge.accounts.receipts import Receipt
from forge.errors import KeyReused
from forge.runs.unbroken import unbroken
from forge.server.state import State, state_in
from forge.server.streams import EventStream

HEADER = "idempotency-key"
REPLAYED = {"Idempotency-Replayed": "true"}

Handle = Callable[[Request], Coroutine[Any, Any, Response]]


class Once(APIRoute):
    """A route whose POST is carried out once for each key."""

    def get_route_handler(self) -> Handle:
        """What answers a request."""
        handle = super().get_route_handler()
        if "POST" not in (self.methods or ()):
            return handle

        async def once(request: Request) -> Response:
            key = request.headers.get(HEADER)
            if key is None:
                return await handle(request)
            state = state_in(request)
            who = await state.doorkeeper.principal(request)
            if who is None:
                return await handle(request)
            digesting = _Digesting(request, who, self.response_class is EventStream)
            return await _once(handle, digesting, state, who)

        return once


async def _once(handle: Handle, digesting: "_Digesting", state: State, who: Principal) -> Response:
    request, receipts = digesting.request, state.receipts
    key = request.headers[HEADER]
    earlier = await receipts.claim(who.user_id, key)
    if earlier is not None:
        return await _again(handle, digesting, earlier)
    kept = False
    try:
        response = await handle(request)
        if response.status_code < 400:
            await digesting.read()
            body = getattr(request.state, "stream_of", None) or bytes(response.body).decode()
            receipt = Receipt(digesting.digest(), response.status_code, body)
            await unbroken(receipts.keep(who.user_id, key, receipt))
            kept = True
        return response
    finally:
        if not kept:
            await unbroken(receipts.release(who.user_id, key))


async def _again(handle: Handle, digesting: "_Digesting", earlier: Receipt) -> Response:
    if digesting.streams:
        await digesting.request.body()  # which keeps it, to be read once more
    await digesting.read()
    if digesting.digest() != earlier.digest:
        raise KeyReused("Another request was sent with this Idempotency-Key.")
    if digesting.streams:
        digesting.request.state.stream_again = earlier.body
        response = await handle(digesting.request)
        response.headers.update(REPLAYED)
        return response
    return Response(
        earlier.body or None,
        earlier.status,
        headers=REPLAYED,
        media_type="application/json" if earlier.body else None,
    )


class _Digesting:
    """A request, and the digest of it as far as its body was read. No file is held in memory."""

    def __init__(self, request: Request, who: Principal, streams: bool) -> None:
        self.request = Request(request.scope, self._receive)
        self._more, self._ended = request.receive, False
        self._digest, self._streams = hashlib.sha256(), streams
        url = request.url
        rights = f"{who.role} {who.via} {' '.join(sorted(who.scopes))}"
        for part in (request.method, url.path, url.query, rights):
            self._digest.update(part.encode("utf-8", "surrogatepass") + b"\0")

    @property
    def streams(self) -> bool:
        """Whether the answer is a run's stream."""
        return self._streams

    async def read(self) -> None:
        """Read what nobody has read of the body."""
        while not self._ended:
            await self._receive()

    def digest(self) -> str:
        """The digest, in hex."""
        return self._digest.hexdigest()

    async def _receive(self) -> Any:
        message = await self._more()
        self._digest.update(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        return message
