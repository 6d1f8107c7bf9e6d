"""The worker's page: every verb, deadline and error that there is, and no other."""

import asyncio
import re

import pytest

import house
from forge import errors
from forge.sandbox.worker import deadlines, protocol
from forge.sandbox.worker.serve import Worker
from forge.testing.sandbox import LocalProvider

PAGE = (house.ROOT / "docs" / "worker.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of a section's table, its head left out."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


async def test_every_verb_of_a_worker_has_its_row():
    """A client in another language finds all there is to ask."""
    async with asyncio.TaskGroup() as tasks:
        verbs = Worker(LocalProvider(), tasks).verbs
    assert [row[0].strip("`") for row in rows("Verbs")] == list(verbs)


def test_every_deadline_is_as_the_page_says():
    """All but the moment in which a worker's last words are waited for."""
    said = [row[1] for row in rows("Deadlines") if row[1].isdigit()]
    names = ("CONNECT_S", "PROBE_S", "CREATE_S", "CREATE_S", "SAVE_S", "STOP_S", "CLOSE_S")
    assert said == [f"{getattr(deadlines, name):.0f}" for name in names]


def test_every_code_on_the_page_is_an_error_of_ours():
    """And those of workers alone are all there."""
    codes = re.findall(r"`(\w+)`", " ".join(row[0] for row in rows("Errors")))
    assert [code for code in codes if errors.of_code(code).code != code] == []
    assert {"worker_unreachable", "worker_foreign"} <= set(codes)


@pytest.mark.parametrize("verb", sorted(protocol.LIFE_VERBS))
def test_what_is_not_passed_on_is_said(verb: str):
    """A client need not find out by trying."""
    assert f"`{verb}`" in PAGE


def test_the_greeting_is_what_the_page_shows():
    """Its words; the numbers of the wire and the agent are letters there."""
    (shown,) = re.findall(r"`(forge-worker \d+ wire W agent A forge R)`", PAGE)
    ours = protocol.OURS
    said = protocol.greeting().decode().strip()
    shape = said.replace(f"wire {ours.wire} agent {ours.agent} forge {ours.forge}", "")
    assert shown.startswith(shape)
