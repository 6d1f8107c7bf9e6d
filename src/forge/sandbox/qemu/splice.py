"""The device state of a machine that goes on, made into one that QEMU loads. Pure."""

import re

_SECTION = re.compile(rb"\x04[\x00-\xff]{4}([\x01-\xff])")


def splice(former: bytes, devices: bytes) -> bytes:
    """A state that QEMU loads, of the state a machine started from and its devices as they are now.

    QEMU writes the devices of a running machine without what comes before them in a state: the
    configuration, and the blocks of memory that are no RAM and never change. Those are the former
    state's, up to the same first section of devices.

    Raises:
        ValueError: the two do not fit.
    """
    first = _SECTION.match(devices, 8)
    if devices[:4] != b"QEVM" or first is None:
        raise ValueError("QEMU's device state has another form")
    header = devices[8 : first.end() + first[1][0] + 8]
    before = former.find(header)
    if before < 0:
        raise ValueError("QEMU's device state does not begin as the former one")
    # A state ends with a description for people, which QEMU looks for and may be empty.
    return former[:before] + devices[8:] + b"\x06\0\0\0\2{}"
