"""Secrets in what is logged, blotted out. Pure.

Two nets: fields whose name says that they hold a secret lose their value, and what looks like one
is blotted out of every text, whoever wrote it: a library's message or a traceback is no better than
our own. Secrets that are known word for word (the settings') are taken out first.
"""

import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

BLOT = "***"

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|secret|token$|authorization|cookie|api_?key|signature|credential",
    re.IGNORECASE,
)

_LOOKS = (
    # Forge's own tokens, providers' keys, JWTs, hashes of passwords.
    (re.compile(r"\bfg[a-z]_[A-Za-z0-9_-]{6,}"), BLOT),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{8,}"), BLOT),
    (re.compile(r"\beyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*"), BLOT),
    (re.compile(r"\$argon2[^\s\"'\\]+"), BLOT),
    # scheme://user:password@host
    (re.compile(r"(\w+://[^\s/:@\"']*):[^\s/@\"']+@"), rf"\1:{BLOT}@"),
    # A header as it is written or shown; its whole value goes.
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;]+"), rf"\1 {BLOT}"),
    (
        re.compile(r"(?i)(cookie|authorization)([\\\"']*\s*[:=,]\s*)[^\s\"'\\][^\n\r\"'\\]+"),
        rf"\1\2{BLOT}",
    ),
    # name=value, 'name': 'value', JSON, JSON within JSON, a part of an address.
    (
        re.compile(
            r"(?i)(\b[\w-]*(?:passw(?:or)?d|secret|token|api[_-]?key|signature|credential|"
            r"authorization|cookie))([\\\"']*\s*[:=,]\s*b?)"
            r"(\\\\?\"(?:(?!\\\\?\").)*\\\\?\"|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|[^\s\"'&,;)\]}]+)"
        ),
        rf"\1\2{BLOT}",
    ),
)


class Mask:
    """Blots secrets out. `known` are secrets word for word; very short ones are left, as they would
    blot out half of every line.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = sorted({each for each in known if len(each) >= _SHORTEST}, key=len)[::-1]

    def text(self, line: str) -> str:
        """The line without secrets."""
        for secret in self._known:
            line = line.replace(secret, BLOT)
        for looks, instead in _LOOKS:
            line = looks.sub(instead, line)
        return line

    def fields(
        self, _logger: object, _method: str, fields: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """A processor of structlog's: the fields, with what is secret in them blotted out."""
        return {name: self._field(name, value) for name, value in fields.items()}

    def _field(self, name: str, value: Any) -> Any:
        if _SECRET_NAME.search(name):
            return BLOT
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._field(str(key), each) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._field("", each) for each in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.text(str(value))


_SHORTEST = 6
