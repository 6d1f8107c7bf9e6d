"""`forge runs …`: names and options; `history`, `telling`, `again` and `chains` carry them out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forge.cli import limits
from forge.cli.doing import Json, do

if TYPE_CHECKING:
    from forge.cli.exits import Exit
    from forge.cli.render import Screen
    from forge.cli.telling import Order
    from forge.settings import Settings

runs = typer.Typer(help="Look at runs, and tell them something.", no_args_is_help=True)

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of it.")]
_Call = Annotated[str, typer.Argument(help="The call that waits, as it was shown.")]
_Why = Annotated[str, typer.Option(metavar="TEXT", help="What the run and its ledger are told.")]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The folder for the files it makes; else forge-out/<run>."),
]


@runs.command("list")
def runs_list(
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="How many runs.")] = 20,
    json: Json = False,
) -> None:
    """List your runs, newest first."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.history import list_runs

        return await list_runs(settings, screen, limit, as_json=json)

    do(command)


@runs.command("show")
def runs_show(run_id: Run, json: Json = False) -> None:
    """Show one run. Every step, its cost, code and output; its ledger is checked."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.history import show_run

        return await show_run(settings, screen, run_id, as_json=json)

    do(command)


@runs.command("stop")
def runs_stop(run_id: Run) -> None:
    """End a run that goes on. Its last event says what it cost."""
    _tell(run_id, "stop", {})


@runs.command("steer")
def runs_steer(
    run_id: Run,
    text: Annotated[str, typer.Argument(help="What the model hears at its next step.")],
) -> None:
    """Say something to a run that goes on."""
    _tell(run_id, "steer", {"text": text})


@runs.command("approve")
def runs_approve(run_id: Run, call: _Call, why: _Why = "") -> None:
    """Let a call that waits for you be made."""
    _tell(run_id, "approve", {"call_id": call, "why": why})


@runs.command("deny")
def runs_deny(run_id: Run, call: _Call, why: _Why = "") -> None:
    """Let a call that waits for you not be made."""
    _tell(run_id, "deny", {"call_id": call, "why": why})


def _tell(run_id: str, order: "Order", body: dict[str, str]) -> None:
    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.telling import tell

        return await tell(settings, screen, run_id, order, body)

    do(command)


@runs.command("resume")
def runs_resume(  # noqa: PLR0913 - one argument per option of the command
    run_id: Run,
    max_iterations: limits.Iterations = None,
    max_usd: limits.Usd = None,
    max_tokens: limits.Tokens = None,
    max_wall: limits.Wall = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Go on with a run that a cap stopped, or that was interrupted, and watch it."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.again import resume

        caps = limits.Limits(max_iterations, max_tokens, max_usd, max_wall)
        return await resume(settings, screen, run_id, caps, out, as_json=json)

    do(command)


@runs.command("rerun")
def runs_rerun(  # noqa: PLR0913 - one argument per option of the command
    run_id: Run,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="The model to ask instead of your usual one.")
    ] = "",
    max_iterations: limits.Iterations = None,
    max_usd: limits.Usd = None,
    max_tokens: limits.Tokens = None,
    max_wall: limits.Wall = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Ask what a run was asked once more, and watch it."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.again import rerun

        caps = limits.Limits(max_iterations, max_tokens, max_usd, max_wall)
        return await rerun(settings, screen, run_id, model, caps, out, as_json=json)

    do(command)


@runs.command("diff")
def runs_diff(
    one: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or its beginning.")],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The run to compare it with.")],
    json: Json = False,
) -> None:
    """Compare two runs in cost, code, result and answer."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.again import compare

        return await compare(settings, screen, one, other, as_json=json)

    do(command)


@runs.command("export")
def runs_export(
    run_id: Run,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file that is not there yet; else standard output."),
    ] = None,
    files: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder for what the run made.")
    ] = None,
) -> None:
    """Take a run away: its ledger as JSON lines, and the files that it made."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.chains import export

        return await export(settings, screen, run_id, out, files)

    do(command)


@runs.command("verify")
def runs_verify(
    run_id: Annotated[
        str, typer.Argument(metavar="RUN", help="One run; else every run of this home.")
    ] = "",
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A ledger that was exported, instead.")
    ] = None,
) -> None:
    """Check the chains of this home's ledger itself, everybody's; no server is asked."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.chains import verify, verify_file

        if file is not None:
            return await verify_file(screen, file, run_id)
        return await verify(settings, screen, run_id)

    do(command)
