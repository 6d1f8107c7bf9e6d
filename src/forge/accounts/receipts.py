"""Receipts: what a request with a key of its own was answered, so that sending it again changes
nothing.

    none ─claim─▶ under way ─keep─▶ kept ─ after KEPT_FOR ─▶ none
                      └─release (it failed), or after UNDER_WAY_FOR ─▶ none

The row itself is the claim: of two requests with the same key at once, in whichever processes, one
inserts it. An answer may hold what is shown once and kept nowhere (the text of a new API key), so
it is kept sealed, under a key that is derived from the master key and bound to whose it is.

A process that dies between carrying out a request and keeping its answer leaves it under way; after
`UNDER_WAY_FOR` it can be sent again, and is then carried out again.
"""

import base64
import hmac
import secrets
from datetime import timedelta
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import ColumnElement, delete, or_, select, update

from forge.clock import Clock, stamp
from forge.errors import Conflict, InputRefused, RequestUnderWay
from forge.ids import UserId
from forge.store.base import RowValues
from forge.store.database import Database
from forge.store.tables import IDEMPOTENCY

KEPT_FOR = timedelta(hours=24)
UNDER_WAY_FOR = timedelta(minutes=15)
"""After how long a request that was not answered counts as lost: the largest upload takes as long
on a slow line."""

LONGEST_KEY = 255
_NONCE = 12


class Receipt(NamedTuple):
    """What a request was answered. `digest` is that of the request, `body` is JSON or empty."""

    digest: str
    status: int
    body: str


class Receipts:
    """Keeps receipts. It holds nothing open."""

    def __init__(self, database: Database, clock: Clock, master: bytes) -> None:
        self._database, self._clock = database, clock
        self._seal = AESGCM(hmac.digest(master, b"forge receipts", "sha256"))

    async def claim(self, user_id: UserId, key: str) -> Receipt | None:
        """Begin a request. None: it is the first with this key, and whoever asks carries it out and
        calls `keep` or `release`; otherwise what it was answered.

        Raises:
            InputRefused: the key is empty, too long, or not printable ASCII.
            RequestUnderWay: it is being carried out.
        """
        if not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
            raise InputRefused(
                f"An Idempotency-Key has from 1 to {LONGEST_KEY} printable ASCII characters.",
                hint="Send a fresh UUID for each new request.",
            )
        now = self._clock.now()
        rows = IDEMPOTENCY.c
        old = or_(
            rows.created_at < stamp(now - KEPT_FOR),
            rows.done.is_(False) & (rows.created_at < stamp(now - UNDER_WAY_FOR)),
        )
        async with self._database.writing() as connection:
            await connection.execute(delete(IDEMPOTENCY).where(old))
        row: RowValues = {
            "user_id": user_id,
            "key": key,
            "request_hash": "",
            "done": False,
            "status": None,
            "body": None,
            "created_at": stamp(now),
        }
        try:
            await self._database.insert(IDEMPOTENCY, row)
        except Conflict:
            return await self._kept(user_id, key)
        return None

    async def keep(self, user_id: UserId, key: str, receipt: Receipt) -> None:
        """Note what a claimed request was answered."""
        values = {
            "request_hash": receipt.digest,
            "done": True,
            "status": receipt.status,
            "body": self._sealed(user_id, key, receipt.body),
        }
        async with self._database.writing() as connection:
            await connection.execute(update(IDEMPOTENCY).where(*_is(user_id, key)).values(**values))

    async def release(self, user_id: UserId, key: str) -> None:
        """Forget a claimed request that came to nothing, so that it can be sent again."""
        async with self._database.writing() as connection:
            await connection.execute(
                delete(IDEMPOTENCY).where(*_is(user_id, key), IDEMPOTENCY.c.done.is_(False))
            )

    async def _kept(self, user_id: UserId, key: str) -> Receipt:
        async with self._database.reading() as connection:
            found = await connection.execute(select(IDEMPOTENCY).where(*_is(user_id, key)))
            row = found.first()
        if row is None or not row.done:
            raise RequestUnderWay("A request with this Idempotency-Key is being carried out.")
        return Receipt(row.request_hash, row.status, self._opened(user_id, key, row.body))

    def _sealed(self, user_id: UserId, key: str, body: str) -> str:
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._seal.encrypt(nonce, body.encode(), _bound(user_id, key))
        return base64.b64encode(nonce + sealed).decode()

    def _opened(self, user_id: UserId, key: str, sealed: str) -> str:
        raw = base64.b64decode(sealed)
        try:
            return self._seal.decrypt(raw[:_NONCE], raw[_NONCE:], _bound(user_id, key)).decode()
        except InvalidTag:
            raise Conflict(
                "The answer to this request was kept under another master key.",
                hint="Look whether it was carried out; then send it with a new key.",
            ) from None


def _is(user_id: UserId, key: str) -> tuple[ColumnElement[bool], ...]:
    return IDEMPOTENCY.c.user_id == user_id, IDEMPOTENCY.c.key == key


def _bound(user_id: UserId, key: str) -> bytes:
    return f"{user_id}\0{key}".encode()
