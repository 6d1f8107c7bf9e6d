"""Text as the words it is found by, the same for what is kept and for what is asked. Pure.

Case, accents and punctuation do not count: “Café-Größe” is `cafe` and `grosse`. Chinese and
Japanese, which put no spaces between words, are taken character by character.
Only letters and digits are left, so no word means anything in a database's query language; that,
and the bounds on their number, is what makes any text harmless.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

TEXT_BYTES = 500_000
"""How much of a message's words can be found. PostgreSQL holds a megabyte of them at most."""

WORD_LENGTH = 64
"""A longer word is found by its beginning."""

QUERY_LENGTH, QUERY_WORDS = 1_000, 12
"""How much of a query counts."""

SNIPPET_LENGTH = 160

_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+"
)


class Query(NamedTuple):
    """What is asked for: all of `words`, and a word that begins with `prefix` where it is given."""

    words: tuple[str, ...]
    prefix: str | None


class Snippet(NamedTuple):
    """A piece of a text, on one line, and where in it (start, end) words were found."""

    text: str
    marks: tuple[tuple[int, int], ...]


def words_of(text: str) -> Iterator[str]:
    """The words of a text, in order, up to `TEXT_BYTES` of them."""
    left = TEXT_BYTES
    for match in _WORD.finditer(_folded(text[:TEXT_BYTES])):
        word = match[0][:WORD_LENGTH]
        left -= len(word.encode()) + 8
        if left < 0:
            return
        yield word


def query_of(text: str) -> Query | None:
    """What a person asked for; None where there is no word in it. The last word may be unfinished
    from three letters on, unless a space follows it.
    """
    text = text[:QUERY_LENGTH]
    found = list(dict.fromkeys(list(words_of(text))[:QUERY_WORDS]))
    if not found:
        return None
    if len(found[-1]) >= 3 and not text[-1].isspace():
        return Query(tuple(found[:-1]), found[-1])
    return Query(tuple(found), None)


def snippet(text: str, query: Query) -> Snippet:
    """The piece of a text around the first word that was asked for."""
    hits = [match for match in re.finditer(r"\w+", text[:TEXT_BYTES]) if _is_hit(match[0], query)]
    start = max(0, hits[0].start() - SNIPPET_LENGTH // 4) if hits else 0
    if start:
        # Begin with a whole word.
        start = text.find(" ", start, hits[0].start()) + 1 or start
    piece = "".join(" " if letter.isspace() else letter for letter in text[start:][:SNIPPET_LENGTH])
    marks = [(hit.start() - start, hit.end() - start) for hit in hits]
    return Snippet(piece, tuple(mark for mark in marks if mark[0] >= 0 and mark[1] <= len(piece)))


def _is_hit(run: str, query: Query) -> bool:
    for word in words_of(run):
        if word in query.words or (query.prefix is not None and word.startswith(query.prefix)):
            return True
    return False


def _folded(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize(
        "NFC", "".join(letter for letter in letters if not unicodedata.combining(letter))
    )
