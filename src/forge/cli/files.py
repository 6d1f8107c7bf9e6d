"""`forge files …`: names and options; `filing` carries them out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forge.cli.doing import Json, do

if TYPE_CHECKING:
    from forge.cli.exits import Exit
    from forge.cli.render import Screen
    from forge.settings import Settings

files = typer.Typer(help="What you gave and what your runs made.", no_args_is_help=True)

_Conversation = Annotated[
    str, typer.Option(metavar="ID", help="A conversation's id, or the beginning of it.")
]


@files.command("list")
def files_list(
    conversation: _Conversation = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="How many files.")] = 20,
    json: Json = False,
) -> None:
    """List your files, the newest first."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.filing import list_files

        return await list_files(settings, screen, conversation, limit, as_json=json)

    do(command)


@files.command("get")
def files_get(
    file: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="A file's id, or the beginning of it.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder to put it in; nothing is overwritten.")
    ] = Path(),
    json: Json = False,
) -> None:
    """Fetch files under their own names; each is compared with its digest."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.filing import get

        return await get(settings, screen, file, out, as_json=json)

    do(command)


@files.command("put")
def files_put(
    path: Annotated[list[Path], typer.Argument(metavar="PATH...", help="A file of yours.")],
    conversation: _Conversation = "",
    json: Json = False,
) -> None:
    """Give files; the same name again is its next version."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.filing import put

        return await put(settings, screen, path, conversation, as_json=json)

    do(command)
