"""`forge chat`: one conversation, message by message, in a machine that is kept between them.

The machine is looked after while the person types, so the prompt is read in a thread of its own
(see `keyboard`).
"""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.cli.exits import Exit
from forge.cli.harmless import one_line
from forge.cli.keyboard import Terminated, die_of, typed
from forge.cli.link import Link, linked
from forge.cli.live import LiveView
from forge.cli.render import Screen
from forge.cli.stopping import Stopping, stopping
from forge.cli.uploads import give, upload
from forge.cli.watch import watch
from forge.errors import ForgeError, InputRefused, LedgerError
from forge.events import RunStarted
from forge.runs.wish import Upload, check_route
from forge.settings import Settings

WELCOME = """\
This is one conversation: what was said, and its machine with all that is in it, stay from message \
to message.
/help lists the commands; Ctrl-C stops a run, Ctrl-D leaves."""

HELP = """\
/file PATH   give a file to the next message; it stays in the machine
/file        list the files that go with the next message
/drop        give none of them
/new         begin a new conversation, in a fresh machine
/history     show what was said
/help        this list
/quit        leave (or Ctrl-D)
Open a block with ``` and it goes on until the line that closes it; a line that ends with \\ goes
on with the next one. Offline, `demo plot` and `demo table` show what a machine can do."""

ELSEWHERE = ("/new", "/history")
"""Commands that need the server: `Talk.message` returns them as they are."""

_FENCE = "```"


class Left(Exception):
    """The person left the chat."""


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked on the command line. `goes_on`: with `conversation`, or the latest."""

    model: str = ""
    template: str = ""
    route: str = ""
    goes_on: bool = False
    conversation: str = ""


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
            if text in ELSEWHERE:
                return text
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
                self._screen.line("\n".join(self.files) or "No files go with the next message.")
            case "/drop":
                self.files.clear()
                self._screen.line("No files go with the next message.")
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
            self._screen.line(f"{given.name} goes with the next message.")


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


async def chat(settings: Settings, order: Order, screen: Screen) -> Exit:
    """Talk until the person leaves; returns what the command ends with."""
    idle = False
    check_route(order.route)
    with stopping(screen.notice) as stop:
        try:
            async with linked(settings, screen, order.model, order.route) as link:
                talking = await _begun(link, order, screen)
                screen.notice(WELCOME)
                if stop.asked is None:
                    code, idle = await _talk(talking, Talk(screen))
                    return code
        except asyncio.CancelledError:
            if stop.asked is None:
                raise
        finally:
            if idle:
                die_of(signal.SIGTERM)
        return stop.asked or Exit.DONE


@dataclass(slots=True)
class _Talking:
    """A conversation that goes on; `id` is empty until its first message."""

    link: Link
    order: Order
    screen: Screen
    id: str = ""


async def _begun(link: Link, order: Order, screen: Screen) -> _Talking:
    """The conversation to go on with: a new one, or an earlier one.

    Raises:
        ConversationNotFound, InputRefused: there is no such conversation, or none at all.
    """
    talking = _Talking(link, order, screen)
    if order.goes_on:
        wanted = order.conversation
        talking.id = await link.client.talks.find(wanted) if wanted else await _latest(link)
        await _history(talking)
    return talking


async def _latest(link: Link) -> str:
    if not (found := await link.client.talks.list(1)):
        raise InputRefused(
            "There is no conversation to go on with.", hint="`forge chat` begins one."
        )
    return found[0].id


async def _talk(talking: _Talking, talk: Talk) -> tuple[Exit, bool]:
    """Prompt after prompt; returns the exit code, and whether SIGTERM came at a prompt."""
    screen = talking.screen
    while True:
        try:
            text = await typed(talk.message, screen)
        except Left:
            return Exit.DONE, False
        except Terminated:
            return Exit.TERMINATED, True
        if await _answered(talking, talk, text) is Exit.TERMINATED:
            return Exit.TERMINATED, False


async def _answered(talking: _Talking, talk: Talk, text: str) -> Exit | None:
    """See to what was typed; returns what a signal meanwhile asked for. What goes wrong is said.

    Raises:
        LedgerError: nothing can be kept any more, so nothing may be run.
    """
    with stopping(talking.screen.notice) as stop:
        try:
            await _answer(talking, talk, text, stop)
        except LedgerError:
            raise
        except asyncio.CancelledError:
            if stop.asked is None:
                raise
        except ForgeError as error:
            talking.screen.error(error)
    return stop.asked


async def _answer(talking: _Talking, talk: Talk, text: str, stop: Stopping) -> None:
    client = talking.link.client
    match text:
        case "/new":
            if talking.id:
                await client.talks.end_machine(talking.id)
            talking.id = ""
            talking.screen.line("A new conversation begins, in a fresh machine.")
        case "/history":
            await _history(talking)
        case _:
            wanted: dict[str, Any] = {
                "message": text,
                "files": [(await give(client, each)).id for each in talk.files.values()],
            }
            if talking.order.route:
                wanted["route"] = talking.order.route
            if talking.id:
                wanted["conversation_id"] = talking.id
            body = talking.link.body(wanted, talking.order.template)
            view = LiveView(talking.screen, begun=lambda asked: _begins(talking, talk, asked))
            await watch(client, client.ask(body), view, stop, None)


def _begins(talking: _Talking, talk: Talk, started: RunStarted) -> None:
    """The message is in its conversation, and its files with it."""
    talking.id = started.conversation_id or talking.id
    talk.files.clear()


async def _history(talking: _Talking) -> None:
    """Print what was said."""
    screen = talking.screen
    if not talking.id:
        screen.line("Nothing was said yet.")
        return
    found = await talking.link.client.talks.show(talking.id)
    screen.line(f"{one_line(found.title)} ({found.id})", "bold")
    for said in found.messages:
        screen.line("» " + said.text.strip() if said.role == "user" else said.text.strip())
