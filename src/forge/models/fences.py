"""The fenced code blocks of a person's message, read as CommonMark reads them.

Pure. A block in a list or a quote counts, a longer fence may hold a shorter one, and a fence that
is never closed runs to the end of what it is in.
"""

from dataclasses import dataclass
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

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
class Written(Block):
    """A block that a model wrote. `closed` is False where the text ended before its fence did."""

    closed: bool = True


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


def first(text: str) -> Written | None:
    """The first block of `text` that says it is Python or shell; blank ones are left out.

    One without a label is none: models show output so.
    """
    for token in MarkdownIt("commonmark").parse(text):
        language = _LANGUAGES.get(label) if (label := _label(token.info)) else None
        if token.type == "fence" and language is not None and token.content.strip():
            return Written(language, token.content, closed=_closed(token, text))
    return None


def _closed(token: Token, text: str) -> bool:
    begins, ends = token.map or [0, 0]
    last = text.splitlines()[ends - 1].strip(" \t>") if 0 < ends <= len(text.splitlines()) else ""
    return ends - begins > 1 and len(last) >= len(token.markup) and not last.strip(token.markup[0])


def _label(info: str) -> str:
    """The language an info string names: `python`, `python title=x` and `{.python}` name one."""
    first = info.split(maxsplit=1)[0] if info.strip() else ""
    return first.strip("{}.").lower()
