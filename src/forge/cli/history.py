"""`forge runs list` and `forge runs show`: what the ledger says of runs."""

import json
from collections.abc import Sequence

from forge.cli import words
from forge.cli.exits import Exit
from forge.cli.harmless import one_line
from forge.cli.live import clipped, displayed, print_call
from forge.cli.outfolder import Kept
from forge.cli.render import Screen
from forge.events import ToolDisplayed
from forge.ledger.fold import RunView, StepView, ToolView, fold
from forge.ledger.read import RunSummary
from forge.settings import Settings
from forge.wiring import history_only, open_forge

_ID = len("run_") + 14
"""Ten characters of time and four of luck; `show` takes the beginning of an id."""

_OUTPUT_LINES = 20


async def list_runs(settings: Settings, screen: Screen, limit: int, *, as_json: bool) -> Exit:
    """Print the newest runs first."""
    async with open_forge(settings, screen.notice, history_only()) as forge:
        runs = await forge.service.list_runs(limit=limit)
    if as_json:
        for run in runs:
            screen.raw_json(json.dumps(run._asdict(), default=str))
    elif runs:
        screen.table(("RUN", "STARTED", "STATUS", "TOOK", "MODEL", "PROMPT"), _rows(runs))
    else:
        screen.line("There are no runs yet. `forge run` makes one.")
    return Exit.DONE


def _rows(runs: Sequence[RunSummary]) -> list[tuple[str, ...]]:
    return [
        (
            run.id[:_ID],
            f"{run.created_at.astimezone():%Y-%m-%d %H:%M}",
            run.status,
            words.duration((run.finished_at - run.created_at).total_seconds())
            if run.finished_at
            else "",
            run.model,
            run.title,
        )
        for run in runs
    ]


async def show_run(settings: Settings, screen: Screen, prefix: str, *, as_json: bool) -> Exit:
    """Print one run, from its prompt to its totals; its chain was checked on the way."""
    async with open_forge(settings, screen.notice, history_only()) as forge:
        records = await forge.service.records(prefix)
    if as_json:
        for record in records:
            screen.raw_json(record.model_dump_json(ensure_ascii=True))
        return Exit.DONE
    view = fold(records)
    _print_beginning(view, screen)
    for step in view.steps:
        _print_step(step, screen)
    _print_end(view, screen, forge.kept)
    screen.line(f"Ledger: {words.plural(len(records), 'record')}, chain verified", "dim")
    return Exit.DONE


def _print_beginning(view: RunView, screen: Screen) -> None:
    screen.line(f"Run {view.id}: {view.status}", "bold")
    screen.line(f"{view.created_at.astimezone():%Y-%m-%d %H:%M:%S} · {view.started.model}", "dim")
    gutter = screen.gutter()
    gutter.write(clipped(view.started.prompt))
    if view.routed is not None:
        screen.line(one_line(words.way(view.routed)), "dim")
    for upload in view.uploads:
        screen.line(f"← {one_line(upload.path)} ({words.size(upload.size)}, {upload.sha256})")
    if view.sandbox is not None:
        machine = view.sandbox
        screen.line(
            f"Machine {machine.sandbox_id} · {machine.provider}/{machine.accelerator} · ready in "
            f"{words.duration(machine.duration_ms / 1000)}",
            "dim",
        )


def _print_step(step: StepView, screen: Screen) -> None:
    took = "not finished" if step.duration_ms is None else words.duration(step.duration_ms / 1000)
    screen.line(
        f"\nStep {step.step} · {took} · {words.tokens(step.usage)} · {words.money(step.usd)}",
        "bold",
    )
    for failure in step.failures:
        screen.line(f"  attempt {failure.attempt} failed: {one_line(failure.error.message)}", "red")
    if step.text:
        screen.line(step.text.rstrip("\n"))
    for tool in step.tools:
        _print_tool(tool, screen)


def _print_tool(tool: ToolView, screen: Screen) -> None:
    screen.line(f"▸ {one_line(tool.name)}", "bold cyan")
    print_call(screen, tool.name, tool.arguments)
    printed = "".join(
        displayed(piece.data) if isinstance(piece, ToolDisplayed) else piece.text
        for piece in tool.output
    )
    # A call that printed nothing was refused, or wrote only to the model.
    text = printed or ("" if tool.outcome == "ok" else tool.content)
    if text:
        screen.gutter().write(clipped(text, _OUTPUT_LINES))
    took = "" if tool.duration_ms is None else f" in {words.duration(tool.duration_ms / 1000)}"
    screen.line(f"  {tool.outcome or 'not finished'}{took}", "dim")


def _print_end(view: RunView, screen: Screen, kept: Kept) -> None:
    screen.line()
    for notice in view.notices:
        screen.line(f"! {one_line(notice)}", "yellow")
    for artifact in view.artifacts:
        screen.line(
            f"→ {one_line(artifact.name)} ({words.size(artifact.size)}), kept as "
            f"{kept(artifact.sha256)}"
        )
    if view.error is not None:
        screen.error(view.error)
    whole = view.totals()
    screen.line(
        f"{view.status} · {words.totals(whole)} · model {words.duration(whole.model_s)} · machine "
        f"{words.duration(whole.sandbox_s)}",
        "bold",
    )
