"""The real Firecracker, fetched once by the project's own script; tests without it are skipped."""

import contextlib
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import house

_HOME = house.ROOT / ".tools" / "firecracker"
FORGE_HOME = Path.home() / ".local/share/forge"
_FETCH_S = 120  # a wheel of 2 MB; a slow line may need a minute


@functools.cache
def program() -> Path:
    """Where it is; skips the test where it cannot be had."""
    fetched = subprocess.run(
        [house.ROOT / "scripts" / "fetch-firecracker.sh", _HOME],
        capture_output=True,
        text=True,
        timeout=_FETCH_S,
        check=False,
    )
    if fetched.returncode:
        pytest.skip(f"Firecracker cannot be fetched here: {fetched.stderr.strip()[-300:]}")
    return _HOME / "firecracker"


@contextlib.contextmanager
def folder_beside_images() -> Iterator[Path]:
    """A folder on the file system of the images, whose files a machine's room links to."""
    FORGE_HOME.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="try-", dir=FORGE_HOME))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def kvm() -> None:
    """Skips the test where Firecracker could not start any guest at all."""
    if not Path("/dev/kvm").exists():
        pytest.skip("there is no /dev/kvm here, and Firecracker runs on nothing else")
