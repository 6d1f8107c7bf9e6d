"""`forge template …`: names and options; `template` carries them out."""

from typing import TYPE_CHECKING, Annotated

import typer

from forge.cli.doing import Json, do

if TYPE_CHECKING:
    from forge.cli.exits import Exit
    from forge.cli.render import Screen
    from forge.settings import Settings

template = typer.Typer(help="Make templates of your own for machines.", no_args_is_help=True)


@template.command("build")
def template_build(  # noqa: PLR0913 - one argument per option of the command
    name: Annotated[str, typer.Argument(help="What to call it.")],
    source: Annotated[
        str,
        typer.Argument(
            help="A Dockerfile or its folder, an OCI layout (FOLDER or FOLDER:TAG), or the name of "
            "an image."
        ),
    ] = ".",
    memory: Annotated[
        int, typer.Option(min=256, max=65536, metavar="MIB", help="Memory of its machines.")
    ] = 1024,
    disk: Annotated[
        int, typer.Option(min=64, max=65536, metavar="MIB", help="What they may write.")
    ] = 1024,
    cpus: Annotated[int, typer.Option(min=1, max=256, metavar="N", help="Their processors.")] = 1,
    start: Annotated[
        str, typer.Option(metavar="COMMAND", help="Runs in the background of every machine.")
    ] = "",
    ready: Annotated[
        str, typer.Option(metavar="COMMAND", help="Asked until it succeeds, before it is saved.")
    ] = "",
    ready_deadline: Annotated[
        float, typer.Option(min=0.1, max=600, metavar="SECONDS", help="How long it is asked.")
    ] = 60.0,
    as_root: Annotated[
        bool, typer.Option("--as-root", help="Run the start command and ready check as root.")
    ] = False,
    preload: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE", help="A Python module to load; may be repeated."),
    ] = None,
    network: Annotated[
        bool, typer.Option("--network", help="Let RUN lines use this host's network.")
    ] = False,
) -> None:
    """Make a template from a Dockerfile or an OCI image. It is kept if its machines work."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.template import build_template, order

        warming = {"start": start, "ready": ready, "ready_deadline_s": ready_deadline}
        config = {
            "sizes": {"memory_mib": memory, "disk_mib": disk, "cpus": cpus},
            "warming": {**warming, "as_root": as_root},
            "preload": preload or [],
        }
        wanted = order(name, source, config, network=network)
        return await build_template(settings, screen, wanted)

    do(command)


@template.command("list")
def template_list(json: Json = False) -> None:
    """List every template: those that come with Forge, and your own."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.template import list_templates

        return await list_templates(settings, screen, as_json=json)

    do(command)


@template.command("show")
def template_show(
    name: Annotated[str, typer.Argument(help="One of your own templates.")], json: Json = False
) -> None:
    """Show a template of your own. What it was made from, and how its machines run."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.template import show_template

        return await show_template(settings, screen, name, as_json=json)

    do(command)


@template.command("remove")
def template_remove(
    name: Annotated[str, typer.Argument(help="One of your own templates.")],
) -> None:
    """Forget a template of your own. Machines that run are not disturbed."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.template import remove_template

        return await remove_template(settings, screen, name)

    do(command)


@template.command("gc")
def template_gc() -> None:
    """Free the space of what no template needs any more."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.template import collect

        return await collect(settings, screen)

    do(command)
