"""What one machine uses, measured on this host: `Sandbox.metrics`."""

import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from forge.errors import SandboxDied, SandboxError
from forge.sandbox.agent.connection import Connection
from forge.sandbox.base import Limits
from forge.sandbox.machines.engine import DATA, Running
from forge.sandbox.metrics import CpuMeter, Metrics
from forge.sandbox.processes import Memory, memory, occupied


class Measuring:
    """Reads a machine's use; knows what former VMMs of it had used before it was paused.

    Args:
        folder: the machine's.
        limits: the machine's.
        connected: its connection, once it runs.
        running: what runs now, or None while it is paused.
        over: why the machine has ended for good, or None.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        connected: Callable[[], Awaitable[Connection]],
        running: Callable[[], Running | None],
        over: Callable[[], SandboxError | None],
    ) -> None:
        self._folder, self._limits = folder, limits
        self._connected, self._running, self._over = connected, running, over
        self._since = time.monotonic()
        self._spent = 0.0
        self._traffic = (0, 0)
        self._meter = CpuMeter(self._since, 0.0)

    def put_down(self, running: Running) -> None:
        """Count what a machine used that is about to be paused."""
        with contextlib.suppress(OSError):  # it has ended by itself: what it used is not known
            self._spent += running.cpu_seconds
        sent, received = running.traffic
        self._traffic = (self._traffic[0] + sent, self._traffic[1] + received)

    async def read(self, *, claims: bool = True) -> Metrics:
        """See `forge.sandbox.base.Sandbox.metrics`."""
        said = await (await self._connected()).usage() if claims else None
        over = self._over()
        if over is not None:
            raise over
        running, held, used = self._running(), Memory(0, 0, 0), self._spent
        sent, received = self._traffic
        now = time.monotonic()
        try:
            if running is not None:
                used, held = used + running.cpu_seconds, memory(running.pid)
                sent, received = (
                    a + b for a, b in zip((sent, received), running.traffic, strict=True)
                )
            disk = occupied(self._folder / DATA)
        except OSError as error:
            raise SandboxDied("the machine ended while it was measured") from error
        return Metrics(
            uptime_s=now - self._since,
            cpu_seconds=used,
            cpu_percent=self._meter.read(now, used),
            memory_rss_bytes=held.rss,
            memory_pss_bytes=held.pss,
            memory_private_bytes=held.private,
            memory_limit_bytes=self._limits.memory_mib << 20,
            disk_used_bytes=disk,
            disk_limit_bytes=self._limits.disk_mib << 20,
            sent_bytes=sent,
            received_bytes=received,
            claims=said,
        )
