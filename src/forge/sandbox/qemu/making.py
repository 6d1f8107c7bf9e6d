"""Makes templates: boots an image, warms and saves it, one process at a time per key."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from forge.errors import (
    NoSpace,
    SandboxDied,
    SandboxUnresponsive,
    TemplateCorrupt,
    TemplateError,
    TemplateForeign,
)
from forge.sandbox import verdicts
from forge.sandbox.agent.commands import AgentCommands
from forge.sandbox.agent.connection import AGENT_VERSION
from forge.sandbox.agent.starting import start_and_wait
from forge.sandbox.base import Limits
from forge.sandbox.images.store import Image
from forge.sandbox.machines import template as saved_templates
from forge.sandbox.machines.template import Template
from forge.sandbox.qemu.argv import PROGRAM, Boot, Descriptors, Shape, machine_argv
from forge.sandbox.qemu.warm import Cold, booted
from forge.sandbox.vmm import find_program

_BOOT_S = 90.0  # a cold boot takes 3 s under emulation on an idle host
_TEMPLATE_MIB = 700  # memory in use and disk of a template, with room to spare


class TemplateMaker:
    """Finds templates, and makes those that are missing.

    Args:
        home: Forge's own folder.
        version: QEMU's version.
        notify: told, in words, of what takes long.
    """

    def __init__(
        self, home: Path, version: Callable[[], str], notify: Callable[[str], None]
    ) -> None:
        self._home = home
        self._version = version
        self._notify = notify
        self._making = asyncio.Lock()

    def _key(self, shape: Shape, image: Image, limits: Limits) -> str:
        fds, boot = Descriptors(0, 0, 0, 0, 0, 0, 0), Boot(0, 0, 0, image.root_kind, 0)
        parts: dict[str, object] = {
            "qemu": self._version(),
            "argv": machine_argv(find_program(PROGRAM), shape, fds, boot),
            "image": image.key,
            # What is set in the template itself; the host sets the other limits at each start.
            "limits": [limits.disk_mib, limits.processes],
            "agent": AGENT_VERSION,
            "host": verdicts.host_cpu(),
        }
        return saved_templates.template_key(parts)

    async def template(self, shape: Shape, image: Image, limits: Limits) -> Template:
        """The template of these, made first where it is missing.

        Raises:
            TemplateError, ProgramMissing, NoSpace: it could not be made.
        """
        key = self._key(shape, image, limits)
        async with self._making:
            found = self._find(key)
            if found is not None:
                return found
            templates = self._home / "templates"
            async with saved_templates.only_one(templates, key):
                found = self._find(key)
                if found is not None:
                    return found
                await self._make(templates, key, Cold(image, shape, limits.disk_mib), limits)
        made = self._find(key)
        if made is None:
            raise TemplateError(f"template {key} was made and is not there")
        return made

    def _find(self, key: str) -> Template | None:
        templates = self._home / "templates"
        try:
            return saved_templates.find(templates, key)
        except (TemplateCorrupt, TemplateForeign) as error:
            self._notify(f"{error.message}; it is made anew")
            saved_templates.remove(templates, key)
            return None

    async def _make(self, templates: Path, key: str, cold: Cold, limits: Limits) -> None:
        check_space(self._home, _TEMPLATE_MIB)
        self._notify(
            f"Making the template “{cold.image.name}”: booting a machine and loading its "
            "libraries, once (up to a minute)"
        )
        folder = saved_templates.half_made(templates, key)
        folder.mkdir(mode=0o700)
        try:
            async with booted(cold, folder, _BOOT_S) as warm:
                failures = await warm.agent.prepare(
                    cold.image.preload,
                    cold.image.env,
                    limits.processes,
                    interpreter=cold.image.interpreter,
                )
                for failure in failures:
                    self._notify(f"not preloaded: {failure}")
                await start_and_wait(AgentCommands(warm.agent), cold.image.warming)
                await warm.save(folder)
            saved_templates.seal(folder, key)
            folder.rename(templates / key)
            saved_templates.sweep(templates)
        except OSError as error:
            raise NoSpace(f"the template could not be saved: {error}") from error
        except (SandboxDied, SandboxUnresponsive) as error:
            raise TemplateError(f"the template could not be made: {error.message}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def check_space(home: Path, needed_mib: int) -> None:
    """Refuse to begin what the disk has no room for.

    Raises:
        NoSpace: less is free.
    """
    free = free_mib(home)
    if free < needed_mib:
        raise NoSpace(f"{free} MiB are free under {home}; {needed_mib} MiB are needed")


def free_mib(home: Path) -> int:
    """What is free on the disk that holds Forge's folder, in MiB."""
    return shutil.disk_usage(home).free >> 20
