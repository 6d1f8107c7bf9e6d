"""The files of the house, for the tests that look at all of them."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

_FOLDERS = (".ci", "benchmarks", "docs", "guest", "images", "scripts", "src", "tests", "web")
_AT_THE_DOOR = ("*.md", "*.py", "*.toml", "LICENSE", "Makefile", ".gitignore")
_LOCKS = ("uv.lock", "requirements.txt", "package-lock.json")
"""Written by programs, with the addresses that those need."""

_MADE = {"__pycache__", "node_modules", "_web", "pictures"}
"""Folders that programs fill."""


def _walk() -> Iterator[Path]:
    for pattern in _AT_THE_DOOR:
        yield from ROOT.glob(pattern)
    for folder in _FOLDERS:
        for at, folders, files in os.walk(ROOT / folder):
            folders[:] = [each for each in folders if each not in _MADE]
            yield from (Path(at) / name for name in files)


@cache
def texts() -> dict[Path, str]:
    """Every text file that people write, and what it says."""
    found = (path for path in _walk() if path.name not in _LOCKS and path.suffix != ".png")
    return {path: path.read_text(encoding="utf-8") for path in sorted(found)}


def pages() -> dict[Path, str]:
    """The Markdown among them."""
    return {path: text for path, text in texts().items() if path.suffix == ".md"}


def modules(*folders: str) -> dict[Path, str]:
    """The Python below these folders of the house."""
    places = [ROOT / folder for folder in folders]
    return {
        path: text
        for path, text in texts().items()
        if path.suffix == ".py" and any(path.is_relative_to(place) for place in places)
    }


def name(path: Path) -> str:
    """A file's path from the house's door."""
    return path.relative_to(ROOT).as_posix()
