"""`forge volume …`: names and options; `volume` carries them out."""

from typing import TYPE_CHECKING, Annotated

import typer

from forge.cli.doing import Json, do

if TYPE_CHECKING:
    from forge.cli.exits import Exit
    from forge.cli.render import Screen
    from forge.settings import Settings

volume = typer.Typer(help="Keep files beyond a machine's life.", no_args_is_help=True)

_VOLUME = Annotated[str, typer.Argument(metavar="NAME", help="The volume.")]


@volume.command("create")
def volume_create(
    name: _VOLUME,
    size: Annotated[
        int, typer.Option(metavar="MIB", help="How much it holds: 16 MiB to 1 TiB.")
    ] = 1024,
) -> None:
    """Make an empty volume."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.volume import create

        return await create(settings, screen, name, size)

    do(command)


@volume.command("list")
def volume_list(json: Json = False) -> None:
    """List the volumes."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.volume import list_all

        return await list_all(settings, screen, as_json=json)

    do(command)


@volume.command("show")
def volume_show(name: _VOLUME, json: Json = False) -> None:
    """Show one volume. Its size, what it occupies, and whether it was given back whole."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.volume import show

        return await show(settings, screen, name, as_json=json)

    do(command)


@volume.command("remove")
def volume_remove(name: _VOLUME) -> None:
    """Remove a volume and all that is in it, for good."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.volume import remove

        return await remove(settings, screen, name)

    do(command)
