"""A machine that cannot be started leaves nothing open."""

import gc
from pathlib import Path

import pytest

from forge.errors import HostUnfit
from forge.sandbox.images.store import Image
from forge.sandbox.qemu.argv import Shape
from forge.sandbox.qemu.launch import Layout, launch


def _open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_file_that_is_missing_leaves_no_socket_open(tmp_path: Path) -> None:
    """Whatever was opened before the missing file is closed, not left to the collector."""
    gone = tmp_path / "gone"
    image = Image("base", "0" * 16, gone, gone, gone, gone, "squashfs", (), {})
    layout = Layout(image, Shape("tcg", 256), gone, gone, tmp_path, 64, boot=False)
    gc.collect()
    gc.disable()
    try:
        before = _open()
        with pytest.raises(HostUnfit) as caught:
            await launch(layout)
        # The traceback still holds the frame, so nothing is closed by luck.
        assert caught.tb is not None
        assert _open() == before
    finally:
        gc.enable()
