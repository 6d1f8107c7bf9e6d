"""How the host is reached: a serial port that is there for life, or a vsock port to wait on.

A connection over vsock does not outlive a snapshot: the machine that is restored finds it broken
and waits for its new host. So a host that goes away does not end a machine here; its VMM, which
dies with it, does. Only the host may connect: programs in the machine are turned away.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator

PORT = "/dev/vport0p1"


async def serial(path: str = PORT) -> AsyncIterator[int]:
    """The one connection over a serial port. Its descriptor belongs to whoever takes it."""
    yield os.open(path, os.O_RDWR | os.O_CLOEXEC)


async def vsock(port: int) -> AsyncIterator[int]:
    """Each connection over vsock, one after another, without end."""
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as listener:
        listener.bind((socket.VMADDR_CID_ANY, port))
        # On the console: a host that waits in vain learns that the machine itself came up.
        sys.stderr.write(f"forge: the agent waits for its host on vsock port {port}\n")
        sys.stderr.flush()
        async for fd in accepted(listener, socket.VMADDR_CID_HOST):
            yield fd


async def accepted(listener: socket.socket, host: object) -> AsyncIterator[int]:
    """Each connection from `host`, once the one before has been served. Others are closed."""
    listener.setblocking(False)
    listener.listen(1)
    loop = asyncio.get_running_loop()
    while True:
        connection, (peer, _) = await loop.sock_accept(listener)
        if peer == host:
            yield connection.detach()
        else:
            connection.close()
