"""Every file that people write: nothing of one machine in it, and no rule broken without a word."""

import re
from pathlib import Path

import house

HOSTS = {
    "127.0.0.1",
    "api.anthropic.com",
    "api.openai.com",
    "cdn.plot.ly",
    "example.com",
    "github.com",
    "keepachangelog.com",
    "localhost",
    "platform.claude.com",
    "platform.openai.com",
    "semver.org",
    "www.rfc-editor.org",
    "www.w3.org",
}
"""Every host that an address may name. Registries and mirrors are the installer's own affair."""

ADDRESS = re.compile(r"\bhttps?://([a-z0-9][a-z0-9.-]*)")
SOMEONES = re.compile(r"/home/(?!user\b)[a-z]\w*/|/Users/|\\Users\\")
NOQA = re.compile(r"# noqa\b(?P<codes>: [A-Z]+\d+(?:, ?[A-Z]+\d+)*)?(?P<reason>.*)")


def found(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{house.name(path)}: {hit}"
        for path, text in house.texts().items()
        for hit in pattern.findall(text)
        if path != Path(__file__)
    ]


def test_no_file_names_a_place_on_somebodys_machine():
    """Neither a home folder nor wherever this checkout lies."""
    here = [house.name(path) for path, text in house.texts().items() if str(house.ROOT) in text]
    assert here == []
    assert found(SOMEONES) == []


def test_no_file_names_a_host_that_is_not_known():
    """A mirror's name, once in a file, is everybody's."""
    hosts = {
        (house.name(path), host)
        for path, text in house.texts().items()
        for host in ADDRESS.findall(text)
        if host not in HOSTS and not host.endswith(".example")
    }
    assert hosts == set()


def test_no_rule_of_the_linter_is_broken_without_a_reason():
    """`noqa` names its rule and says why, beside it or in a comment on the line above."""
    silent = []
    for path, text in house.modules("src", "guest", "benchmarks", "tests").items():
        lines = text.splitlines()
        for number, line in enumerate(lines):
            hit = NOQA.search(line)
            if hit is None or path == Path(__file__):
                continue
            explained = re.search(r"\w{2,}", hit["reason"]) or (
                number and lines[number - 1].strip().startswith("#")
            )
            if not (hit["codes"] and explained):
                silent.append(f"{house.name(path)}:{number + 1}")
    assert silent == []
