"""The command line: names, options, and the last answer to every error.

Only typer is imported here; each command imports what it needs when it is chosen, so that `--help`
is quick. What a command returns is the exit code (see `exits`). An error of Forge's own tree is
printed in words; one that nobody foresaw is one line and a log file, and never a traceback.
"""

import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forge.cli.accounts import accounts, secrets
from forge.cli.doing import Json
from forge.cli.doing import do as _do
from forge.cli.microvm import microvm
from forge.cli.templates import template
from forge.cli.volumes import volume

if TYPE_CHECKING:
    from forge.cli.exits import Exit
    from forge.cli.render import Screen
    from forge.cli.telling import Order
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
runs = typer.Typer(help="Look at the runs there were.", no_args_is_help=True)
image = typer.Typer(help="Make what machines boot from.", no_args_is_help=True)
app.add_typer(accounts, name="accounts")
app.add_typer(secrets, name="secrets")
app.add_typer(runs, name="runs")
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


def _usd(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        raise typer.BadParameter(f"{text!r} is not an amount of US dollars.")
    return value


_Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The folder for the files it makes; else forge-out/<run>."),
]
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
    out: _Out = None,
    max_iterations: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="At most this many model calls; 0: no limit."),
    ] = None,
    max_usd: Annotated[
        Decimal | None,
        typer.Option(parser=_usd, metavar="USD", help="At most this cost; 0: no limit."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="At most this many tokens; 0: no limit.")
    ] = None,
    max_wall: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="No model call after this; 0: no limit."),
    ] = None,
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
            max_iterations=max_iterations,
            max_tokens=max_tokens,
            max_usd=max_usd,
            max_wall_s=max_wall,
            as_json=json,
            volumes=volume or (),
            template=template,
            route=route,
        )
        return await carry_out(settings, order, screen)

    _do(command)


@app.command()
def chat(
    conversation: Annotated[
        str, typer.Argument(metavar="CONVERSATION", help="With --continue: which one.")
    ] = "",
    model: Annotated[str, typer.Option(metavar="NAME", help=_MODEL)] = "",
    template: Annotated[str, typer.Option(metavar="NAME", help=_TEMPLATE)] = "",
    goes_on: Annotated[
        bool, typer.Option("--continue", help="Go on with an earlier conversation, or the last.")
    ] = False,
) -> None:
    """Talk in the terminal: one conversation, in a machine that is kept between messages."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.chat import Order
        from forge.cli.chat import chat as talk

        order = Order(model, template, goes_on or bool(conversation), conversation)
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


@runs.command("list")
def runs_list(
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="How many runs.")] = 20,
    json: Json = False,
) -> None:
    """List the runs, newest first."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.history import list_runs

        return await list_runs(settings, screen, limit, as_json=json)

    _do(command)


_RUN = typer.Argument(metavar="RUN", help="A run's id, or the beginning of it.")
_WHY = typer.Option(metavar="TEXT", help="What the run and its ledger are told.")


@runs.command("stop")
def runs_stop(run_id: Annotated[str, _RUN]) -> None:
    """End a run that goes on. Its last event says what it cost."""
    _tell(run_id, "stop", {})


@runs.command("steer")
def runs_steer(
    run_id: Annotated[str, _RUN],
    text: Annotated[str, typer.Argument(help="What the model hears at its next step.")],
) -> None:
    """Say something to a run that goes on."""
    _tell(run_id, "steer", {"text": text})


@runs.command("approve")
def runs_approve(
    run_id: Annotated[str, _RUN],
    call: Annotated[str, typer.Argument(help="The call that waits, as it was shown.")],
    why: Annotated[str, _WHY] = "",
) -> None:
    """Let a call that waits for you be made."""
    _tell(run_id, "approve", {"call_id": call, "why": why})


@runs.command("deny")
def runs_deny(
    run_id: Annotated[str, _RUN],
    call: Annotated[str, typer.Argument(help="The call that waits, as it was shown.")],
    why: Annotated[str, _WHY] = "",
) -> None:
    """Let a call that waits for you not be made."""
    _tell(run_id, "deny", {"call_id": call, "why": why})


def _tell(run_id: str, order: "Order", body: dict[str, str]) -> None:
    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.telling import tell

        return await tell(settings, screen, run_id, order, body)

    _do(command)


@runs.command("show")
def runs_show(
    run_id: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of it.")
    ],
    json: Json = False,
) -> None:
    """Show one run. Every step, its cost, code and output; its ledger is checked."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.history import show_run

        return await show_run(settings, screen, run_id, as_json=json)

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
