"""`forge runs list` and `forge runs show`: what a server, or this process, says of one's runs.

What is shown of a run is the fold of its records, whose chain is checked here, not believed.
"""

from collections.abc import Sequence

from forge.cli import words
from forge.cli.exits import Exit
from forge.cli.harmless import one_line
from forge.cli.link import linked
from forge.cli.live import clipped, displayed, print_call
from forge.cli.render import Screen
from forge.client.said import RunLine
from forge.events import ToolDisplayed
from forge.ledger.chain import check
from forge.ledger.fold import RunView, StepView, ToolView, fold
from forge.settings import Settings

_ID = len("run_") + 14
"""Ten characters of time and four of luck; `show` takes the beginning of an id."""

_OUTPUT_LINES = 20


async def list_runs(settings: Settings, screen: Screen, limit: int, *, as_json: bool) -> Exit:
    """Print the newest runs first."""
    async with linked(settings, screen, asking=False) as link:
        runs = await link.client.runs(limit)
    if as_json:
        for run in runs:
            screen.raw_json(run.model_dump_json(ensure_ascii=True))
    elif runs:
        screen.table(("RUN", "STARTED", "STATUS", "TOOK", "MODEL", "PROMPT"), _rows(runs))
    else:
        screen.line("There are no runs yet. `forge run` makes one.")
    return Exit.DONE


def _rows(runs: Sequence[RunLine]) -> list[tuple[str, ...]]:
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
    async with linked(settings, screen, asking=False) as link:
        records = await link.client.recorded(prefix)
    check(records)
    if as_json:
        for record in records:
            screen.raw_json(record.model_dump_json(ensure_ascii=True))
        return Exit.DONE
    view = fold(records)
    _print_beginning(view, screen)
    for step in view.steps:
        _print_step(step, screen)
    _print_end(view, screen)
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


def _print_end(view: RunView, screen: Screen) -> None:
    screen.line()
    for notice in view.notices:
        screen.line(f"! {one_line(notice)}", "yellow")
    for artifact in view.artifacts:
        screen.line(f"→ {one_line(artifact.name)} ({words.size(artifact.size)}, {artifact.sha256})")
    if view.artifacts:
        screen.line(f"`forge runs export {view.id[:_ID]} --files DIR` fetches what it made.", "dim")
    if view.error is not None:
        screen.error(view.error)
    whole = view.totals()
    screen.line(
        f"{view.status} · {words.totals(whole)} · model {words.duration(whole.model_s)} · machine "
        f"{words.duration(whole.sandbox_s)}",
        "bold",
    )
