"""`forge run`: one prompt, one run, watched to its end."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from forge.cli.exits import Exit, of_error, of_run
from forge.cli.live import LiveView, say_written
from forge.cli.outfolder import OutFolder, Written
from forge.cli.render import Screen
from forge.cli.stopping import Stopping, stopping
from forge.cli.uploads import uploads
from forge.cli.volume import mount_from
from forge.errors import InputRefused
from forge.events import ArtifactSaved, Caps, Record, RunFinished
from forge.runs.wish import LONGEST_PROMPT, RunWish, check_route
from forge.settings import ModelChoice, Settings, choose_model
from forge.wiring import Forge, open_forge

OUT = Path("forge-out")
"""Where artifacts are put, below the current folder, in a folder named after the run."""

OFFLINE = """\
No model is configured, so nothing here understands what you write: Forge only runs the fenced \
code blocks (```python or ```bash) in your message, in a fresh machine.
To get a model, set ANTHROPIC_API_KEY, or OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your \
own; docs/settings.md has the rest."""


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked on the command line. Caps that are None are the settings' own."""

    prompt: str
    files: Sequence[Path] = ()
    model: str = ""
    out: Path | None = None
    max_iterations: int | None = None
    max_tokens: int | None = None
    max_usd: Decimal | None = None
    max_wall_s: float | None = None
    as_json: bool = False
    volumes: Sequence[str] = ()
    template: str = ""
    route: str = ""

    def caps(self, settings: Settings) -> Caps:
        """The run's caps: what was named, and the settings' own for the rest."""
        named = {
            "iterations": self.max_iterations,
            "tokens": self.max_tokens,
            "usd": self.max_usd,
            "wall_s": self.max_wall_s,
        }
        own = {name: value for name, value in named.items() if value is not None}
        return settings.caps.model_copy(update=own)


def prompt_from(argument: str | None) -> str:
    """The prompt: the argument, or standard input where that is `-` or missing and piped. It is
    looked at before anything is made ready, which may take minutes.

    Raises:
        InputRefused: there is none, it is too long, or it is not text.
    """
    if argument is not None and argument != "-":
        return _something(argument)
    if argument is None and sys.stdin.isatty():
        return _something("")
    try:
        text = sys.stdin.read(LONGEST_PROMPT + 1)
    except UnicodeDecodeError as error:
        raise InputRefused("What was piped in is not UTF-8 text.") from error
    if len(text) > LONGEST_PROMPT:
        raise InputRefused(f"More than {LONGEST_PROMPT} characters were piped in.")
    return _something(text)


def _something(text: str) -> str:
    if not text.strip():
        raise InputRefused(
            "There is nothing asked: the prompt is empty.",
            hint='Give a prompt, as in `forge run "…"`, pipe one in, or try `forge chat`.',
        )
    return text


async def run(settings: Settings, order: Order, screen: Screen) -> Exit:
    """Carry out an order; returns what the command ends with."""
    with stopping(screen.notice) as stop:
        try:
            return await _run(settings, order, screen, stop)
        except asyncio.CancelledError:
            if stop.asked is None:
                raise
            return stop.asked


async def _run(settings: Settings, order: Order, screen: Screen, stop: Stopping) -> Exit:
    check_route(order.route)
    files = uploads(order.files)
    mounts = tuple(mount_from(each) for each in order.volumes)
    if order.out is not None:
        OutFolder(order.out).check()
    choice = choose_model(settings, order.model)
    introduce(choice, screen)
    async with open_forge(settings, screen.notice, choice) as forge:
        if (order.route or settings.route) != "chat":
            await forge.machines.prepare(screen.building)
        spec = replace(await forge.machines.spec(order.template), volumes=mounts)
        wish = RunWish(order.prompt, files, order.caps(settings), spec, route=order.route)
        view = JsonView(screen) if order.as_json else LiveView(screen)
        return await watch(forge, wish, view, stop, order.out)


class JsonView:
    """Prints a run's records as lines of JSON, as the ledger has them."""

    def __init__(self, screen: Screen) -> None:
        self.artifacts: dict[str, ArtifactSaved] = {}
        self.finished: RunFinished | None = None
        self._screen = screen

    def show(self, record: Record) -> None:
        """Print a record."""
        self._screen.raw_json(record.model_dump_json(ensure_ascii=True))
        if isinstance(record.event, ArtifactSaved):
            self.artifacts[record.event.name] = record.event
        if isinstance(record.event, RunFinished):
            self.finished = record.event

    def written(self, written: Written) -> None:
        """Say on stderr what became of an artifact."""
        say_written(self._screen, self._screen.notice, written)

    def close(self) -> None:
        """Say the error on stderr too, where people look."""
        if self.finished is not None and self.finished.error is not None:
            self._screen.error(self.finished.error)


View = LiveView | JsonView


def introduce(choice: ModelChoice, screen: Screen) -> None:
    """Say who is asked, and why; in the offline mode say plainly that nobody is."""
    if choice.provider == "offline":
        screen.important(OFFLINE)
    else:
        screen.notice(f"Asking {choice.name} ({choice.why}).")


async def watch(forge: Forge, wish: RunWish, view: View, stop: Stopping, out: Path | None) -> Exit:
    """Start a run, print it to its end and put its artifacts where the person finds them. A signal
    meanwhile cancels the run, and its end is still seen.
    """
    async with forge.service.start(wish) as run:
        folder = OutFolder(out) if out is not None else OutFolder(OUT, (run.id,))
        with stop.by(run.cancel):
            async for record in run:
                view.show(record)
    artifacts = tuple(view.artifacts.values())
    saved = Exit.DONE
    for written in await asyncio.to_thread(folder.write, artifacts, forge.kept):
        view.written(written)
        if written.error is not None:
            saved = of_error(type(written.error))
    view.close()
    code = of_run(view.finished) if view.finished is not None else Exit.INTERRUPTED
    if code is Exit.INTERRUPTED:
        return stop.asked or code
    return code or saved
