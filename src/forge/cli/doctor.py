"""`forge microvm probe`: what this host can do, has and lacks, in plain words."""

import asyncio
import json
from dataclasses import asdict

from forge.cli import words
from forge.cli.exits import Exit
from forge.cli.render import Screen
from forge.cli.stopping import stopping
from forge.errors import ForgeError
from forge.sandbox.base import Probe
from forge.sandbox.doctor import Check, Costs, costs, examine
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
_OTHERS_ADVICE = (
    "This provider needs a /dev/kvm that truly runs guests. Give this host one, or choose QEMU, "
    "which runs everywhere: leave FORGE_SANDBOX unset (docs/providers.md)."
)


_MARKS = {"good": ("✓", "green"), "weak": ("•", "yellow"), "bad": ("✗", "bold red")}


async def probe(settings: Settings, screen: Screen, *, fresh: bool, as_json: bool) -> Exit:
    """Say what this host can do and lacks; host-unfit where no machine runs."""
    checks: tuple[Check, ...] = ()
    if settings.sandbox != "worker":  # whose host is another: it is examined there
        checks = await asyncio.to_thread(examine, settings.home, settings.memory_mib)
    with stopping(screen.notice) as stop:
        try:
            verdict = await _verdict(settings, screen, fresh=fresh)
        except asyncio.CancelledError:
            if stop.asked is None:
                raise
            return stop.asked
        except ForgeError:
            # Without a verdict the checks are what there is to go by.
            if not as_json:
                _print_checks(checks, screen)
            raise
    spent = costs(settings.home, settings.memory_mib, settings.disk_mib) if checks else None
    if as_json:
        said = {"checks": [asdict(each) for each in checks], "costs": spent and asdict(spent)}
        screen.raw_json(json.dumps({**asdict(verdict), **said}))
    else:
        _print(verdict, screen)
        _print_checks(checks, screen)
        _print_costs(spent, screen)
    unfit = verdict.accelerator is None or any(each.verdict == "bad" for each in checks)
    return Exit.HOST if unfit else Exit.DONE


async def _verdict(settings: Settings, screen: Screen, *, fresh: bool) -> Probe:
    async with open_machines(settings, screen.notice) as machines:
        verdict = await machines.prepare(screen.building)
        if fresh and verdict.cached:
            screen.notice("Trying every accelerator again (5 to 70 seconds) …")
            verdict = await machines.provider.probe(fresh=True)
    return verdict


def _print_checks(checks: tuple[Check, ...], screen: Screen) -> None:
    for check in checks:
        mark, style = _MARKS[check.verdict]
        screen.line(f"  {mark} {check.name}: {check.found}", style)
        if check.advice:
            screen.line(f"      {check.advice}")


def _print_costs(spent: Costs | None, screen: Screen) -> None:
    if spent is None:
        screen.line(
            "That is the worker's host. What it has and lacks: run `forge microvm probe` there."
        )
        return
    screen.line(
        f"On disk: images {words.size(spent.images)}, templates {words.size(spent.templates)}. "
        f"Each machine: at most {words.size(spent.machine_memory)} of memory (about 25 MiB of its "
        f"own while idle; the rest is shared or not yet used) and {words.size(spent.machine_disk)} "
        "of disk.",
        "dim",
    )


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
        screen.line(_NONE_ADVICE if verdict.provider == "qemu" else _OTHERS_ADVICE)
    elif verdict.accelerator == "tcg":
        screen.line(_KVM_ADVICE)
