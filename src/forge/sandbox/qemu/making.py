"""Makes QEMU's templates: boots an image, warms and saves it."""

from collections.abc import Callable
from pathlib import Path

from forge.sandbox import verdicts
from forge.sandbox.agent.connection import AGENT_VERSION
from forge.sandbox.base import Limits
from forge.sandbox.images.store import Image
from forge.sandbox.machines.making import Shelf, warmed
from forge.sandbox.machines.template import Template, template_key
from forge.sandbox.qemu.argv import PROGRAM, Boot, Descriptors, Shape, machine_argv
from forge.sandbox.qemu.warm import Cold, booted
from forge.sandbox.vmm import find_program

_BOOT_S = 90.0  # a cold boot takes 3 s under emulation on an idle host


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
        self._version = version
        self._notify = notify
        self._shelf = Shelf(home / "templates", notify)

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
        return template_key(parts)

    async def template(self, shape: Shape, image: Image, limits: Limits) -> Template:
        """The template of these, made first where it is missing.

        Raises:
            TemplateError, ProgramMissing, NoSpace: it could not be made.
        """
        cold = Cold(image, shape, limits.disk_mib)
        return await self._shelf.template(
            self._key(shape, image, limits), lambda folder: self._make(cold, limits, folder)
        )

    async def _make(self, cold: Cold, limits: Limits, folder: Path) -> None:
        self._notify(
            f"Making the template “{cold.image.name}”: booting a machine and loading its "
            "libraries, once (up to a minute)"
        )
        async with booted(cold, folder, _BOOT_S) as warm:
            await warmed(warm.agent, cold.image, limits, self._notify)
            await warm.save(folder)
