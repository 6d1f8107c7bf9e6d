"""How every command is carried out: with the settings and a screen, to an exit code.

Only typer is imported here, as in every page of commands: what a command needs it imports when it
is chosen, so that `--help` is quick.
"""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from forge.cli.exits import Exit
    from forge.cli.render import Screen
    from forge.settings import Settings

Command = Callable[["Settings", "Screen"], Coroutine[Any, Any, "Exit | int"]]

Json = Annotated[
    bool, typer.Option("--json", help="Print JSON lines, and nothing else, on stdout.")
]


def do(command: Command) -> None:
    """Carry out a command with the settings and a screen, and end with its exit code.

    Raises:
        Exit: always, with the command's code.
    """
    from forge.cli.answers import answered

    raise typer.Exit(answered(command))
