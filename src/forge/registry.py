"""Names to things, by small tables and entry points, loaded only when one is asked for.

A built-in name is a dotted path, so that choosing one model's provider never imports another's SDK.
A package adds names by an entry point in the group of the table; a built-in name cannot be taken
over. Nothing is kept: each load asks the import system, which has a cache of its own.

    forge.models      a callable `(model: str) -> Model`; it reads its own configuration
    forge.sandboxes   a callable `(home, images, notify)` giving an async context manager of a
                      `SandboxProvider`, as `forge.sandbox.qemu.provider.open_provider` does
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from forge.errors import NameUnknown


@dataclass(frozen=True, slots=True)
class Table:
    """The names of one kind of thing. `kind` is what it is called in an error."""

    kind: str
    group: str
    built_in: Mapping[str, str]

    def names(self) -> tuple[str, ...]:
        """Every name that can be loaded here: the built-in ones, then those of plug-ins."""
        found = {entry.name for entry in entry_points(group=self.group)}
        return (*self.built_in, *sorted(found - set(self.built_in)))

    def load(self, name: str) -> Any:
        """The thing of this name; the caller knows its type.

        Raises:
            NameUnknown: nothing has this name, or the plug-in that has it cannot be imported.
        """
        if name in self.built_in:
            module, _, attribute = self.built_in[name].partition(":")
            return getattr(import_module(module), attribute)
        for entry in entry_points(group=self.group, name=name):
            try:
                return entry.load()
            except (ImportError, AttributeError) as error:
                raise NameUnknown(
                    f"The {self.kind} {name!r} is there but cannot be loaded: {error}.",
                    hint=f"Mend or reinstall the package that provides {entry.value}.",
                ) from error
        raise NameUnknown(
            f"There is no {self.kind} {name[:80]!r}; there are: {', '.join(self.names())}.",
            hint=f"Use one of those, or install a package with an entry point {name[:80]!r} in "
            f"the group {self.group}.",
        )


MODELS = Table(
    kind="model provider",
    group="forge.models",
    built_in={
        "anthropic": "forge.models.anthropic:AnthropicModel",
        "openai": "forge.models.openai:OpenAIModel",
        "offline": "forge.models.offline:OfflineModel",
    },
)

SANDBOXES = Table(
    kind="sandbox provider",
    group="forge.sandboxes",
    built_in={
        "qemu": "forge.sandbox.qemu.provider:open_provider",
        "firecracker": "forge.sandbox.firecracker.provider:open_provider",
        "libkrun": "forge.sandbox.libkrun.provider:open_provider",
        "worker": "forge.sandbox.worker.provider:open_provider",
    },
)
