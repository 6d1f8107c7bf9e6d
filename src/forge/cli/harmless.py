"""Text from a guest, a model or a provider, made harmless for a terminal. Pure.

A terminal obeys what it is sent: control characters move its cursor, change its title, read its
clipboard, rewrite lines that were printed before. So every control character but newline, tab and
carriage return is shown as a visible stand-in, and so are the characters that turn the direction
of text around, which make code read other than it runs. Lone surrogates, which cannot be printed,
become U+FFFD.
"""

_PICTURES = 0x2400
"""Unicode's pictures of the control characters, in the same order: ESC is shown as ␛."""

_KEPT = "\n\t\r"

_STAND_INS: dict[int, str] = {
    **{code: chr(_PICTURES + code) for code in range(0x20)},
    0x7F: "␡",
    **{code: f"\\x{code:02x}" for code in range(0x80, 0xA0)},
    **{code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
    **dict.fromkeys(range(55296, 57344), "�"),
}
for _character in _KEPT:
    del _STAND_INS[ord(_character)]

_LINE = {**_STAND_INS, ord("\n"): "␊", ord("\r"): "␍", ord("\t"): " "}


def harmless(text: str) -> str:
    """`text` with nothing in it that a terminal would obey; lines, tabs and returns stay."""
    return text.translate(_STAND_INS)


def one_line(text: str) -> str:
    """`text` harmless and on one line: for names, titles and messages."""
    return text.translate(_LINE)
