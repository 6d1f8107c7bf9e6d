"""The last answer to every error: words and an exit code for ours, a log file for the rest.

This is the command line's own boundary where any exception may be caught: behind it is only the
person's shell. What is logged goes to `forge.log` in the home folder, never to the terminal.
"""

import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from forge.cli.exits import Exit, of_error
from forge.cli.render import Screen
from forge.errors import ForgeError
from forge.settings import Settings, read_settings

LOG = logging.getLogger("forge.cli")
_LOG_BYTES = 2_000_000
FILE = "forge.log"
"""The name of the handler that writes it."""


def answered(command: Callable[[Settings, Screen], Coroutine[Any, Any, Exit | int]]) -> int:
    """Carry out a command and return its exit code, whatever happens."""
    screen, log = Screen(), Path()
    try:
        settings = read_settings()
        log = start_log(settings.home)
        return asyncio.run(command(settings, screen))
    except ForgeError as error:
        screen.error(error)
        return of_error(type(error))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _unread()
        return Exit.UNREAD
    except Exception as error:
        LOG.exception("forge itself failed")
        screen.error(_bug(error, log))
        return Exit.BUG


def _bug(error: Exception, log: Path) -> ForgeError:
    return ForgeError(
        f"Forge itself failed ({type(error).__name__}). The details are in {log}.",
        hint=f"Please report this with the end of {log}.",
    )


def start_log(home: Path) -> Path:
    """Send what is logged to a file of the home folder, or of the temporary one where that cannot
    be written; returns which. The file is for its owner's eyes only, and is kept small.
    """
    path = home / "forge.log"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        usable = os.access(path, os.W_OK)
    except OSError:
        usable = False
    if not usable:
        descriptor, name = tempfile.mkstemp(prefix="forge-", suffix=".log")
        os.close(descriptor)
        path = Path(name)
    handler = RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=1, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    handler.set_name(FILE)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    return path


def _unread() -> None:
    """Whoever read our output has gone; what is still to be flushed at the end goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
