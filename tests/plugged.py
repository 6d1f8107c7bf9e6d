"""Machines that are processes of this host, for servers that are processes of their own.

They are `forge.testing`'s, brought in by an entry point as another package would bring its own:
`FORGE_SANDBOX=local` and the folder on `PYTHONPATH`.
"""

from pathlib import Path

_PLUGIN = """
from contextlib import asynccontextmanager
from forge.testing.sandbox import LocalProvider

@asynccontextmanager
async def local(home, images, notify):
    provider = LocalProvider()
    try:
        yield provider
    finally:
        await provider.close()
        (home / "machines-stopped").touch()
"""


def plugged(folder: Path) -> Path:
    """The folder with the package that brings them."""
    plugin = folder / "plugin"
    facts = plugin / "forge_local-1.0.dist-info"
    facts.mkdir(parents=True)
    (plugin / "forge_local.py").write_text(_PLUGIN)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: forge-local\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[forge.sandboxes]\nlocal = forge_local:local\n")
    return plugin
