"""Firecracker's API: HTTP over a Unix socket, each call bounded in time and each answer in size.

The socket lies in a folder that the VMM may write to, and a VMM that its guest has taken over is
not to be trusted: the socket is opened first without following links and seen to be one, then
connected to through that descriptor. So nothing the VMM puts in its place is followed, and a path
that is too long for a socket's address is none.
"""

import asyncio
import contextlib
import json
import os
import stat
from pathlib import Path

import httpx2

from forge.errors import SandboxDied
from forge.sandbox.firecracker.config import Call

CALL_S = 15.0
"""Most calls take a millisecond, and saving writes the whole memory; 15 s is for a slow disk."""

MAX_ANSWER = 64 * 1024
"""Bytes of an answer; the longest that is asked for has some hundred."""

_QUOTED = 500


def pinned(path: Path) -> int:
    """A descriptor of the socket at `path`, opened without following it. The caller closes it.

    Raises:
        FileNotFoundError: there is nothing yet.
        SandboxDied: it is not a socket.
    """
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    if stat.S_ISSOCK(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise SandboxDied(f"Firecracker put something else in the place of {path.name}")


class Api:
    """The API of one Firecracker process; `close` ends the connection and frees the descriptor.

    Args:
        socket: a descriptor of its socket, as `pinned` gives it; owned from here on.
        deadline_s: how long a call may take.
    """

    def __init__(self, socket: int, deadline_s: float = CALL_S) -> None:
        self._socket = socket
        self._deadline_s = deadline_s
        # Without TLS there is nothing to verify, and loading certificates takes 20 ms.
        transport = httpx2.AsyncHTTPTransport(
            uds=f"/proc/self/fd/{socket}", verify=False, trust_env=False
        )
        self._client = httpx2.AsyncClient(
            transport=transport, base_url="http://localhost", timeout=None, trust_env=False
        )

    async def ask(self, call: Call) -> object:
        """Make one call; returns its answer, None where there is none.

        Raises:
            SandboxDied: Firecracker refused it, ended, or did not give an answer that is one.
        """
        return await self._send(call.method, call.path, json.dumps(call.body).encode())

    async def get(self, path: str) -> object:
        """Ask for something.

        Raises:
            SandboxDied: as in `ask`.
        """
        return await self._send("GET", path, b"")

    async def close(self) -> None:
        """End the connection; Firecracker is not asked to do anything."""
        with contextlib.suppress(httpx2.HTTPError, OSError):
            await self._client.aclose()
        if self._socket >= 0:
            os.close(self._socket)
            self._socket = -1

    async def _send(self, method: str, path: str, body: bytes) -> object:
        what = f"{method} {path}"
        try:
            async with (
                asyncio.timeout(self._deadline_s),
                self._client.stream(
                    method, path, content=body, headers={"Content-Type": "application/json"}
                ) as response,
            ):
                content = bytearray()
                async for piece in response.aiter_raw():
                    content += piece
                    if len(content) > MAX_ANSWER:
                        raise SandboxDied(f"Firecracker's answer to {what} has no end")
        except TimeoutError as error:
            raise SandboxDied(
                f"Firecracker did not answer {what} within {self._deadline_s:g} s"
            ) from error
        except (httpx2.HTTPError, OSError) as error:
            raise SandboxDied(f"Firecracker did not carry out {what}: {error}") from error
        return _answer(what, response.status_code, bytes(content))


def _answer(what: str, status: int, content: bytes) -> object:
    try:
        value = json.loads(content) if content else None
    except (ValueError, RecursionError) as error:
        raise SandboxDied(f"Firecracker's answer to {what} is not JSON") from error
    if status // 100 == 2:
        return value
    fault = value.get("fault_message") if isinstance(value, dict) else None
    raise SandboxDied(f"Firecracker refused {what}: {str(fault or status)[:_QUOTED]}")
