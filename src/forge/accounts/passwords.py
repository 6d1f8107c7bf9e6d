"""Passwords: hashed with argon2id, checked in a thread, two at once.

Each hash takes 64 MiB and about 200 ms on purpose. More than two at once would let a few login
requests take the server's memory and processors away from everybody.
"""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from forge.errors import InputRefused

SHORTEST, LONGEST = 10, 1024
AT_ONCE = 2


class Passwords:
    """Makes and checks hashes (argon2id, the parameters of RFC 9106's second choice)."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._room = asyncio.Semaphore(AT_ONCE)
        # Checked where there is no such user, so that the answer takes as long as for one.
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """The hash to keep.

        Raises:
            InputRefused: it is too short or too long.
        """
        if not SHORTEST <= len(password) <= LONGEST:
            raise InputRefused(
                f"A password has {SHORTEST} to {LONGEST} characters; this has {len(password)}.",
                hint="Take a longer one; several words are easy to remember.",
            )
        async with self._room:
            return await asyncio.to_thread(self._hasher.hash, _bytes(password))

    async def matches(self, kept: str | None, password: str) -> bool:
        """Whether this is the password; takes as long where none is kept."""
        async with self._room:
            right = await asyncio.to_thread(self._check, kept or self._nobody, password)
        return right and kept is not None

    def outdated(self, kept: str) -> bool:
        """Whether the hash was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(kept)

    def _check(self, kept: str, password: str) -> bool:
        if len(password) > LONGEST:
            return False
        try:
            return self._hasher.verify(kept, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
