"""The only file that prints. What a run says goes to stdout, what is said about it to stderr.

Whatever passes through here is made harmless first (see `harmless`), whoever wrote it: there is no
other way to the terminal. Text is never read as markup. A `Screen` holds nothing open.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from forge.cli.harmless import harmless, one_line
from forge.errors import ForgeError
from forge.events import Fault
from forge.sandbox.images.build import Progress as Doing

WIDE = 160
"""How wide tables are where the output is no terminal: nothing is cut off for want of columns."""

_GUTTER = "│ "

_FAULTS = {
    "person": "in what was asked or set",
    "host": "on this computer",
    "guest": "in the machine or the code it ran",
    "provider": "at the model's provider",
    "forge": "in Forge itself",
}


class Screen:
    """Where the command line prints; one for a whole command."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, markup=False, emoji=False)
        self._err = Console(stderr=True, highlight=False, markup=False, emoji=False)
        if not self._out.is_terminal:
            self._out.width = WIDE
        self._fresh = True

    @property
    def terminal(self) -> bool:
        """Whether a person watches stdout."""
        return self._out.is_terminal

    def write(self, text: str, style: str = "") -> None:
        """Print words as they arrive, without a line break of its own."""
        safe = harmless(text)
        if safe:
            self._out.out(safe, style=style or None, highlight=False, end="")
            self._fresh = safe.endswith("\n")
            self._flush()

    def line(self, text: str = "", style: str = "") -> None:
        """Print whole lines, beginning on a fresh one."""
        self.fresh_line()
        self.write(f"{text}\n", style)

    def fresh_line(self) -> None:
        """End the line that is being written, if one is."""
        if not self._fresh:
            self.write("\n")

    def gutter(self) -> "Gutter":
        """A block of a program's output, marked at its left, so that it cannot pass for ours."""
        self.fresh_line()
        return Gutter(self)

    def code(self, source: str, language: Literal["python", "bash", "json"]) -> None:
        """Print a program."""
        self.fresh_line()
        text = harmless(source).replace("\r", "␍").expandtabs(4).rstrip("\n")
        if self.terminal:
            shown = Syntax(
                text,
                language,
                theme="ansi_dark",
                background_color="default",
                word_wrap=True,
                padding=(0, 4),
            )
            self._out.print(shown)
            return
        for row in text.split("\n"):
            self._out.out(f"    {row}", highlight=False)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table; the last column takes what room is left."""
        self.fresh_line()
        table = Table(box=None, pad_edge=False, header_style="bold")
        for number, name in enumerate(columns, 1):
            last = number == len(columns)
            table.add_column(
                name, no_wrap=True, overflow="ellipsis" if last else "fold", ratio=int(last) or None
            )
        for row in rows:
            table.add_row(*(Text(one_line(cell)) for cell in row))
        self._out.print(table)

    def raw_json(self, document: str) -> None:
        """Print a line of JSON that is pure ASCII, so harmless as it is."""
        if not document.isascii():
            raise ValueError("JSON for a terminal must be pure ASCII")
        sys.stdout.write(f"{document}\n")
        self._flush()

    def notice(self, text: str) -> None:
        """Say on stderr what goes on."""
        self.fresh_line()
        self._err.print(Text(harmless(text), style="dim"), soft_wrap=True)

    def important(self, text: str) -> None:
        """Say on stderr what a person must not miss."""
        self.fresh_line()
        self._err.print(Text(harmless(text), style="yellow"), soft_wrap=True)

    def error(self, error: ForgeError | Fault) -> None:
        """Say on stderr what happened, whose fault it is, whether to try again, and what to do."""
        self.fresh_line()
        again = "may help" if error.retry else "will end the same way until that is mended"
        self._err.print(Text(f"✗ {_sentence(error.message)}", style="bold red"), soft_wrap=True)
        where = _FAULTS.get(error.fault, one_line(error.fault))
        self._err.print(Text(f"  The cause is {where}; trying again {again}."), soft_wrap=True)
        self._err.print(Text(f"  What to do: {_sentence(error.hint)}"), soft_wrap=True)

    @contextmanager
    def building(self) -> Iterator["Building"]:
        """Show on stderr how a build goes on, if there is one, until the block is left."""
        with ExitStack() as stack:
            yield Building(self, self._err, stack)

    def _flush(self) -> None:
        self._out.file.flush()


class Gutter:
    """Output with a mark at the left of each line. A carriage return goes back to the mark."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._at_start = True

    def write(self, text: str, style: str = "") -> None:
        """Print some of the output."""
        marked: list[str] = []
        for piece in harmless(text).replace("\r\n", "\n").splitlines(keepends=True):
            if self._at_start:
                marked.append(_GUTTER)
            marked.append(piece)
            self._at_start = piece.endswith(("\n", "\r"))
        self._screen.write("".join(marked), style)


class Building:
    """A build that is shown: as a bar where a person watches, else as lines. The bar is put up at
    the first news and taken down by the block this was made in.
    """

    def __init__(self, screen: Screen, console: Console, stack: ExitStack) -> None:
        self._screen, self._console, self._stack = screen, console, stack
        self._bar: Progress | None = None
        self._said = ""

    def tell(self, doing: Doing) -> None:
        """Take what the build does now."""
        text = one_line(f"{doing.part}: {doing.step}")
        if self._console.is_terminal:
            self._show(text, doing.fraction)
        elif text != self._said:
            self._screen.notice(f"  {text}")
        self._said = text

    def _show(self, text: str, fraction: float | None) -> None:
        if self._bar is None:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._stack.enter_context(self._bar)
        task = self._bar.task_ids[0] if self._bar.task_ids else self._bar.add_task(text)
        total = None if fraction is None else 1.0
        self._bar.update(task, description=text, total=total, completed=fraction or 0.0)


def _sentence(text: str) -> str:
    """A message as a sentence of its own: a capital at the start, a full stop at the end."""
    text = harmless(text).strip()
    if not text:
        return "It is not known what happened."
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?:`" or "\n" in text else ".")
