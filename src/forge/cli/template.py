"""`forge template …`: templates of a person's own, made from a Dockerfile or an OCI image."""

import asyncio
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from forge.cli import words
from forge.cli.exits import Exit
from forge.cli.render import Screen
from forge.cli.stopping import stopping
from forge.errors import ForgeError, InputRefused
from forge.sandbox.base import Limits
from forge.sandbox.images.config import TemplateConfig
from forge.sandbox.images.oci.build import Order
from forge.sandbox.images.oci.shelf import Made, check_name
from forge.sandbox.images.oci.source import find_source
from forge.sandbox.images.stock import Images
from forge.settings import Settings
from forge.wiring import open_machines, spec_of

_OURS = "Value error, "  # what pydantic puts before a reason of our own


def order(name: str, source: str, config: Mapping[str, Any], *, network: bool) -> Order:
    """What the command's words ask for.

    Raises:
        InputRefused: an option cannot be used, or there is nothing to build from.
    """
    check_name(name)
    try:
        checked = TemplateConfig.model_validate(config)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        option = str(fault["loc"][-1] if isinstance(fault["loc"][-1], str) else fault["loc"][0])
        raise InputRefused(
            f"--{option.replace('_', '-')} cannot be used: {fault['msg'].removeprefix(_OURS)}"
        ) from error
    Limits(**checked.sizes.model_dump()).check(os.cpu_count() or 1)
    return Order(name, find_source(source, Path.cwd()), checked, network)


async def build_template(settings: Settings, screen: Screen, wanted: Order) -> Exit:
    """Build it, make a machine of it to see that it works, and only then keep it."""
    begun = time.monotonic()
    with stopping(screen.notice) as stop:
        try:
            async with open_machines(settings, screen.notice) as machines:
                images = machines.images
                if images is None:
                    raise InputRefused(
                        "a worker keeps templates of its own",
                        hint="Run `forge template build` on the worker's host.",
                    )
                own = images.own
                with screen.building() as tell:
                    made = await own.build(wanted, tell)
                built = time.monotonic()
                try:
                    await machines.prepare(screen.building)
                    spec = spec_of(images, made.name)  # its own sizes, whatever the settings say
                    machine = await machines.provider.create(spec)
                    await machine.stop()
                except (ForgeError, asyncio.CancelledError):
                    own.reject(made)
                    raise
                own.keep(made)
        except asyncio.CancelledError:
            if stop.asked is None:
                raise
            return stop.asked
    screen.line(
        f"The template {made.name} is ready, after {words.duration(time.monotonic() - begun)} "
        f"({words.duration(built - begun)} to build, the rest to boot and warm a machine)."
    )
    _print(made, screen, words.size(own.size(made)))
    return Exit.DONE


async def list_templates(settings: Settings, screen: Screen, *, as_json: bool) -> Exit:
    """Print every template there is."""
    images = Images(settings.home)
    rows: list[tuple[str, str, str, str]] = [
        (fact.name, "Forge", "not built" if fact.size is None else words.size(fact.size), "")
        for fact in images.known()
    ]
    own = [images.own.show(name) for name in images.own.names()]
    if as_json:
        known = [{"name": row[0], "kind": "recipe"} for row in rows]
        screen.raw_json(json.dumps([*known, *(_facts(made) for made in own)]))
        return Exit.DONE
    rows += [(made.name, made.kind, words.size(images.own.size(made)), made.source) for made in own]
    screen.table(("TEMPLATE", "MADE BY", "SIZE", "MADE FROM"), rows)
    return Exit.DONE


async def show_template(settings: Settings, screen: Screen, name: str, *, as_json: bool) -> Exit:
    """Print one template of the person's own."""
    own = Images(settings.home).own
    made = own.show(name)
    if as_json:
        screen.raw_json(json.dumps(_facts(made)))
    else:
        screen.line(made.name)
        _print(made, screen, words.size(own.size(made)))
    return Exit.DONE


async def remove_template(settings: Settings, screen: Screen, name: str) -> Exit:
    """Forget one template of the person's own."""
    Images(settings.home).own.remove(name)
    screen.line(f"The template {name} is gone; `forge template gc` frees its space.")
    return Exit.DONE


async def collect(settings: Settings, screen: Screen) -> Exit:
    """Free what nothing needs."""
    with stopping(screen.notice) as stop:
        try:
            gone = await Images(settings.home).own.gc(
                lambda: screen.notice("Waiting for a build to end …")
            )
        except asyncio.CancelledError:
            if stop.asked is None:
                raise
            return stop.asked
    screen.line(f"Removed {words.plural(gone.files, 'file')}, {words.size(gone.size)}.")
    return Exit.DONE


def _facts(made: Made) -> dict[str, Any]:
    return made.model_dump(mode="json", exclude={"version", "built_ns", "boot", "stamp"})


def _print(made: Made, screen: Screen, size: str) -> None:
    config, python = made.config, made.python or "none"
    code = "" if made.interpreter else " (commands and files only: no code contexts)"
    sizes, warming = config.sizes, config.warming
    machines = (
        f"{words.plural(sizes.cpus, 'processor')}, {sizes.memory_mib} MiB of memory, "
        f"{sizes.disk_mib} MiB of disk"
    )
    rows = [
        ("made from", f"{made.source} ({made.kind})"),
        ("built", made.built_at),
        ("root", f"{made.root.key}, {size}"),
        ("python", f"{python}{code}"),
        ("machines", machines),
        ("start", f"{warming.start}{' (as root)' if warming.as_root else ''}"),
        ("ready", warming.ready),
        ("preload", ", ".join(config.preload)),
    ]
    for what, value in rows:
        if value.strip():
            screen.line(f"  {what:<10}{value}")
