"""A run that somebody watches: asked for, printed to its end, its files put where they are found.

Whoever watches owns the run: a signal stops it, and so does that nobody reads what is printed. Only
a server that is lost keeps it: then it goes on there.
"""

import asyncio
import tempfile
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from pathlib import Path
from typing import Protocol

from forge.cli.exits import Exit, of_error, of_run
from forge.cli.outfolder import OutFolder, Written
from forge.cli.stopping import Stopping
from forge.client.api import Asked, Client
from forge.errors import ForgeError, ServerUnreachable
from forge.events import ArtifactSaved, Record, RunFinished
from forge.ids import RunId
from forge.tasks import together

OUT = Path("forge-out")
"""Where artifacts are put, below the current folder, in a folder named after the run."""

STOP_S = 30.0
"""How long a run that was stopped may take to end: a second, and more on a busy host."""

GRACE_S = 5.0
"""How long a question may still be on its way after a signal: a run that has begun is stopped."""

_AGAIN_S = 0.5


class View(Protocol):
    """Prints a run."""

    artifacts: dict[str, ArtifactSaved]
    finished: RunFinished | None

    def show(self, record: Record) -> None:
        """Print what happened."""

    def written(self, written: Written) -> None:
        """Print what became of an artifact."""

    def close(self) -> None:
        """Print how it ended."""


async def watch(
    client: Client,
    asking: AbstractAsyncContextManager[Asked],
    view: View,
    stop: Stopping,
    out: Path | None,
) -> Exit:
    """Ask, print what happens to the run's end and put its artifacts where the person finds them. A
    signal meanwhile stops the run, and its end is still seen.

    Raises:
        ForgeError: it was refused, or its server was lost or is none.
    """
    asked = await _followed(client, asking, view, stop)
    folder = OutFolder(out) if out is not None else OutFolder(OUT, (asked.run_id,))
    saved = Exit.DONE
    for written in await fetched(client, asked.run_id, folder, view.artifacts.values()):
        view.written(written)
        if written.error is not None:
            saved = of_error(type(written.error))
    view.close()
    code = of_run(view.finished) if view.finished is not None else Exit.INTERRUPTED
    if code is Exit.INTERRUPTED:
        return stop.asked or code
    return code or saved


async def _followed(
    client: Client, asking: AbstractAsyncContextManager[Asked], view: View, stop: Stopping
) -> Asked:
    wish = asyncio.Event()
    async with together() as tasks:
        leaving = tasks.create_task(_leave_when(wish))
        with stop.by(wish.set):
            async with asking as asked:
                leaving.cancel()
                await _shown(client, asked, view, wish)
            return asked


async def _leave_when(wish: asyncio.Event) -> None:
    """Give a question up when that is wished for, unless its run begins at once.

    Raises:
        ServerUnreachable: it did not; whether it will is not known.
    """
    await wish.wait()
    await asyncio.sleep(GRACE_S)
    raise ServerUnreachable("It was stopped before the server had said whether the run began.")


async def _shown(client: Client, asked: Asked, view: View, wish: asyncio.Event) -> None:
    async with together() as tasks:
        stopping = tasks.create_task(_stop_when(wish, client, asked.run_id))
        try:
            async for record in asked.records:
                view.show(record)
        except (ServerUnreachable, asyncio.CancelledError):
            raise
        except BaseException:
            await _abandon(client, asked.run_id)
            raise
        finally:
            stopping.cancel()


async def _stop_when(wish: asyncio.Event, client: Client, run_id: RunId) -> None:
    """Stop the run when that is wished for; cancelled when its end was seen.

    Raises:
        ServerUnreachable: it was wished for, and the end did not come.
    """
    await wish.wait()
    try:
        async with asyncio.timeout(STOP_S):
            await _stopped(client, run_id)
            await asyncio.Event().wait()
    except TimeoutError:
        raise ServerUnreachable(f"The run {run_id} did not end within {STOP_S:.0f} s.") from None


async def _stopped(client: Client, run_id: RunId) -> None:
    """Tell the server, again where it is lost."""
    while True:
        try:
            await client.stop(run_id)
        except ForgeError as error:
            if not error.retry:
                raise
            await asyncio.sleep(_AGAIN_S)
        else:
            return


async def _abandon(client: Client, run_id: RunId) -> None:
    """End a run that nobody watches any more, as well as that can be done."""
    with suppress(ForgeError, TimeoutError):
        async with asyncio.timeout(STOP_S):
            await client.stop(run_id)
            async with aclosing(client.follow(run_id)) as records:
                async for _ in records:
                    continue


async def fetched(
    client: Client, run_id: RunId, folder: OutFolder, artifacts: Iterable[ArtifactSaved]
) -> list[Written]:
    """Put each artifact into the folder; one that cannot be does not keep the others from it."""
    found: list[Written] = []
    with tempfile.TemporaryDirectory(prefix="forge-") as name:
        kept = Path(name) / "artifact"
        for artifact in artifacts:
            try:
                await client.files.made(run_id, artifact.sha256, artifact.size, kept)
            except ForgeError as error:
                found.append(Written(artifact, None, error))
            else:
                found += await asyncio.to_thread(folder.write, (artifact,), lambda _: kept)
            kept.unlink(missing_ok=True)
    return found
