"""Secrets at rest: each sealed under a key of its own, which a master key wraps.

    secret ──AES-256-GCM(data key, bound to scope and name)──▶ sealed
    data key ──AES-256-GCM(master key, bound to the same)────▶ wrapped, with the master key's id

Whoever has the database alone has nothing; whoever may write it cannot give one person's secret to
another, or one name's to another name, because what is sealed is bound to both. A new master key
rewraps the data keys and touches no secret. What is in here is never shown again: there is a list
of names, and `get` for those who use a secret in its owner's name.
"""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, insert, select, update

from forge.clock import Clock, stamp
from forge.errors import InputRefused, SecretUnreadable
from forge.store.database import Database
from forge.store.tables import SECRETS

_KEY_BYTES, _NONCE = 32, 12
LONGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Keyring:
    """Master keys by id; `current` wraps what is new, the others open what is old."""

    current: str
    keys: Mapping[str, bytes]

    def __repr__(self) -> str:
        """The ids alone."""
        return f"Keyring({self.current!r} of {sorted(self.keys)})"


def key_id_of(key: bytes) -> str:
    """The id of a master key: the beginning of a hash of it."""
    return hashlib.sha256(b"forge master key\0" + key).hexdigest()[:16]


def keyring_of(text: str) -> Keyring:
    """Master keys as a setting has them: base64, separated by commas, the current one first.

    Raises:
        InputRefused: one is not 32 bytes in base64. What was given is not repeated.
    """
    keys = []
    for part in text.split(","):
        try:
            key = base64.b64decode(part.strip(), validate=True)
        except ValueError:
            key = b""
        if len(key) != _KEY_BYTES:
            raise InputRefused(
                "A master key (FORGE_SECRET_KEY) is 32 random bytes in base64.",
                hint="`openssl rand -base64 32` makes one.",
            )
        keys.append(key)
    return Keyring(key_id_of(keys[0]), {key_id_of(key): key for key in keys})


def keyring_in(path: Path, *, new: bool = False) -> Keyring:
    """The master keys in a file, which is made, for its owner's eyes only, where it is missing;
    `new` adds one and makes it current.

    Raises:
        SecretUnreadable: the file cannot be read, or others may read it.
    """
    lines = _lines(path)
    if new or not lines:
        lines = [base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode(), *lines]
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    try:
        return keyring_of(",".join(lines))
    except InputRefused as error:
        raise SecretUnreadable(f"{path} does not hold master keys.") from error


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_mode & 0o077:
            raise SecretUnreadable(
                f"{path} can be read by others than its owner.", hint=f"chmod 600 {path}"
            )
        return path.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise SecretUnreadable(f"{path} cannot be read: {error}.") from error


class Vault:
    """Keeps secrets. `scope` is a user's id, or `server`."""

    def __init__(self, database: Database, clock: Clock, keyring: Keyring) -> None:
        self._database, self._clock, self._keyring = database, clock, keyring

    async def put(self, scope: str, name: str, secret: str) -> None:
        """Keep a secret in place of the one before.

        Raises:
            InputRefused: it is too long.
        """
        if len(secret) > LONGEST:
            raise InputRefused(f"A secret has at most {LONGEST} characters.")
        bound, data_key = _bound(scope, name), AESGCM.generate_key(256)
        row = {
            "key_id": self._keyring.current,
            "wrapped": _seal(self._keyring.keys[self._keyring.current], data_key, bound),
            "sealed": _seal(data_key, secret.encode("utf-8", "surrogatepass"), bound),
            "updated_at": stamp(self._clock.now()),
        }
        async with self._database.writing() as connection:
            where = (SECRETS.c.scope == scope, SECRETS.c.name == name)
            changed = await connection.execute(update(SECRETS).where(*where).values(row))
            if changed.rowcount == 0:
                await connection.execute(insert(SECRETS).values(scope=scope, name=name, **row))

    async def get(self, scope: str, name: str) -> str | None:
        """A secret; None where none is kept.

        Raises:
            SecretUnreadable: its master key is not there, or it was changed.
        """
        query = select(SECRETS).where(SECRETS.c.scope == scope, SECRETS.c.name == name)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        bound = _bound(scope, name)
        data_key = _open(self._master(row.key_id, name), row.wrapped, bound, name)
        return _open(data_key, row.sealed, bound, name).decode("utf-8", "surrogatepass")

    async def names(self, scope: str) -> tuple[str, ...]:
        """Which secrets are kept here."""
        query = select(SECRETS.c.name).where(SECRETS.c.scope == scope).order_by(SECRETS.c.name)
        async with self._database.reading() as connection:
            return tuple((await connection.execute(query)).scalars())

    async def remove(self, scope: str, name: str) -> None:
        """Forget a secret; one that is not there is no error."""
        async with self._database.writing() as connection:
            await connection.execute(
                delete(SECRETS).where(SECRETS.c.scope == scope, SECRETS.c.name == name)
            )

    async def rewrap(self) -> int:
        """Wrap every data key with the current master key; returns how many were not yet.

        Raises:
            SecretUnreadable: an old master key is not there; nothing was changed.
        """
        current = self._keyring.current
        async with self._database.writing() as connection:
            rows = (
                await connection.execute(select(SECRETS).where(SECRETS.c.key_id != current))
            ).all()
            for row in rows:
                bound = _bound(row.scope, row.name)
                data_key = _open(self._master(row.key_id, row.name), row.wrapped, bound, row.name)
                await connection.execute(
                    update(SECRETS)
                    .where(SECRETS.c.scope == row.scope, SECRETS.c.name == row.name)
                    .values(
                        key_id=current,
                        wrapped=_seal(self._keyring.keys[current], data_key, bound),
                    )
                )
        return len(rows)

    def _master(self, key_id: str, name: str) -> bytes:
        try:
            return self._keyring.keys[key_id]
        except KeyError:
            raise SecretUnreadable(
                f"The secret {name!r} is sealed with the master key {key_id}, which is not here."
            ) from None


def _bound(scope: str, name: str) -> bytes:
    return json.dumps([scope, name]).encode()


def _seal(key: bytes, plain: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def _open(key: bytes, sealed: bytes, bound: bytes, name: str) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
    except (InvalidTag, ValueError) as error:
        raise SecretUnreadable(
            f"The secret {name!r} was changed in the database.", hint="Set it anew."
        ) from error
