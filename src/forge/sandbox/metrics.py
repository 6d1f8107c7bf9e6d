"""What a machine uses: measured by the host where a guest could lie, and marked where it is asked.

Everything in `Metrics` but `claims` is read from the host's kernel and Forge's own counters,
without a word to the guest. `claims` is what the guest says of itself: a hostile one may say
anything that is a number.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claims:
    """What the guest says: memory its programs could still have, and how many processes and
    threads they are. Checked to be numbers, and believed no further.
    """

    memory_available_bytes: int
    processes: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """A machine's use at one moment.

    Attributes:
        uptime_s: since the machine was made or opened here, in seconds; pauses count.
        cpu_seconds: processor time that the machine has used in all, its VMM included.
        cpu_percent: of one processor, since the reading before (at least a tenth of a second ago).
        memory_rss_bytes: host memory that the machine touches, shared pages counted whole; 0 while
            it is paused, as are the other two.
        memory_pss_bytes: the same with each shared page divided among those that share it.
        memory_private_bytes: host memory that is the machine's alone: what ending it gives back.
        memory_limit_bytes: the guest's memory; the VMM's own comes on top.
        disk_used_bytes: what the machine's disk occupies on the host.
        disk_limit_bytes: how large it may become.
        sent_bytes: over the wire, to the guest.
        received_bytes: over the wire, from the guest.
        claims: what the guest says of itself; None where it was not asked.
    """

    uptime_s: float
    cpu_seconds: float
    cpu_percent: float
    memory_rss_bytes: int
    memory_pss_bytes: int
    memory_private_bytes: int
    memory_limit_bytes: int
    disk_used_bytes: int
    disk_limit_bytes: int
    sent_bytes: int
    received_bytes: int
    claims: Claims | None = None


class CpuMeter:
    """Turns readings of a clock and of processor time into a share. Pure.

    Args:
        now: the clock at the beginning, in seconds.
        used: the processor time used by then, in seconds.
    """

    _WINDOW_S = 0.1
    """Below this, the grain of scheduling would be taken for load."""

    def __init__(self, now: float, used: float) -> None:
        self._now, self._used, self._percent = now, used, 0.0

    def read(self, now: float, used: float) -> float:
        """Percent of one processor since the last reading that was long enough ago."""
        passed = now - self._now
        if passed >= self._WINDOW_S:
            self._percent = 100.0 * max(0.0, used - self._used) / passed
            self._now, self._used = now, used
        return self._percent
