"""A new file of a person's choosing: made, never opened, and for its owner's eyes."""

import os
from pathlib import Path

from forge.errors import HostUnfit, InputRefused

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def write_new(path: Path, content: bytes) -> None:
    """Write a new file; one that is there is not touched.

    Raises:
        InputRefused: there is one.
        HostUnfit: it cannot be written.
    """
    try:
        with open(os.open(path, _NEW, 0o600), "wb") as file:  # noqa: PTH123  (a descriptor, no path)
            file.write(content)
    except FileExistsError:
        raise InputRefused(f"{path} is there already.", hint="Name another file.") from None
    except OSError as error:
        raise HostUnfit(f"{path} cannot be written: {error.strerror}.") from error
