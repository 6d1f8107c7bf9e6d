"""Finds a libkrun on this host and has it looked over, in a process that may end as it likes."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forge.errors import HostUnfit, ProgramMissing

_PLACES = ("/usr/local/lib64", "/usr/local/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu")
_NAMES = ("libkrun.so", "libkrun.so.1", "libkrun.so.2")
_EXAMINE = Path(__file__).with_name("examine.py")
_DEADLINE_S = 10.0  # it takes 50 ms; this is for a host under heavy load
_MAX_SAID = 4096
_ACPI_DEVICE = b"LNRO0005"  # the name that virtio devices have in ACPI tables


class Looked(BaseModel):
    """What a library has: the functions it lacks, disks, and whether a context could be made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    missing: tuple[Annotated[str, Field(max_length=64)], ...]
    disks: bool
    context: bool


def find_library(home: Path, places: tuple[str, ...] = _PLACES) -> Path:
    """The library: Forge's own copy, else this host's.

    Raises:
        ProgramMissing: there is neither.
    """
    for place in (home / "lib", *map(Path, places)):
        for name in _NAMES:
            if (place / name).is_file():
                return place / name
    raise ProgramMissing(
        "libkrun is not installed, and this provider is about nothing else",
        hint="Install libkrun (docs/providers.md says from where), or choose another provider.",
    )


def describes_by_acpi(library: Path) -> bool:
    """Whether it can describe its devices in ACPI tables, by the name they would have there.

    Raises:
        OSError: it cannot be read.
    """
    return _ACPI_DEVICE in library.read_bytes()


async def look(library: Path) -> Looked:
    """Have a library looked over.

    Raises:
        HostUnfit: it cannot be loaded, or does not do what libkrun does.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(_EXAMINE), str(library)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": str(library.parent)},
    )
    try:
        async with asyncio.timeout(_DEADLINE_S):
            said, complained = await child.communicate()
    except TimeoutError as error:
        child.kill()
        await child.wait()
        raise HostUnfit(
            f"{library} did nothing for {_DEADLINE_S:g} s when it was loaded"
        ) from error
    try:
        return Looked.model_validate_json(said[:_MAX_SAID])
    except ValidationError as error:
        why = complained.decode(errors="replace").strip().rpartition("\n")[2][-300:]
        raise HostUnfit(f"{library} cannot be used: {why or 'it said nothing'}") from error
