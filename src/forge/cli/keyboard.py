"""What a person types, read while everything else goes on.

    a thread: the prompt ── the text ──▶ the loop: machines, signals

The terminal's line editing blocks whoever waits for it, so that is a thread. It cannot be called
off: a signal that ends the command leaves it waiting, and the terminal is put back as it was.
"""

import asyncio
import os
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from forge.cli.render import Screen


class Terminated(Exception):
    """SIGTERM came while the person typed."""


async def typed(read: Callable[[], str], screen: Screen) -> str:
    """What `read` returns, or raises, in a thread. Ctrl-C meanwhile says how to leave.

    Raises:
        Terminated: SIGTERM came first.
    """
    import readline  # noqa: F401  (being there is what gives the prompt its line editing)

    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def hint() -> None:
        screen.line()
        screen.notice("Nothing is going on. Ctrl-D or /quit leaves.")
        screen.write("» ")

    with _terminal_kept():
        loop.add_signal_handler(signal.SIGINT, hint)
        loop.add_signal_handler(signal.SIGTERM, _end, answer, "", Terminated())
        try:
            threading.Thread(target=_read, args=(read, answer), name="typing", daemon=True).start()
            return await answer
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTERM)


def _read(read: Callable[[], str], answer: asyncio.Future[str]) -> None:
    """In the thread: read, and hand over what came of it."""
    text, failed = "", None
    try:
        text = read()
    except Exception as error:  # noqa: BLE001  (handed over to who waits, as it is)
        failed = error
    with suppress(RuntimeError):  # the loop has ended: nobody waits any more
        answer.get_loop().call_soon_threadsafe(_end, answer, text, failed)


def _end(answer: asyncio.Future[str], text: str, failed: Exception | None) -> None:
    if answer.done():
        return
    if failed is None:
        answer.set_result(text)
    else:
        answer.set_exception(failed)


def die_of(number: signal.Signals) -> None:
    """End as a program does that does not know this signal; everything was closed before."""
    sys.stdout.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


@contextmanager
def _terminal_kept() -> Iterator[None]:
    """Leave the terminal as it was found: line editing changes it, and may not get to its end."""
    try:
        before = termios.tcgetattr(0)
    except termios.error:
        yield
        return
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
