"""Breaks a stream of words into lines between words, as it arrives. Pure.

A terminal breaks lines in the middle of words. A word is held back until it is complete, so that it
can go on the next line; the end hands over the last one. What has a shape of its own is left as it
is: code between fences, indented lines, tables.
"""

from rich.cells import cell_len

_FENCE = "```"
_SHAPED = ("    ", "\t", "|")


class Prose:
    """One stream of words for a terminal of a width in cells."""

    def __init__(self, width: int) -> None:
        self._width = max(width, 20)
        self._line = ""
        self._word = ""
        self._column = 0
        self._fenced = False

    def add(self, text: str) -> str:
        """Take more of the stream; returns what can be printed now."""
        return "".join(self._take(character) for character in text)

    def end(self) -> str:
        """The word that was held back."""
        return self._placed()

    def _take(self, character: str) -> str:
        if character == "\n":
            ready = self._placed() + character
            if self._line.lstrip().startswith(_FENCE):
                self._fenced = not self._fenced
            self._line, self._column = "", 0
            return ready
        self._line += character
        if self._fenced or self._line.startswith(_SHAPED):
            ready, self._word = self._word + character, ""
            return ready
        if character != " ":
            self._word += character
            return ""
        return self._placed() + self._space()

    def _placed(self) -> str:
        word, self._word = self._word, ""
        size = cell_len(word)
        broken = self._column > 0 and self._column + size > self._width
        self._column = size if broken else self._column + size
        return f"\n{word}" if broken else word

    def _space(self) -> str:
        if self._column >= self._width:
            return ""  # the terminal is at its edge, where the next word breaks the line anyway
        self._column += 1
        return " "
