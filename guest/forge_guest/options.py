"""What the host says on the kernel's command line: the words that begin with `forge.`.

    forge.rootfs=KIND       the file system of the template's root
    forge.line=vsock:PORT   wait for the host on this vsock port; left out: the serial port
    forge.disk-NAME=vdX     which disk is NAME (agent, root, data); left out: found by its serial

Not every VMM can give a disk a serial of its own, or a machine a serial port.
"""

from collections.abc import Mapping
from pathlib import Path

_OURS = "forge."
_VSOCK = "vsock:"


def read() -> dict[str, str]:
    """Every option of ours, without the `forge.`."""
    return parse(Path("/proc/cmdline").read_text())


def parse(line: str) -> dict[str, str]:
    """The options of a command line; of one given twice the last counts."""
    words = (word.partition("=") for word in line.split() if word.startswith(_OURS))
    return {name.removeprefix(_OURS): value for name, _, value in words}


def vsock_port(options: Mapping[str, str]) -> int | None:
    """The vsock port to wait on, or None where the line is the serial port.

    Raises:
        ValueError: it names another kind of line, or no port.
    """
    line = options.get("line")
    if line is None:
        return None
    if not line.startswith(_VSOCK):
        raise ValueError(f"no line is called {line!r}")
    return int(line.removeprefix(_VSOCK))
