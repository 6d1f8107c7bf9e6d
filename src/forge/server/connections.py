"""Connections whose readers take nothing are cut: what waits for them would stay for ever.

uvicorn stops writing to a connection once some 64 KB wait for its reader, and then waits without an
end. Here it waits `take_s`; a reader that has not taken most of that by then has gone, or holds the
connection to harm us. Who was cut off comes back: streams go on from `Last-Event-ID`, downloads
with `Range`. The connection is reset, so that the kernel keeps nothing for it either; what a
reader leaves there who is owed less than that is bounded in time by `TCP_USER_TIMEOUT`.
"""

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

_AT_ONCE = struct.pack("ii", 1, 0)
"""Linger for no time: closing resets the connection, and what waits in the kernel is gone."""


def impatient(take_s: float) -> type[asyncio.Protocol]:
    """The protocol of uvicorn, with that much patience."""

    class Impatient(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        """One connection."""

        _patience: asyncio.TimerHandle | None = None

        def pause_writing(self) -> None:
            """More waits to be read than may."""
            super().pause_writing()
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(take_s, self._cut)

        def resume_writing(self) -> None:
            """Most of it was read."""
            super().resume_writing()
            self._forgive()

        def connection_lost(self, exc: Exception | None) -> None:
            """It is over."""
            self._forgive()
            super().connection_lost(exc)

        def _cut(self) -> None:
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self.transport.abort()

        def _forgive(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

    found: Any = Impatient
    protocol: type[asyncio.Protocol] = found
    return protocol
