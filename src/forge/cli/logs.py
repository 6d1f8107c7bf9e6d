"""The server's log: one line a fact on stderr, as JSON unless people look on.

Everything that is logged goes through here, whoever logs it: ours, uvicorn's, a library's. Each
line carries the request and the run that it is about (see `forge.about`), and no secret
(`masking`). What is worth a warning is in `forge.log` of the home folder too, as for every command.

Libraries are heard from a warning on, whatever is set: at lower levels some of them tell what
people wrote. structlog is imported here alone, when a server starts, as it takes a quarter of a
second.
"""

import logging
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any, TextIO

import structlog

from forge.about import at_hand
from forge.cli.answers import FILE
from forge.cli.masking import Mask
from forge.server_settings import LogFormat, LogLevel

OWN = ("forge", "uvicorn")
"""Whose lines are heard at the level that is set."""


def log_server(
    level: LogLevel, form: LogFormat, secrets: Iterable[str], stream: TextIO | None = None
) -> logging.Handler:
    """Log to stderr (or `stream`) from now on; returns what does, for whoever wants to end it.

    Args:
        level: from which level Forge's own lines are written.
        form: how; `auto` is for people where the stream is a terminal.
        secrets: what must not be in any line, word for word.
        stream: where to; stderr, for None.
    """
    stream = stream or sys.stderr
    people = form == "console" or (form == "auto" and stream.isatty())
    mask = Mask(secrets)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_lines(mask, people=people, colors=people and stream.isatty()))
    root = logging.getLogger()
    for other in root.handlers:
        if other.get_name() == FILE:
            other.setLevel(logging.WARNING)
            other.setFormatter(_lines(mask, people=False))
    root.addHandler(handler)
    for name in OWN:
        logging.getLogger(name).setLevel(level.upper())
    # These tell of requests with all of their address; `forge.access` has a line of each already.
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return handler


def _lines(mask: Mask, *, people: bool, colors: bool = False) -> logging.Formatter:
    """Writes lines. The mask goes over all of one, tracebacks too, before it is put in form."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _add_at_hand,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,  # without what variables hold
            mask.fields,
            structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="at")
            if people
            else structlog.processors.JSONRenderer(),
        ],
    )


def _add_at_hand(
    _logger: object, _method: str, fields: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return {**at_hand(), **fields}
