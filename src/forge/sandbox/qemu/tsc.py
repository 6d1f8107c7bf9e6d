"""How fast this host's time-stamp counter runs, measured.

Under software emulation a guest's counter is the host's. QEMU's `microvm` machine has no timer
that the guest could calibrate it against but the PIT, and on a busy host that calibration fails,
after which the guest waits for ever for a timer interrupt that never comes (measured: from 0 to 10
of 10 boots, by the host's load). Told the frequency, the guest calibrates nothing.
"""

import ctypes
import mmap
import time
from collections.abc import Callable

# rdtsc; shl rdx, 32; or rax, rdx; ret
_READ = bytes.fromhex("0f31 48c1e220 4809d0 c3")
_WINDOW_S = 0.05
"""Long enough for an error below 10 parts in a million, short beside a boot."""


def measure_khz() -> int:
    """The counter's frequency in kHz.

    Raises:
        OSError: the host forbids memory that is writable and executable.
    """
    executable = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    with mmap.mmap(-1, mmap.PAGESIZE, prot=executable) as page:
        page.write(_READ)
        pointer = ctypes.c_char.from_buffer(page)
        try:
            read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(pointer))
            started, first = _sample(read)
            time.sleep(_WINDOW_S)
            ended, last = _sample(read)
        finally:
            del pointer
    return round((last - first) * 1_000_000 / (ended - started))


def _sample(read: Callable[[], int]) -> tuple[float, int]:
    """A time and the counter at that time: of many tries the one least interrupted."""
    tries = []
    for _ in range(50):
        before = time.monotonic_ns()
        counter = read()
        after = time.monotonic_ns()
        tries.append((after - before, (before + after) / 2, counter))
    _, moment, counter = min(tries)
    return moment, counter
