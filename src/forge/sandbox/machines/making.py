"""Makes templates: one process at a time per key, however many ask; a VMM's engine says how."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from forge.errors import (
    NoSpace,
    SandboxDied,
    SandboxUnresponsive,
    TemplateCorrupt,
    TemplateError,
    TemplateForeign,
)
from forge.sandbox.agent.commands import AgentCommands
from forge.sandbox.agent.connection import Connection
from forge.sandbox.agent.starting import start_and_wait
from forge.sandbox.base import Limits
from forge.sandbox.images.store import Image
from forge.sandbox.machines import template as saved_templates
from forge.sandbox.machines.template import Template

_FULL = 16 << 20  # what is left of a disk that was full when memory was written to it
_TEMPLATE_MIB = 700  # memory in use and disk of a template, with room to spare


class Shelf:
    """Finds templates, and has those made that are missing.

    Args:
        folder: where they are.
        notify: told, in words, of what takes long.
    """

    def __init__(self, folder: Path, notify: Callable[[str], None]) -> None:
        self._folder = folder
        self._notify = notify
        self._making = asyncio.Lock()

    async def template(self, key: str, make: Callable[[Path], Awaitable[None]]) -> Template:
        """The template of this key; where it is missing, `make` fills a folder with its files.

        Raises:
            TemplateError, ProgramMissing, NoSpace: it could not be made.
        """
        async with self._making:
            found = self._find(key)
            if found is not None:
                return found
            async with saved_templates.only_one(self._folder, key):
                found = self._find(key)
                if found is not None:
                    return found
                await self._make(key, make)
        made = self._find(key)
        if made is None:
            raise TemplateError(f"template {key} was made and is not there")
        return made

    def _find(self, key: str) -> Template | None:
        try:
            return saved_templates.find(self._folder, key)
        except (TemplateCorrupt, TemplateForeign) as error:
            self._notify(f"{error.message}; it is made anew")
            saved_templates.remove(self._folder, key)
            return None

    async def _make(self, key: str, make: Callable[[Path], Awaitable[None]]) -> None:
        check_space(self._folder, _TEMPLATE_MIB)
        folder = saved_templates.half_made(self._folder, key)
        folder.mkdir(mode=0o700)
        try:
            await make(folder)
            saved_templates.seal(folder, key)
            folder.rename(self._folder / key)
            saved_templates.sweep(self._folder)
        except OSError as error:
            raise NoSpace(f"the template could not be saved: {error}") from error
        except (SandboxDied, SandboxUnresponsive) as error:
            # Memory that finds no place in its file ends a VMM, which cannot say why.
            if shutil.disk_usage(self._folder).free < _FULL:
                raise NoSpace("no space was left while the template was made") from error
            raise TemplateError(f"the template could not be made: {error.message}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)


async def warmed(
    agent: Connection, image: Image, limits: Limits, notify: Callable[[str], None]
) -> None:
    """Have a machine load what its template is to have ready.

    Raises:
        SandboxDied, SandboxUnresponsive, GuestViolation, GuestRefused: see `sandbox.base`.
    """
    failures = await agent.prepare(
        image.preload, image.env, limits.processes, interpreter=image.interpreter
    )
    for failure in failures:
        notify(f"not preloaded: {failure}")
    await start_and_wait(AgentCommands(agent), image.warming)


def check_space(folder: Path, needed_mib: int) -> None:
    """Refuse to begin what the disk has no room for.

    Raises:
        NoSpace: less is free.
    """
    free = shutil.disk_usage(folder).free >> 20
    if free < needed_mib:
        raise NoSpace(f"{free} MiB are free under {folder}; {needed_mib} MiB are needed")
