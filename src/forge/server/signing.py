"""Addresses that can be opened for a while by whoever has them: signed, and with an end.

The signature (HMAC-SHA-256) covers the path and the end, so that neither can be changed. The key is
derived from the master key, and nothing else is signed with it.
"""

import hashlib
import hmac
from urllib.parse import urlencode

from forge.clock import Clock
from forge.errors import NotAllowed

LIFETIME_S = 3600
LONGEST_S = 7 * 24 * 3600


class Signer:
    """Signs paths, and checks what it signed."""

    def __init__(self, master: bytes, clock: Clock) -> None:
        self._key = hmac.digest(master, b"forge signed addresses", "sha256")
        self._clock = clock

    def signed(self, path: str, *, lifetime_s: int = LIFETIME_S) -> str:
        """A path with its end and signature, good for `lifetime_s` seconds."""
        expires = int(self._clock.now().timestamp()) + min(lifetime_s, LONGEST_S)
        return f"{path}?{urlencode({'expires': expires, 'signature': self._of(path, expires)})}"

    def check(self, path: str, expires: int, signature: str) -> None:
        """Let a signed request through, or not.

        Raises:
            NotAllowed: it was not signed here, or its time is over.
        """
        right = self._of(path, expires)
        if not hmac.compare_digest(right.encode(), signature.encode("utf-8", "surrogatepass")):
            raise NotAllowed("This address was not signed by this server.", hint=_AGAIN)
        if expires < self._clock.now().timestamp():
            raise NotAllowed("This address is no longer good.", hint=_AGAIN)

    def _of(self, path: str, expires: int) -> str:
        text = f"{path}\n{expires}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()


_AGAIN = "Ask whoever gave it to you for a new one."
