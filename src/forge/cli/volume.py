"""`forge volume create|list|show|remove`, and how a volume is named for a machine."""

import json
from dataclasses import asdict

from forge.cli import words
from forge.cli.exits import Exit
from forge.cli.render import Screen
from forge.errors import InputRefused
from forge.sandbox.volumes import Volume, VolumeMount
from forge.settings import Settings
from forge.wiring import open_volumes


def mount_from(text: str) -> VolumeMount:
    """A volume for a machine, as the command line has it: `NAME:PATH`, or `NAME:PATH:ro`.

    Raises:
        InputRefused: it is neither.
    """
    name, _, rest = text.partition(":")
    path, _, mode = rest.partition(":")
    if not name or not path or mode not in ("", "ro", "rw"):
        raise InputRefused(
            f"{text[:100]!r} does not name a volume and its place.",
            hint="Write NAME:PATH, or NAME:PATH:ro, as in --volume my-data:/home/user/data.",
        )
    return VolumeMount(name, path, read_only=mode == "ro")


async def create(settings: Settings, screen: Screen, name: str, size_mib: int) -> Exit:
    """Make an empty volume."""
    volume = await open_volumes(settings).create(name, size_mib)
    screen.line(f"The volume {volume.name} is ready; it holds {size(volume)}.")
    return Exit.DONE


async def list_all(settings: Settings, screen: Screen, *, as_json: bool) -> Exit:
    """Print every volume there is."""
    volumes = open_volumes(settings).list()
    if as_json:
        for volume in volumes:
            screen.raw_json(json.dumps(asdict(volume)))
        return Exit.DONE
    rows = [
        (each.name, size(each), words.size(each.used), each.made, _state(each)) for each in volumes
    ]
    screen.table(("VOLUME", "SIZE", "OCCUPIES", "MADE", "STATE"), rows)
    return Exit.DONE


async def show(settings: Settings, screen: Screen, name: str, *, as_json: bool) -> Exit:
    """Print what is known of one volume."""
    volume = open_volumes(settings).show(name)
    if as_json:
        screen.raw_json(json.dumps(asdict(volume)))
        return Exit.DONE
    screen.line(f"{volume.name}, made {volume.made}")
    screen.line(f"  holds {size(volume)}, occupies {words.size(volume.used)} of this host's disk")
    screen.line(f"  {_state(volume)}")
    return Exit.DONE


async def remove(settings: Settings, screen: Screen, name: str) -> Exit:
    """Remove a volume and all that is in it."""
    open_volumes(settings).remove(name)
    screen.line(f"The volume {name} and all that was in it are gone.")
    return Exit.DONE


def size(volume: Volume) -> str:
    """How much a volume holds, in words."""
    return f"{volume.size_mib} MiB"


def _state(volume: Volume) -> str:
    return "clean" if volume.clean else "in use, or left by a crash"
