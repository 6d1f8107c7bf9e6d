"""Puts the built console into wheels and sdists; an editable install builds none (`make web` does).

Node is required only where there is something to build, so a wheel is made from an sdist, which
carries the console, without it.
"""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleHook(BuildHookInterface):
    """Builds `web/` into `src/forge/_web` before files are collected."""

    def dependencies(self) -> list[str]:
        """What has to be installed first."""
        script = self._script()
        return [] if script.Console(Path(self.root)).fresh else [script.NODE]

    def initialize(self, version: str, _build_data: dict[str, Any]) -> None:
        """Build, unless this is an editable install."""
        if version != "editable":
            self._script().Console(Path(self.root)).build()

    def _script(self) -> ModuleType:
        path = Path(self.root) / "scripts" / "console.py"
        spec = importlib.util.spec_from_file_location("forge_console_build", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
