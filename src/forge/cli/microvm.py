"""`forge microvm …`: machines for people and scripts, and the worker that another Forge drives."""

from typing import TYPE_CHECKING, Annotated

import typer

from forge.cli.doing import Json, do

if TYPE_CHECKING:
    from forge.cli.exits import Exit
    from forge.cli.render import Screen
    from forge.settings import Settings

microvm = typer.Typer(
    help="Use machines by hand, and find out what this host can do.", no_args_is_help=True
)


@microvm.command("probe")
def microvm_probe(
    fresh: Annotated[bool, typer.Option("--fresh", help="Try again; believe no cache.")] = False,
    json: Json = False,
) -> None:
    """Say what this host can do, which accelerator works and why, and what to change."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.doctor import probe

        return await probe(settings, screen, fresh=fresh, as_json=json)

    do(command)


@microvm.command("serve")
def microvm_serve() -> None:
    """Be a worker on standard input and output: another Forge starts this and uses its machines."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.serving import serve

        return await serve(settings, screen)

    do(command)
