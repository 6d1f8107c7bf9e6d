"""The written house: links lead somewhere, promises name their proof, words are all explained."""

import hashlib
import json
import re
from pathlib import Path
from typing import get_args

import pytest
import rfc8785
import typer.main

import forge
import house
from forge import events
from forge.cli.main import app

SPECIFICATION = house.ROOT / "SPECIFICATION.md"
LEDGER = house.ROOT / "docs" / "ledger.md"
EVENTS = get_args(get_args(events.AnyEvent)[0])
LINK = re.compile(r"\]\(([^)\s]+)\)")
PROOF = re.compile(r"`([\w./-]+\.py)(?:::(\w+))?`")
FENCED = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)


def anchors(page: str) -> set[str]:
    """The anchors that a page's headings have on GitHub."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", house.pages(), ids=house.name)
def test_every_link_leads_somewhere(page: Path):
    """Files, folders and headings; addresses elsewhere are not tried."""
    for link in LINK.findall(FENCED.sub("", house.pages()[page])):
        target, _, anchor = link.partition("#")
        if target.startswith("https://"):
            continue
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), link
        assert there.is_relative_to(house.ROOT), link
        if anchor:
            assert anchor in anchors(there.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", house.pages(), ids=house.name)
def test_every_proof_that_a_page_names_is_there(page: Path):
    """`path::name` is a function of that file; a path alone is a file."""
    for place, name in PROOF.findall(house.pages()[page]):
        if "/" not in place:
            continue  # a module named in passing
        assert (house.ROOT / place).is_file(), place
        if name:
            source = (house.ROOT / place).read_text(encoding="utf-8")
            assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE), f"{place}::{name}"


def test_every_promise_has_a_number_of_its_own_and_a_proof():
    """Numbers rise; what is no figure names at least one test or check."""
    rows = re.findall(r"^\| S(\d+) \| (.+) \|$", SPECIFICATION.read_text(), re.MULTILINE)
    numbers = [int(number) for number, _ in rows]
    assert numbers == sorted(set(numbers))
    assert rows
    assert [number for number, row in rows if int(number) >= 10 and "::" not in row] == []


def test_every_benchmark_is_named_by_the_specification():
    """What is measured is promised."""
    page = SPECIFICATION.read_text(encoding="utf-8")
    programs = [house.name(path) for path in (house.ROOT / "benchmarks").glob("bench_*.py")]
    assert [program for program in programs if program not in page] == []


def test_the_changelog_knows_this_version():
    """Whoever upgrades finds what is new."""
    page = (house.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(forge.__version__)} ", page, re.MULTILINE)


def test_every_command_that_a_page_names_exists():
    """`forge …` and `make …`, in prose and in examples."""
    group = typer.main.get_command(app)
    commands = set(group.commands)  # type: ignore[attr-defined]  # the app is a group
    makefile = (house.ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for page, text in house.pages().items():
        said = set(re.findall(r"(?:^|`|bin/)forge ([a-z]+)", text, re.MULTILINE))
        assert said <= commands, house.name(page)
        made = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
        assert made <= targets, house.name(page)


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_every_event_is_explained_with_its_fields(kind: type[events.Event]):
    """`docs/ledger.md` has a row for each type that names each field."""
    fields = dict(kind.model_fields)
    word = fields.pop("type").default
    (row,) = [line for line in LEDGER.read_text().splitlines() if line.startswith(f"| `{word}` |")]
    assert [field for field in fields if f"`{field}`" not in row] == []


@pytest.mark.parametrize("value", [events.Caps, events.FileFact, events.Fault, events.Totals])
def test_every_value_inside_an_event_is_explained(value: type[events.Event]):
    """What several events hold has a row of its own."""
    (row,) = [
        line
        for line in LEDGER.read_text().splitlines()
        if line.startswith(f"| `{value.__name__}` |")
    ]
    assert [field for field in value.model_fields if f"`{field}`" not in row] == []


@pytest.mark.parametrize(
    "word",
    [
        *get_args(events.RunStatus),
        *get_args(events.ToolOutcome),
        *get_args(events.StopReason),
        *events.Record.model_fields,
    ],
)
def test_every_word_of_an_end_and_of_a_record_is_explained(word: str):
    """How runs, calls and answers end, and what a record has around its event."""
    assert f"`{word}`" in LEDGER.read_text(encoding="utf-8")


def test_the_ledgers_page_shows_a_record_that_hashes_as_it_says():
    """The example is checked the way the page tells others to check."""
    (example,) = re.findall(r"^```json\n(.+?)^```$", LEDGER.read_text(), re.MULTILINE | re.DOTALL)
    record = json.loads(example)
    assert json.loads(events.Record.model_validate(record).model_dump_json()) == record
    stated = record.pop("hash")
    assert hashlib.sha256(rfc8785.dumps(record)).hexdigest() == stated
