"""Fetches a template's locked wheels for the machine's Python, whichever Python runs Forge.

Only wheels, only with the hashes of the lock, and nothing that the lock does not name: no code of a
package runs on the host. uv does it where it is installed, else this interpreter's own pip.
"""

import importlib.util
import shutil
import sys
from pathlib import Path

from forge.errors import ProgramMissing
from forge.sandbox.images.process import Programs

_VERSION = "3.11"
_FETCH_S = 1800.0  # takes 10 s here; a slow line may need minutes for 130 MB


async def fetch_wheels(programs: Programs, lock: Path, target: Path) -> None:
    """Install the wheels of a lock file into a folder, without running anything of theirs.

    Raises:
        ProgramMissing: there is neither uv nor pip.
        NoSpace, ImageBuildFailed: fetching failed.
    """
    uv = _find_uv()
    if uv is not None:
        argv = [uv, *_UV, "--python", sys.executable]
    elif importlib.util.find_spec("pip") is not None:
        argv = [sys.executable, "-m", *_PIP]
    else:
        raise ProgramMissing("neither uv nor pip is there to fetch a template's Python packages")
    await programs.run(
        [*argv, "--target", str(target), "--requirement", str(lock)], deadline_s=_FETCH_S
    )


def _find_uv() -> str | None:
    """The uv on the PATH, or beside the Python that runs Forge, where the set-up links it."""
    beside = Path(sys.executable).with_name("uv")
    return shutil.which("uv") or (str(beside) if beside.is_file() else None)


_UV = (
    *("pip", "install", "--quiet", "--no-progress", "--no-deps", "--require-hashes"),
    *("--only-binary", ":all:", "--link-mode", "copy", "--no-compile-bytecode"),
    *("--python-version", _VERSION, "--python-platform", "x86_64-manylinux_2_28"),
)
_PIP = (
    *("pip", "install", "--quiet", "--no-input", "--no-deps", "--require-hashes", "--no-compile"),
    *("--only-binary", ":all:", "--python-version", _VERSION, "--implementation", "cp"),
    *("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_27_x86_64"),
    *("--platform", "manylinux_2_17_x86_64", "--platform", "manylinux2014_x86_64"),
    *("--platform", "manylinux_2_12_x86_64", "--platform", "manylinux_2_5_x86_64"),
)
