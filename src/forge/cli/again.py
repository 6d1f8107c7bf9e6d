"""`forge runs resume`, `rerun` and `diff`: go on with a run, ask it once more, and compare.

In this process the run is carried out here, so these watch it to its end, as `forge run` does.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from forge.cli import words
from forge.cli.exits import Exit
from forge.cli.harmless import one_line
from forge.cli.limits import Limits
from forge.cli.link import linked
from forge.cli.live import LiveView
from forge.cli.outfolder import OutFolder
from forge.cli.render import Screen
from forge.cli.run import JsonView
from forge.cli.stopping import Stopping, stopping
from forge.cli.watch import watch
from forge.client.api import Asked
from forge.client.said import Side
from forge.errors import InputRefused
from forge.ids import RunId
from forge.ledger.fold import RunView, fold
from forge.settings import Settings


async def resume(
    settings: Settings,
    screen: Screen,
    run_id: str,
    caps: Limits,
    out: Path | None,
    *,
    as_json: bool,
) -> Exit:
    """Let a run go on under the caps that it had and those that were named; watch it."""

    async def carry_out(stop: Stopping) -> Exit:
        async with linked(settings, screen) as link:
            records = await link.client.recorded(run_id)
            found = fold(records)
            if found.status == "capped" and not caps.named():
                raise InputRefused(
                    f"The run was stopped by a cap, and would be again: {_why(found)}",
                    hint="Name a higher one, as `--max-iterations 32`; 0 lifts it. What was spent "
                    "counts.",
                )
            asking = link.client.resumed(records[-1], {"caps": _caps(found, caps)})
            return await watch(link.client, asking, _view(screen, as_json=as_json), stop, out)

    return await _stoppable(screen, out, carry_out)


async def rerun(  # noqa: PLR0913 - one argument per option of the command
    settings: Settings,
    screen: Screen,
    run_id: str,
    model: str,
    caps: Limits,
    out: Path | None,
    *,
    as_json: bool,
) -> Exit:
    """Ask once more what a run was asked, on another model or under other caps if wanted."""

    async def carry_out(stop: Stopping) -> Exit:
        async with linked(settings, screen, model) as link:
            first = await link.client.recorded(run_id)
            found = fold(first)
            wanted = {"model": link.model, "caps": _caps(found, caps)}
            view, begun = _view(screen, as_json=as_json), list[RunId]()
            asking = _noted(link.client.again(found.id, wanted), begun)
            code = await watch(link.client, asking, view, stop, out)
        screen.notice(f"`forge runs diff {found.id} {begun[0]}` compares the two.")
        return code

    return await _stoppable(screen, out, carry_out)


@asynccontextmanager
async def _noted(
    asking: AbstractAsyncContextManager[Asked], begun: list[RunId]
) -> AsyncIterator[Asked]:
    async with asking as asked:
        begun.append(asked.run_id)
        yield asked


async def _stoppable(
    screen: Screen, out: Path | None, carry_out: Callable[[Stopping], Awaitable[Exit]]
) -> Exit:
    if out is not None:
        OutFolder(out).check()
    with stopping(screen.notice) as stop:
        try:
            return await carry_out(stop)
        except asyncio.CancelledError:
            if stop.asked is None:
                raise
            return stop.asked


def _view(screen: Screen, *, as_json: bool) -> JsonView | LiveView:
    return JsonView(screen) if as_json else LiveView(screen)


def _caps(found: RunView, named: Limits) -> dict[str, Any]:
    return {**found.caps.model_dump(mode="json"), **named.named()}


def _why(found: RunView) -> str:
    return one_line(found.error.message) if found.error else "its error says no more."


async def compare(
    settings: Settings, screen: Screen, one: str, other: str, *, as_json: bool
) -> Exit:
    """Print how a run differs from another."""
    async with linked(settings, screen, asking=False) as link:
        found = await link.client.diff(one, other)
    if as_json:
        screen.raw_json(found.model_dump_json(ensure_ascii=True))
        return Exit.DONE
    screen.table(
        ("RUN", "STATUS", "COST", "TOOK", "CALLS+TOOLS", "TOKENS", "FILES", "MODEL"),
        [_row(side) for side in (found.one, found.other)],
    )
    for name, text in (("Code", found.code), ("Result", found.result), ("Answer", found.answer)):
        screen.line(f"\n{name}{'' if text else ': the same'}", "bold")
        for line in text.split("\n") if text else ():
            screen.line(line, _STYLES.get(line[:1], ""))
    if found.clipped:
        screen.important("One of them is too long to be compared whole.")
    return Exit.DONE


_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def _row(side: Side) -> tuple[str, ...]:
    whole = side.totals
    return (
        side.id,
        side.status,
        words.money(whole.usd),
        words.duration(whole.wall_s),
        f"{whole.iterations}+{whole.tool_calls}",
        f"{whole.usage.total_tokens:,}",
        str(len(side.artifacts)),
        side.model,
    )
