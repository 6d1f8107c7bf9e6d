"""The command line: names, options, and the last answer to every error.

Only typer is imported here; each command imports what it needs when it is chosen, so that `--help`
is quick. What a command returns is the exit code (see `exits`). An error of Forge's own tree is
printed in words; one that nobody foresaw is one line and a log file, and never a traceback.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forge.cli import limits
from forge.cli.accounts import accounts, secrets
from forge.cli.conversations import conversations
from forge.cli.doing import Json
from forge.cli.doing import do as _do
from forge.cli.files import files
from forge.cli.microvm import microvm
from forge.cli.runs import Out, runs
from forge.cli.templates import template
from forge.cli.volumes import volume

if TYPE_CHECKING:
    from forge.cli.exits import Exit
    from forge.cli.render import Screen
    from forge.settings import Settings

app = typer.Typer(
    name="forge",
    help="An agent writes code and runs it in a microVM with its own kernel.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
image = typer.Typer(help="Make what machines boot from.", no_args_is_help=True)
app.add_typer(accounts, name="accounts")
app.add_typer(secrets, name="secrets")
app.add_typer(runs, name="runs")
app.add_typer(conversations, name="conversations")
app.add_typer(files, name="files")
app.add_typer(image, name="image")
app.add_typer(template, name="template")
app.add_typer(microvm, name="microvm")
app.add_typer(volume, name="volume")

_TEMPLATE = "The template its machines are made from; else FORGE_TEMPLATE, or base."
_MODEL = "The model to ask: provider:model, a provider, or auto."


def _version(wanted: bool) -> None:
    if wanted:
        from forge import __version__

        typer.echo(f"forge {__version__}")
        raise typer.Exit


_Route = Annotated[
    str,
    typer.Option(
        metavar="WAY",
        help="How it is answered: auto, chat (words), agent (tools) or pipeline (blocks).",
    ),
]


@app.callback()
def _forge(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Take the options that go before any command."""
    del version


@app.command()
def run(  # noqa: PLR0913 - one argument per option of the command
    prompt: Annotated[
        str | None,
        typer.Argument(help="What to do; `-`, or nothing, reads it from standard input."),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="A file to put in the machine; may be repeated."),
    ] = None,
    model: Annotated[str, typer.Option(metavar="NAME", help=_MODEL)] = "",
    template: Annotated[str, typer.Option(metavar="NAME", help=_TEMPLATE)] = "",
    route: _Route = "",
    out: Out = None,
    max_iterations: limits.Iterations = None,
    max_usd: limits.Usd = None,
    max_tokens: limits.Tokens = None,
    max_wall: limits.Wall = None,
    volume: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:PATH[:ro]", help="A volume for the machine; may be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """Ask once, and watch an agent do it with code in a fresh machine."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.run import Order, prompt_from
        from forge.cli.run import run as carry_out

        order = Order(
            prompt=prompt_from(prompt),
            files=file or (),
            model=model,
            out=out,
            caps=limits.Limits(max_iterations, max_tokens, max_usd, max_wall),
            as_json=json,
            volumes=volume or (),
            template=template,
            route=route,
        )
        return await carry_out(settings, order, screen)

    _do(command)


@app.command()
def chat(
    model: Annotated[str, typer.Option(metavar="NAME", help=_MODEL)] = "",
    template: Annotated[str, typer.Option(metavar="NAME", help=_TEMPLATE)] = "",
    route: _Route = "",
    goes_on: Annotated[
        bool, typer.Option("--continue", help="Go on with the conversation that was used last.")
    ] = False,
    conversation: Annotated[
        str, typer.Option(metavar="ID", help="Go on with this conversation.")
    ] = "",
) -> None:
    """Talk in the terminal: one conversation, in a machine that is kept between messages."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.chat import Order
        from forge.cli.chat import chat as talk

        order = Order(model, template, route, goes_on or bool(conversation), conversation)
        return await talk(settings, order, screen)

    _do(command)


@app.command()
def serve() -> None:
    """Serve the API and the console until stopped; FORGE_PORT and FORGE_HOST say where."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.serve import serve as carry_out

        return await carry_out(settings, screen)

    _do(command)


@app.command()
def demo() -> None:
    """Show a machine's whole life, step by step, with times. Needs no model."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.demo import demo as show

        return await show(settings, screen)

    _do(command)


@app.command()
def backup(
    place: Annotated[
        Path, typer.Argument(metavar="FILE|DIR", help="A file that is not there yet, or a folder.")
    ] = Path(),
) -> None:
    """Write all that Forge keeps to one file; runs may go on meanwhile."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.backup import backup as write

        return await write(settings, screen, place)

    _do(command)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    sha256: Annotated[
        str, typer.Option(metavar="DIGEST", help="Refuse it unless it has this SHA-256.")
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Replace what is kept here; it is removed.")
    ] = False,
) -> None:
    """Put a backup back, after checking all of it."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.backup import restore as put_back

        return await put_back(settings, screen, file, sha256, force=force)

    _do(command)


@image.command("build")
def image_build(
    name: Annotated[str, typer.Argument(help="The template.")] = "base",
    verify: Annotated[bool, typer.Option("--verify", help="Check every byte of it too.")] = False,
) -> None:
    """Make a template's image where it is missing; without root where the host allows it."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.image import build_image

        return await build_image(settings, screen, name, verify=verify)

    _do(command)


@image.command("list")
def image_list() -> None:
    """List the templates, and which images are built."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.image import list_images

        return await list_images(settings, screen)

    _do(command)


def main() -> None:
    """The entry point of `forge`."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows a stand-in; printing never fails for it.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app()
