"""`write_file`, `read_file` and `list_files`: the machine's files, as text."""

from collections.abc import AsyncIterator
from typing import ClassVar

from pydantic import Field

from forge.events import ToolOutcome
from forge.sandbox.base import Sandbox
from forge.sandbox.files import HOME, FileInfo
from forge.tools.base import Arguments, Output
from forge.tools.closing import closing

LARGEST = 4 << 20
"""The largest file `read_file` reads, in bytes: what one call's output is kept up to."""

_PATH = Field(min_length=1, description="A path, absolute or relative to /home/user.")
_MARKS = {"directory": "d", "file": "-", "symlink": "l", "other": "?"}


class WriteFileArguments(Arguments):
    """What `write_file` takes."""

    path: str = _PATH
    content: str = Field(description="The whole text of the file.")


class WriteFile:
    """Writes a text file."""

    name: ClassVar[str] = "write_file"
    description: ClassVar[str] = (
        "Write a text file in the machine, whole, making the folders it needs. An existing file "
        "is replaced."
    )
    arguments: ClassVar[type[Arguments]] = WriteFileArguments
    after: ClassVar[frozenset[str]] = frozenset({"write_file"})

    async def run(
        self, sandbox: Sandbox, arguments: WriteFileArguments, output: Output
    ) -> ToolOutcome:
        """Write it; says how large it became."""
        content = arguments.content.encode("utf-8", "replace")
        size = await sandbox.files.write(arguments.path, _once(content))
        await output.write(f"{size} bytes written to {arguments.path}\n")
        return "ok"


class ReadFileArguments(Arguments):
    """What `read_file` takes."""

    path: str = _PATH
    first_line: int = Field(1, ge=1, description="The line to begin at, counted from 1.")
    lines: int | None = Field(None, ge=1, description="How many lines; all when not given.")


class ReadFile:
    """Reads a text file."""

    name: ClassVar[str] = "read_file"
    description: ClassVar[str] = (
        "Read a text file in the machine, or some of its lines. For large or binary files use "
        "run_python."
    )
    arguments: ClassVar[type[Arguments]] = ReadFileArguments
    after: ClassVar[frozenset[str]] = frozenset({"write_file"})

    async def run(
        self, sandbox: Sandbox, arguments: ReadFileArguments, output: Output
    ) -> ToolOutcome:
        """Read it; a file that is not text is an error that says what it is."""
        async with closing(sandbox.files.read(arguments.path, limit=LARGEST)) as pieces:
            content = b"".join([piece async for piece in pieces])
        try:
            text = content.decode()
        except UnicodeDecodeError:
            await output.write(
                f"{arguments.path} is not text ({len(content)} bytes, beginning "
                f"{content[:8].hex(' ')}); read it with run_python.\n"
            )
            return "error"
        first, count = arguments.first_line - 1, arguments.lines
        if first or count is not None:
            lines = text.splitlines(keepends=True)
            text = "".join(lines[first : None if count is None else first + count])
        await output.write(text or "(nothing there)\n")
        return "ok"


class ListFilesArguments(Arguments):
    """What `list_files` takes."""

    path: str = Field(HOME, min_length=1, description="The folder; /home/user when not given.")
    depth: int = Field(1, ge=1, le=10, description="How many levels deep.")


class ListFiles:
    """Lists a folder."""

    name: ClassVar[str] = "list_files"
    description: ClassVar[str] = "List a folder in the machine: kind, size in bytes, path."
    arguments: ClassVar[type[Arguments]] = ListFilesArguments
    after: ClassVar[frozenset[str]] = frozenset({"write_file"})

    async def run(
        self, sandbox: Sandbox, arguments: ListFilesArguments, output: Output
    ) -> ToolOutcome:
        """List it, one entry a line."""
        entries = await sandbox.files.list(arguments.path, depth=arguments.depth)
        await output.write("".join(map(_line, entries)) or "(empty)\n")
        return "ok"


def _line(entry: FileInfo) -> str:
    # A name may hold line breaks, escape sequences or bytes that are not UTF-8.
    path = entry.path if entry.path.isprintable() else repr(entry.path)
    return f"{_MARKS[entry.kind]} {entry.size:>10} {path}\n"


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
