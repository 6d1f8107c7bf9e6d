"""Images, measured: built from nothing, built again, and how large each part is.

Building from nothing downloads Debian's packages and Python's wheels anew, so it takes minutes.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from forge.sandbox.images.build import Progress, build
from forge.sandbox.images.stock import guest_folder, recipes_folder
from forge.sandbox.images.store import Image, ImageStore


def _report(name: str, value: float, unit: str, n: int = 1) -> None:
    print(json.dumps({"name": name, "value": round(value, 2), "unit": unit, "n": n}), flush=True)


def _ignore(_: Progress) -> None:
    return None


async def _build(home: Path) -> Image:
    return await build(ImageStore(home), "base", recipes_folder() / "base", guest_folder(), _ignore)


def main() -> None:
    """Measure on this host, in a home of its own."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        image = asyncio.run(_build(Path(folder)))
        _report("image from nothing", time.perf_counter() - started, "s")
        for name in ("vmlinuz", "initrd", "agent", "root"):
            _report(f"size of {name}", getattr(image, name).stat().st_size / 1e6, "MB")
        started = time.perf_counter()
        command = [sys.executable, "-m", "forge", "image", "build"]
        environment = {"FORGE_HOME": folder, "PATH": "/usr/bin:/bin"}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        _report("`forge image build`, nothing changed", time.perf_counter() - started, "s")


main()
