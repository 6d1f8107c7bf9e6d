"""`forge backup` and `forge restore`: all that Forge keeps, in one file and back."""

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path

from forge.cli import words
from forge.cli.exits import Exit
from forge.cli.render import Screen
from forge.errors import BackupRefused, HostUnfit
from forge.keeping import back_up
from forge.keeping import restore as put_back
from forge.settings import Settings


async def backup(settings: Settings, screen: Screen, place: Path) -> Exit:
    """Write a backup, to a file or into a folder under a name of its own, and say its digest."""
    path = place
    if place.is_dir():
        path = place / f"forge-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip"
    manifest = await back_up(settings, path)
    files = sum(name.startswith("blobs/") for name in manifest.members)
    digest = await asyncio.to_thread(_digest, path)
    screen.line(f"{path} ({words.size(path.stat().st_size)}): all rows, and {files} files.")
    screen.line(f"SHA-256 {digest}")
    if manifest.missing:
        screen.line(f"{len(manifest.missing)} files were lost before: {manifest.missing[0]} …")
    return Exit.DONE


async def restore(
    settings: Settings, screen: Screen, path: Path, sha256: str, *, force: bool
) -> Exit:
    """Put a backup back, after comparing its digest where one is given."""
    if sha256 and await asyncio.to_thread(_digest, path) != sha256.strip().lower():
        raise BackupRefused(f"The file {path} has another SHA-256 than the one that was given.")
    manifest = await put_back(settings, path, force=force)
    files = sum(name.startswith("blobs/") for name in manifest.members)
    screen.line(
        f"Restored what Forge {manifest.version} kept at {manifest.made_at:%Y-%m-%d %H:%M} UTC: "
        f"all rows, and {files} files. Every ledger was checked."
    )
    return Exit.DONE


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise HostUnfit(
            f"The file {path} cannot be read: {error.strerror}.",
            hint="Name a backup that is there.",
        ) from error
