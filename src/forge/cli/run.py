"""`forge run`: one prompt, one run, watched to its end."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from forge.cli.exits import Exit
from forge.cli.limits import NO_LIMITS, Limits
from forge.cli.link import linked
from forge.cli.live import LiveView, say_written
from forge.cli.outfolder import OutFolder, Written
from forge.cli.render import Screen
from forge.cli.stopping import Stopping, stopping
from forge.cli.uploads import give, uploads
from forge.cli.volume import mount_from
from forge.cli.watch import watch
from forge.errors import InputRefused
from forge.events import ArtifactSaved, Record, RunFinished
from forge.runs.wish import LONGEST_PROMPT, check_route, check_text
from forge.settings import Settings


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked on the command line. Caps that are not named are the settings' own."""

    prompt: str
    files: Sequence[Path] = ()
    model: str = ""
    out: Path | None = None
    caps: Limits = NO_LIMITS
    as_json: bool = False
    volumes: Sequence[str] = ()
    template: str = ""
    route: str = ""


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
    check_text(text)
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
    async with linked(settings, screen, order.model, order.route) as link:
        wanted = {
            "message": order.prompt,
            "files": [(await give(link.client, each)).id for each in files],
            "route": order.route or None,
            "caps": order.caps.named(),
            "machine": {"own": True, "volumes": [asdict(each) for each in mounts]},
        }
        view = JsonView(screen) if order.as_json else LiveView(screen)
        asking = link.client.ask(link.body(wanted, order.template))
        return await watch(link.client, asking, view, stop, order.out)


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
