"""The only file that prints. What a run says goes to stdout, what is said about it to stderr.

Whatever passes through here is made harmless first (see `harmless`), whoever wrote it: there is no
other way to the terminal. Text is never read as markup. A `Screen` holds nothing open.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.segment import Segment, Segments
from rich.style import Style
from rich.syntax import Syntax
from rich.text import Text

from forge.cli.harmless import harmless, one_line
from forge.cli.prose import Prose
from forge.cli.words import sentence
from forge.errors import ForgeError
from forge.events import Fault
from forge.sandbox.images.build import Progress as Doing
from forge.sandbox.images.build import Tell

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


class _Console(Console):
    """A console that leaves the answer to a closed pipe to the command's end (see `answers`)."""

    def on_broken_pipe(self) -> None:
        """Go on raising, where rich would exit with a code of its own."""
        raise BrokenPipeError


class Screen:
    """Where the command line prints; one for a whole command."""

    def __init__(self) -> None:
        self._out = _Console(highlight=False, markup=False, emoji=False)
        self._err = _Console(stderr=True, highlight=False, markup=False, emoji=False)
        if not self._out.is_terminal:
            self._out.width = WIDE
        self._fresh = True
        self._prose: Prose | None = None
        self._prose_style = ""

    @property
    def terminal(self) -> bool:
        """Whether a person watches stdout."""
        return self._out.is_terminal

    def write(self, text: str, style: str = "") -> None:
        """Print text as it is, without a line break of its own."""
        self._end_prose()
        self._emit(harmless(text), style)

    def prose(self, text: str, style: str = "") -> None:
        """Print words as they arrive, breaking lines between them where a person watches."""
        if not self.terminal:
            self.write(text, style)
            return
        if self._prose is None:
            self.fresh_line()
            self._prose = Prose(self._out.width)
        self._prose_style = style
        self._emit(self._prose.add(harmless(text)), style)

    def line(self, text: str = "", style: str = "") -> None:
        """Print whole lines, beginning on a fresh one."""
        self._lines(self._out, text, style)

    def fresh_line(self) -> None:
        """End the line that is being written, if one is."""
        self._end_prose()
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
            self._emit(f"    {row}".rstrip() + "\n", "")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table; the last column is cut to what room is left."""
        self.fresh_line()
        lines = [tuple(columns), *(tuple(one_line(cell) for cell in row) for row in rows)]
        widths = [max(cell_len(line[place]) for line in lines) for place in range(len(columns))]
        room = max(10, self._out.width - sum(widths[:-1]) - 2 * (len(widths) - 1))
        for number, line in enumerate(lines):
            last = Text(line[-1])
            last.truncate(room, overflow="ellipsis")
            cells = [set_cell_size(cell, widths[place]) for place, cell in enumerate(line[:-1])]
            self._emit("  ".join((*cells, last.plain)).rstrip() + "\n", "" if number else "bold")

    def raw_json(self, document: str) -> None:
        """Print a line of JSON that is pure ASCII, so harmless as it is."""
        if not document.isascii():
            raise ValueError("JSON for a terminal must be pure ASCII")
        self._emit(f"{document}\n", "")

    def raw(self, data: bytes, *, error: bool = False) -> None:
        """Pass bytes on as they are, where they go to a program or a file; a person at a terminal
        is shown them harmless.
        """
        console = self._err if error else self._out
        if console.is_terminal:
            _print(console, harmless(data.decode(errors="replace")), "")
            return
        console.file.flush()
        stream = sys.stderr.buffer if error else sys.stdout.buffer
        stream.write(data)
        stream.flush()

    def notice(self, text: str) -> None:
        """Say on stderr what goes on."""
        self._lines(self._err, text, "dim")

    def important(self, text: str) -> None:
        """Say on stderr what a person must not miss."""
        self._lines(self._err, text, "yellow")

    def error(self, error: ForgeError | Fault) -> None:
        """Say on stderr what happened, whose fault it is, whether to try again, and what to do."""
        again = "may help" if error.retry else "will end the same way until that is mended"
        where = _FAULTS.get(error.fault, one_line(error.fault))
        self._lines(self._err, f"✗ {sentence(error.message)}", "bold red")
        self._lines(self._err, f"  The cause is {where}; trying again {again}.", "")
        self._lines(self._err, f"  What to do: {sentence(error.hint)}", "")

    @contextmanager
    def building(self) -> Iterator[Tell]:
        """Show on stderr how a build goes on, if there is one, until the block is left."""
        with ExitStack() as stack:
            yield _Building(self, self._err, stack).tell

    def _lines(self, console: Console, text: str, style: str) -> None:
        """Whole lines, broken between words at a terminal; elsewhere not broken at all."""
        self.fresh_line()
        lines = harmless(f"{text}\n")
        if console.is_terminal:
            lines = Prose(console.width).add(lines)
        _print(console, lines, style)

    def _emit(self, safe: str, style: str) -> None:
        if safe:
            _print(self._out, safe, style)
            self._fresh = safe.endswith("\n")

    def _end_prose(self) -> None:
        if self._prose is not None:
            prose, self._prose = self._prose, None
            self._emit(prose.end(), self._prose_style)


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


class _Building:
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


def _print(console: Console, safe: str, style: str) -> None:
    # As a segment, since rich takes carriage returns and tabs out of text.
    console.print(Segments([Segment(safe, Style.parse(style))]), end="", soft_wrap=True)
    console.file.flush()
