"""The contract of a machine's ports: `sandbox.ports`.

A machine has no network. What its programs listen on is reached over its agent's line: from here,
and from nowhere else. `forge.sandbox.forward` makes a port of this host of it. What every call may
raise is in `forge.sandbox.base`.
"""

from dataclasses import dataclass
from typing import Protocol

MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class ListeningPort:
    """A TCP port that is listened on in the machine, as the machine says.

    `pid` and `process` say who listens, as far as that is known; the name is at most 64 characters.
    """

    port: int
    address: str
    pid: int | None
    process: str


class PortConnection(Protocol):
    """A connection to a program in the machine: raw bytes both ways. Whoever has it closes it.

    One task may read while another writes. Each side may finish while the other goes on. Waiting
    for a program has no end of its own; a machine that no longer answers ends it.
    """

    async def read(self) -> bytes:
        """Some bytes, at most 64 KiB; b'' once the program has finished.

        Raises:
            PortUnreachable: the program broke the connection off.
            SandboxStopped: it was closed, here or with the machine.
        """

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the program does not take them.

        Raises:
            PortUnreachable: the program broke the connection off.
            SandboxStopped: it was closed, here or with the machine.
        """

    async def finish(self) -> None:
        """Say that nothing more will be written; the program reads the end. Again: nothing."""

    def close(self) -> None:
        """Break the connection off where it is not over. Calling it again does nothing."""


class Ports(Protocol):
    """What a machine's programs listen on."""

    async def list(self) -> tuple[ListeningPort, ...]:
        """The ports that are listened on, by port; at most 1,024.

        Raises:
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see `sandbox.base`.
        """

    async def connect(self, port: int) -> PortConnection:
        """Connect to a port of the machine's loopback, `127.0.0.1` or else `::1`.

        Raises:
            InputRefused: it is not a number from 1 to 65,535.
            PortUnreachable: nothing listens there, or it does not accept.
            GuestRefused: the machine has too many calls under way.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see `sandbox.base`.
        """
