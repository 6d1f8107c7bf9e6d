"""Where everything is kept, as the settings say: the home folder, the database, the files.

The part of `wiring` that needs no machine and no model: backups are made and put back from here.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from forge import __version__
from forge.clock import Clock, SystemClock
from forge.errors import ForgeError, HostUnfit
from forge.ledger.read import LedgerReader
from forge.settings import Settings
from forge.store.backup import Manifest
from forge.store.blobs import BlobStore
from forge.store.database import Database
from forge.tasks import together

LOG = logging.getLogger(__name__)

TIDY_S = 6 * 3600.0
"""How often the place of files is swept."""

OLD_S = 24 * 3600.0
"""From what age on something there is swept: nothing is written for that long."""


def open_database(settings: Settings) -> AbstractAsyncContextManager[Database]:
    """The database. It is closed when the block is left.

    Raises:
        ForgeError: as in `Database.open`.
    """
    return Database.open(settings.database_url.get_secret_value() or settings.home / "forge.db")


def open_blobs(settings: Settings) -> BlobStore:
    """Where files are kept. It holds nothing open.

    Raises:
        SettingsInvalid: FORGE_BLOBS_URL is none of a bucket, or the extra `s3` is not installed.
    """
    folder, url = settings.home / "blobs", settings.blobs_url.get_secret_value()
    if not url:
        return BlobStore(folder)
    from forge.store.s3 import S3Blobs

    return S3Blobs(folder, url)


@asynccontextmanager
async def kept_tidy(
    blobs: BlobStore, clock: Clock, *, every_s: float = TIDY_S
) -> AsyncIterator[None]:
    """Sweep the place of files now and then, until the block is left: what crashes left
    half-written, and copies of a bucket's files, once they are a day old.
    """

    async def sweep() -> None:
        while True:
            try:
                swept = await blobs.sweep(before=clock.now().timestamp() - OLD_S)
                LOG.info("swept the place of files: %d removed", swept)
            except (ForgeError, OSError) as error:
                LOG.warning("the place of files was not swept: %s", error)
            await asyncio.sleep(every_s)

    async with together() as tasks:
        sweeping = tasks.create_task(sweep())
        try:
            yield
        finally:
            sweeping.cancel()


async def back_up(settings: Settings, path: Path) -> Manifest:
    """Write a backup of the database and the files to `path`; runs may go on meanwhile.

    Raises:
        ForgeError: as in `forge.store.backup.back_up`.
    """
    from forge.store import backup

    make_home(settings.home)
    async with open_database(settings) as database:
        return await backup.back_up(
            database,
            open_blobs(settings),
            path,
            version=__version__,
            now=SystemClock().now(),
        )


async def restore(settings: Settings, path: Path, *, force: bool) -> Manifest:
    """Put a backup back; with `force` it replaces what is there.

    Raises:
        ForgeError: as in `forge.store.restore.restore`.
    """
    from forge.store import restore as restoring

    async def check(database: Database) -> None:
        await LedgerReader(database).verify_all()

    make_home(settings.home)
    async with open_database(settings) as database:
        return await restoring.restore(path, database, open_blobs(settings), check, force=force)


def make_home(home: Path) -> None:
    """Make the home folder for its owner's eyes only, if it is not there yet."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HostUnfit(
            f"{home} cannot be made: {error.strerror}.",
            hint="Point FORGE_HOME at a folder you may write to.",
        ) from error
