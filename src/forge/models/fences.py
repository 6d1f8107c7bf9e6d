"""The fenced code blocks of a person's message, read as CommonMark reads them.

Pure. A block in a list or a quote counts, a longer fence may hold a shorter one, and a fence that
is never closed runs to the end of what it is in.
"""

from dataclasses import dataclass
from typing import Literal

from markdown_it import MarkdownIt

Language = Literal["python", "shell"]

_LANGUAGES: dict[str, Language] = {
    "": "python",
    "py": "python",
    "python": "python",
    "python3": "python",
    "bash": "shell",
    "sh": "shell",
    "shell": "shell",
}


@dataclass(frozen=True, slots=True)
class Block:
    """Code to run, and what runs it."""

    language: Language
    code: str


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks that can be run, in order, and the labels of those that cannot."""

    runnable: tuple[Block, ...]
    foreign: tuple[str, ...]


def read(text: str) -> Blocks:
    """The fenced blocks of `text`; blank ones are left out."""
    fences = [
        (_label(token.info), token.content)
        for token in MarkdownIt("commonmark").parse(text)
        if token.type == "fence" and token.content.strip()
    ]
    return Blocks(
        runnable=tuple(
            Block(_LANGUAGES[label], code) for label, code in fences if label in _LANGUAGES
        ),
        foreign=tuple(label for label, _ in fences if label not in _LANGUAGES),
    )


def _label(info: str) -> str:
    """The language an info string names: `python`, `python title=x` and `{.python}` name one."""
    first = info.split(maxsplit=1)[0] if info.strip() else ""
    return first.strip("{}.").lower()
