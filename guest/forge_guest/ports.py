"""The verbs of ports: which are listened on in the machine, and a connection to one of them.

A connection is a stream: raw bytes both ways, each direction ended by itself. The agent connects to
the machine's own loopback and to nothing else, and listens on nothing itself.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from forge_guest.abandoning import abandoning
from forge_guest.refusal import Refused, Verb
from forge_guest.wire.channel import Stream
from forge_guest.wire.session import Data

CONTENT = 1
MAX_PORTS = 1024
_DIAL_S = 10.0  # loopback answers at once; this is for a program whose backlog is full
_PIECE = 32 * 1024
_TABLE = 4 * 1024 * 1024  # bytes of the kernel's table; those that listen come first
_LISTENING = "0A"
_LINKS = 20_000  # descriptors looked at to find out who listens; beyond them it is not told
_TURN = 256
_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


@dataclass(frozen=True)
class Listening:
    """One socket that is listened on."""

    port: int
    address: str
    inode: str


class Ports:
    """Answers the verbs; owns nothing."""

    def verbs(self) -> dict[str, Verb]:
        """What is answered here."""
        return {"ports": self.ports, "connect": self.connect}

    async def ports(self, stream: Stream) -> None:
        """Which ports are listened on."""
        found = [*_listening("/proc/net/tcp"), *_listening("/proc/net/tcp6")][:MAX_PORTS]
        owners = await _owners({each.inode for each in found})
        for each in found:
            pid = owners.get(each.inode)
            line = {"port": each.port, "address": each.address, "pid": pid, "process": _name(pid)}
            await stream.send(CONTENT, json.dumps(line).encode() + b"\n")
        await stream.message({"count": len(found)}, fin=True)

    async def connect(self, stream: Stream) -> None:
        """Be a connection to a port of the machine's loopback.

        Raises:
            Refused: nothing listens there, or it broke the connection off.
        """
        port = stream.request["port"]
        if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 1 << 16:
            raise Refused("refused", "there is no such port")
        link, address = await _dial(port)
        with link:
            try:
                await stream.message({"address": address})
                async with abandoning(stream) as tasks:
                    inward = tasks.create_task(_inward(stream, link))
                    await _outward(link, stream)
                    await inward
            except OSError as error:
                why = f"port {port} broke the connection off: {error.strerror}"
                raise Refused("unreachable", why) from error


async def _inward(stream: Stream, link: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while (item := await stream.receive()) is not None:
        if isinstance(item, Data):
            await loop.sock_sendall(link, item.data)
    link.shutdown(socket.SHUT_WR)


async def _outward(link: socket.socket, stream: Stream) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(link, _PIECE):
        await stream.send(CONTENT, data)
    await stream.message({"ended": True}, fin=True)


async def _dial(port: int) -> tuple[socket.socket, str]:
    loop = asyncio.get_running_loop()
    why = "nothing answers"
    for family, address in _LOOPBACK:
        try:
            link = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:
            continue  # a kernel without this family
        try:
            async with asyncio.timeout(_DIAL_S):
                await loop.sock_connect(link, (address, port))
            # The kernel may choose the very port as our own, and connect us to ourselves.
            if link.getsockname() != link.getpeername():
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return link, address
        except OSError as error:  # a timeout is one too
            why = error.strerror or f"no answer within {_DIAL_S:.0f} s"
        except BaseException:
            link.close()
            raise
        link.close()
    raise Refused("unreachable", f"port {port} cannot be reached: {why}")


def _listening(table: str) -> Iterator[Listening]:
    try:
        with Path(table).open() as file:
            lines = file.read(_TABLE).splitlines()[1:]
    except FileNotFoundError:
        return  # a kernel without this family
    for line in lines:
        words = line.split()
        if len(words) > 9 and words[3] == _LISTENING:
            address, _, port = words[1].partition(":")
            yield Listening(int(port, 16), _address(address), words[9])


def _address(text: str) -> str:
    """An address of the kernel's table, which writes each word of it as the processor keeps it."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words))


async def _owners(inodes: set[str]) -> dict[str, int]:
    """Which process holds each socket, as far as it is found."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[str, int] = {}
    looked = 0
    for pid in sorted(int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()):
        for link in _links(pid):
            looked += 1
            if link in wanted:
                owners.setdefault(wanted[link], pid)
            if looked % _TURN == 0:
                await asyncio.sleep(0)
        if looked > _LINKS or len(owners) == len(wanted):
            break
    return owners


def _links(pid: int) -> Iterator[str]:
    try:
        for entry in islice(Path(f"/proc/{pid}/fd").iterdir(), _LINKS):
            with suppress(OSError):  # it was closed
                yield str(entry.readlink())
    except OSError:
        return  # it has ended


def _name(pid: int | None) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_bytes()[:64].decode("utf-8", "replace").strip()
    except OSError:
        return ""
