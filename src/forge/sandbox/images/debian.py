"""Asks mmdebstrap for Debian packages, from the mirrors this host already uses.

A Debian host of the wanted suite lends its own sources, so a build works wherever `apt` does;
elsewhere mmdebstrap's default mirrors serve. Only Debian's own suites are taken: a third party's
packages on the host never reach an image.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from forge.sandbox.images.key import ARCHITECTURE
from forge.sandbox.images.process import find_program

EPOCH = 1735689600
"""The newest time a file in an image may bear, so that building again makes the same."""

_EXCLUDED = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/bug/*",
    "/usr/share/lintian/*",
)
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s")


def host_sources(suite: str, etc: Path = Path("/etc")) -> tuple[str, ...]:
    """The host's own source lines for a suite and its updates; none on another system."""
    release = _read(etc / "os-release").splitlines()
    if "ID=debian" not in release or f"VERSION_CODENAME={suite}" not in release:
        return ()
    wanted = {suite, f"{suite}-updates", f"{suite}-security"}
    folder = etc / "apt" / "sources.list.d"
    one_line = [etc / "apt" / "sources.list", *sorted(folder.glob("*.list"))]
    lines = [line for path in one_line for line in _one_line(_read(path), wanted)]
    for path in sorted(folder.glob("*.sources")):
        lines += _stanzas(_read(path), wanted)
    return tuple(dict.fromkeys(lines)) if any(f" {suite} " in line for line in lines) else ()


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _one_line(text: str, wanted: set[str]) -> Iterator[str]:
    for line in text.splitlines():
        match = _ONE_LINE.match(line.strip())
        if match and match["suite"] in wanted:
            keys = [word for word in (match["options"] or "").split() if "signed-by=" in word]
            yield _line(keys, match["uri"], match["suite"])


def _stanzas(text: str, wanted: set[str]) -> Iterator[str]:
    for stanza in re.split(r"\n\s*\n", text):
        fields = {
            name.strip().lower(): value.split()
            for name, colon, value in (
                line.partition(":") for line in stanza.splitlines() if not line.startswith("#")
            )
            if colon
        }
        if "deb" not in fields.get("types", []) or fields.get("enabled") == ["no"]:
            continue
        key = [word for word in fields.get("signed-by", []) if word.startswith("/")]
        for uri in fields.get("uris", []):
            for suite in fields.get("suites", []):
                if suite in wanted:
                    yield _line([f"signed-by={path}" for path in key], uri, suite)


def _line(options: Iterable[str], uri: str, suite: str) -> str:
    inside = " ".join(options)
    return f"deb {f'[{inside}] ' if inside else ''}{uri} {suite} main"


def mmdebstrap(
    suite: str,
    variant: str,
    packages: Sequence[str],
    temporary: Path,
    hooks: Sequence[str] = (),
) -> list[str]:
    """The command that writes a tree with these packages to standard output, as a tar.

    Without root it works in a user namespace, whose ids `newuidmap` maps.

    Raises:
        ProgramMissing: it needs newuidmap, which is not installed.
    """
    mode = "root" if os.geteuid() == 0 else "unshare"
    if mode == "unshare":
        find_program("newuidmap")
    return [
        *("env", f"TMPDIR={temporary}", f"SOURCE_DATE_EPOCH={EPOCH}", "LC_ALL=C.UTF-8"),
        *("mmdebstrap", f"--mode={mode}", f"--variant={variant}", "--format=tar"),
        # Its own cleaning runs apt, which, were the tree's configuration missing by then, would
        # clean the host's lists instead; finish.sh removes the same files.
        "--skip=cleanup/apt,cleanup/mmdebstrap",
        f"--architectures={ARCHITECTURE}",
        *(f"--include={package}" for package in packages),
        *(f"--dpkgopt=path-exclude={path}" for path in _EXCLUDED),
        *(f"--customize-hook={hook}" for hook in hooks),
        *(suite, "-", *host_sources(suite)),
    ]


def installed_versions(status: str) -> dict[str, str]:
    """Package versions out of dpkg's status file."""
    versions: dict[str, str] = {}
    for stanza in status.split("\n\n"):
        name = re.search(r"^Package: (\S+)$", stanza, re.MULTILINE)
        version = re.search(r"^Version: (\S+)$", stanza, re.MULTILINE)
        if name and version:
            versions[name[1]] = version[1]
    return versions
