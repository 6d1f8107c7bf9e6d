"""`forge microvm probe`: what this host can do, in plain words, and what to change."""

import asyncio
import json
from dataclasses import asdict

from forge.cli import words
from forge.cli.exits import Exit
from forge.cli.render import Screen
from forge.cli.stopping import stopping
from forge.sandbox.base import Probe
from forge.settings import Settings
from forge.wiring import open_machines

_MEANINGS = {
    "kvm": "Machines run at nearly the speed of this computer.",
    "hvf": "Machines run at nearly the speed of this computer.",
    "tcg": "Machines run in software emulation: everything works and each has a kernel of its own, "
    "but computing takes several times as long, and QEMU's project vouches for its walls only "
    "under KVM. What stands behind them here is in docs/threat-model.md.",
}
_KVM_ADVICE = (
    "For speed, give this host a working /dev/kvm: on hardware enable virtualisation in the "
    "firmware; in a virtual machine enable nested virtualisation at its host. Then run "
    "`forge microvm probe --fresh`."
)
_NONE_ADVICE = (
    "Nothing can run here until that is mended. Update QEMU, see that this host has 1 GiB of free "
    "memory, then run `forge microvm probe --fresh`."
)


async def probe(settings: Settings, screen: Screen, *, fresh: bool, as_json: bool) -> Exit:
    """Say which accelerator boots a guest here; host-unfit where none does."""
    with stopping(screen.notice) as stop:
        try:
            async with open_machines(settings, screen.notice) as machines:
                verdict = await machines.prepare(screen.building)
                if fresh and verdict.cached:
                    screen.notice("Trying every accelerator again (5 to 70 seconds) …")
                    verdict = await machines.provider.probe(fresh=True)
        except asyncio.CancelledError:
            if stop.asked is None:
                raise
            return stop.asked
    if as_json:
        screen.raw_json(json.dumps(asdict(verdict)))
    else:
        _print(verdict, screen)
    return Exit.DONE if verdict.accelerator else Exit.HOST


def _print(verdict: Probe, screen: Screen) -> None:
    if verdict.accelerator is None:
        screen.line("✗ No machine can run on this host.", "bold red")
    else:
        screen.line(f"✓ Machines run here with {verdict.accelerator}.", "bold green")
        screen.line(_MEANINGS.get(verdict.accelerator, ""))
    for attempt in verdict.attempts:
        mark, style = ("✓", "green") if attempt.works else ("✗", "yellow")
        screen.line(
            f"  {mark} {attempt.accelerator}, after {words.duration(attempt.duration_ms / 1000)}: "
            f"{' '.join(attempt.reason.split())}",
            style,
        )
    known = ", as found out earlier since this host started" if verdict.cached else ""
    screen.line(f"Provider {verdict.provider} · {verdict.version}{known}", "dim")
    if verdict.accelerator is None:
        screen.line(_NONE_ADVICE)
    elif verdict.accelerator == "tcg":
        screen.line(_KVM_ADVICE)
