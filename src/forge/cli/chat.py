"""`forge chat`: a prompt, a run, the next prompt. Each message is a run of its own, and it says so.

While the person types nothing else goes on in this process: no machine lives between messages. So
the prompt may block, and Ctrl-C there is Python's own; during a run the signals are `stopping`'s.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from forge.cli.exits import Exit
from forge.cli.live import LiveView
from forge.cli.render import Screen
from forge.cli.run import introduce, watch
from forge.cli.stopping import stopping
from forge.cli.uploads import upload
from forge.errors import ForgeError, LedgerError
from forge.runs.wish import RunWish, Upload
from forge.sandbox.base import SandboxSpec
from forge.settings import Settings, choose_model
from forge.wiring import Forge, open_forge

WELCOME = """\
Each message is a run of its own in a fresh machine: nothing is remembered from one to the next, \
but your files go with every message.
/help lists the commands; Ctrl-C stops a run, Ctrl-D leaves."""

HELP = """\
/file PATH   give a file to every message from now on
/file        list the files that are given
/drop        give no files any more
/help        this list
/quit        leave (or Ctrl-D)
Open a block with ``` and it goes on until the line that closes it; a line that ends with \\ goes
on with the next one. Offline, `demo plot` and `demo table` show what a machine can do."""

_FENCE = "```"


class Left(Exception):
    """The person left the chat."""


class Talk:
    """What the person has typed so far: the files that are given, and what a line means."""

    def __init__(self, screen: Screen, ask: Callable[[str], str] = input) -> None:
        self.files: dict[str, Upload] = {}
        self._screen, self._ask = screen, ask

    def message(self) -> str:
        """The next message; commands are carried out on the way.

        Raises:
            Left: by /quit, or the input's end.
        """
        while True:
            try:
                text = read_message(self._ask)
            except KeyboardInterrupt:
                self._screen.line()
                self._screen.notice("Nothing is going on. Ctrl-D or /quit leaves.")
                continue
            except EOFError:
                self._screen.line()
                raise Left from None
            if text.startswith("/") and "\n" not in text:
                self._command(text)
            elif text:
                return text

    def _command(self, text: str) -> None:
        word, _, rest = text.partition(" ")
        match word:
            case "/quit" | "/exit":
                raise Left
            case "/file" if rest.strip():
                self._give(Path(rest.strip()).expanduser())
            case "/file":
                self._screen.line("\n".join(self.files) or "No files are given.")
            case "/drop":
                self.files.clear()
                self._screen.line("No files are given any more.")
            case "/help":
                self._screen.line(HELP)
            case _:
                self._screen.line(f"There is no command {word}. These are:\n{HELP}")

    def _give(self, path: Path) -> None:
        try:
            given = upload(path)
        except ForgeError as error:
            self._screen.error(error)
        else:
            self.files[given.name] = given
            self._screen.line(f"{given.name} goes with every message from now on.")


def read_message(ask: Callable[[str], str]) -> str:
    """One message: a line, or several where a fence is open or a line ends with a backslash.

    Raises:
        EOFError: the input is over.
        KeyboardInterrupt: the person took it back.
    """
    lines = [ask("» ")]
    while True:
        whole = "\n".join(lines)
        if lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
        elif not _open_fence(lines):
            return whole.strip()
        try:
            lines.append(ask("… "))
        except EOFError:
            return "\n".join(lines).strip()


def _open_fence(lines: list[str]) -> bool:
    return sum(line.lstrip().startswith(_FENCE) for line in lines) % 2 == 1


async def chat(settings: Settings, model: str, template: str, screen: Screen) -> Exit:
    """Talk until the person leaves; returns what the command ends with."""
    choice = choose_model(settings, model)
    introduce(choice, screen)
    with stopping(screen.notice) as stop:
        try:
            async with open_forge(settings, screen.notice, choice) as forge:
                await forge.machines.prepare(screen.building)
                spec = await forge.machines.spec(template)
                screen.notice(WELCOME)
                if stop.asked is None:
                    return await _talk(forge, spec, Talk(screen), screen)
        except asyncio.CancelledError:
            if stop.asked is None:
                raise
        return stop.asked or Exit.DONE


async def _talk(forge: Forge, spec: SandboxSpec, talk: Talk, screen: Screen) -> Exit:
    while True:
        try:
            with _typing():
                text = talk.message()
        except Left:
            return Exit.DONE
        wish = RunWish(text, tuple(talk.files.values()), forge.settings.caps, spec)
        with stopping(screen.notice) as stop:
            try:
                await watch(forge, wish, LiveView(screen), stop, None)
            except LedgerError:
                raise  # nothing can be kept any more, so nothing may be run
            except ForgeError as error:
                screen.error(error)
        if stop.asked is Exit.TERMINATED:
            return Exit.TERMINATED


@contextmanager
def _typing() -> Iterator[None]:
    """Let signals reach the prompt: the loop's own handling would wait for the next line. Nothing
    is under way here, so SIGTERM simply ends the process.
    """
    import readline  # noqa: F401  (being there is what gives the prompt its line editing)

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
