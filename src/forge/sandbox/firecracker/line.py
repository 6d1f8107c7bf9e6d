"""The line to a guest behind Firecracker's vsock, which on the host is a Unix socket.

    host ──▶  CONNECT 1000\\n
         ◀──  OK 1073741824\\n            from here on the guest's own bytes

Firecracker hangs up where nobody in the guest listens yet, so the call is repeated until the guest
answers, the VMM ends, or the deadline passes.
"""

import asyncio
import contextlib
import os
import re
import socket
from pathlib import Path

from forge.errors import SandboxDied, SandboxUnresponsive
from forge.sandbox.firecracker.api import pinned
from forge.sandbox.vmm import Vmm

_PAUSE_S = 0.005  # between two calls: short beside a boot, long beside a call
_GREETING = re.compile(rb"OK \d{1,10}\n")
_LONGEST = 14


async def connect(path: Path, port: int, vmm: Vmm, deadline_s: float) -> int:
    """A descriptor connected to `port` of the guest; it belongs to the caller.

    Raises:
        SandboxDied: the VMM ended, or answered what no Firecracker answers.
        SandboxUnresponsive: nobody in the guest listened in time.
    """
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                fd = await _call(path, port)
                if fd is not None:
                    return fd
                if vmm.ended.is_set():
                    raise SandboxDied(f"the machine ended before it answered: {vmm.why()}")
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError as error:
        raise SandboxUnresponsive(
            f"the guest did not answer on vsock within {deadline_s:g} s"
        ) from error


async def _call(path: Path, port: int) -> int | None:
    """One call; None where nobody listens yet."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        try:
            place = pinned(path)
            stack.callback(os.close, place)
            caller = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            caller.setblocking(False)
            await loop.sock_connect(caller, f"/proc/self/fd/{place}")
            await loop.sock_sendall(caller, f"CONNECT {port}\n".encode())
            said = await _line(caller)
        except (FileNotFoundError, ConnectionError):
            return None
        if not said:
            return None
        if not _GREETING.fullmatch(said):
            raise SandboxDied("Firecracker answered something else than OK on its vsock socket")
        return caller.detach()


async def _line(caller: socket.socket) -> bytes:
    """Up to the end of the line and not a byte further: what follows is the guest's."""
    said = b""
    loop = asyncio.get_running_loop()
    while not said.endswith(b"\n") and len(said) < _LONGEST:
        byte = await loop.sock_recv(caller, 1)
        if not byte:
            return b""
        said += byte
    return said
