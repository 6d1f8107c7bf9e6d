"""`docs/wire.md` names every frame, verb, code and number that the code has."""

import ast
import re
from pathlib import Path

import pytest

from forge.sandbox.agent import answers, call, connection, deadlines, file_answers
from forge.sandbox.agent import code as agent_code
from forge.sandbox.agent import files as agent_files
from forge.sandbox.agent import ports as agent_ports
from forge.sandbox.files import MAX_PATH_BYTES
from forge_guest.wire import frames, greeting, session

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "wire.md").read_text(encoding="utf-8")
GUEST = ROOT / "guest" / "forge_guest"


def source(name: str) -> str:
    return (GUEST / name).read_text(encoding="utf-8")


def constant(name: str, file: str) -> int:
    """A number from the guest, whose modules only start inside a machine."""
    found = re.search(rf"^{name} = (.+?)(?:  #.*)?$", source(file), re.MULTILINE)
    assert found, name
    value = eval(found[1])
    assert isinstance(value, int)
    return value


def guest_verbs() -> set[str]:
    """The verbs that the guest answers: the keys of what each `verbs` function returns."""
    found = set()
    for path in GUEST.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "verbs":
                (answer,) = [each for each in ast.walk(node) if isinstance(each, ast.Dict)]
                found |= {key.value for key in answer.keys if isinstance(key, ast.Constant)}
    return found


def host_dicts() -> list[ast.Dict]:
    """Every literal object in the host's side of the verbs."""
    return [
        node
        for path in Path(connection.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Dict)
    ]


def verb_of(request: ast.Dict) -> str | None:
    """The verb of a request, if this object is one."""
    for key, value in zip(request.keys, request.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == "verb":
            return value.value if isinstance(value, ast.Constant) else None
    return None


def row(first: str) -> str:
    """The table row that begins with a name."""
    found = re.search(rf"^\| `?{re.escape(first)}`? \|(.*)$", PAGE, re.MULTILINE)
    assert found, f"{first} has no row in docs/wire.md"
    return found[1]


@pytest.mark.parametrize("kind", list(frames.Type))
def test_every_frame_type_has_its_row_and_number(kind):
    """A reader finds each type with the number that travels."""
    assert row(kind.name).split("|")[0].strip() == str(int(kind))
    assert row(kind.name).split("|")[2].strip() == ("yes" if kind in frames._MAY_FIN else "no")


@pytest.mark.parametrize("verb", sorted(guest_verbs()))
def test_every_verb_of_the_guest_has_its_row(verb):
    """A verb that is added without a word fails here."""
    assert row(verb)


def test_every_verb_the_host_asks_is_one_the_guest_answers():
    """Both sides have the same verbs, and the page no others."""
    asked = {verb for request in host_dicts() if (verb := verb_of(request))}
    verbs = PAGE.split("## Verbs")[1].split("###")[0]
    written = set(re.findall(r"^\| `(\w+)` \|", verbs, re.MULTILINE))
    assert asked == written == guest_verbs()


@pytest.mark.parametrize("verb", sorted(guest_verbs()))
def test_every_field_the_host_sends_is_named(verb):
    """The request's fields, as the host writes them."""
    requests = [request for request in host_dicts() if verb_of(request) == verb]
    assert requests
    for request in requests:
        for key in request.keys:
            assert isinstance(key, ast.Constant)
            assert key.value == "verb" or f"`{key.value}`" in row(verb), key.value


def test_every_code_of_a_refusal_has_its_row():
    """What the guest may answer instead of a result."""
    codes = {"refused", "not_found", "quota", "archive", "no_process", "unreachable"}
    assert codes <= set(re.findall(r"`(\w+)`", source("refusal.py")))
    for code in codes:
        assert row(code)


@pytest.mark.parametrize("status", answers._STATUSES)
def test_every_status_of_code_is_named(status):
    """How code may end."""
    assert f"`{status}`" in row("code")


def test_the_numbers_are_the_codes_own():
    """Limits and costs change in one place, or this fails."""
    kib, mib = 1024, 1024 * 1024
    assert row("payload of a frame").startswith(f" {frames.MAX_PAYLOAD // kib} KiB ")
    assert f"above {frames.MAX_PAYLOAD:,}" in PAGE
    assert row("credit").startswith(f" {session.WINDOW // kib} KiB ")
    assert f"starts at {session.WINDOW:,} bytes" in PAGE
    assert row("cost of a frame").startswith(f" its payload and {session.OVERHEAD} bytes ")
    assert row("open streams").startswith(f" {session.MAX_STREAMS} ")
    assert row("messages before the last").startswith(f" {call._MAX_MESSAGES} ")
    assert row("a display").startswith(f" {answers._MAX_RECORD // mib} MiB ")
    entries, size = file_answers._MAX_ENTRIES - 1, answers.MAX_LISTING // mib
    assert row("a listing").startswith(f" {entries:,} entries, {size} MiB ")
    assert row("a path").startswith(f" {MAX_PATH_BYTES:,} bytes ")
    assert row("output after the deadline").startswith(f" {call._MAX_LATE // mib} MiB ")
    assert row("code").strip()
    assert f"at most {constant('MAX_CODE', 'contexts.py') // mib} MiB" in PAGE
    assert row("contexts of a machine").startswith(f" {constant('MAX_CONTEXTS', 'contexts.py')} ")
    assert constant("MAX_ENTRIES", "tree.py") == entries
    assert row("an event").startswith(f" {file_answers.MAX_LINE // kib} KiB ")
    assert row("long file jobs").startswith(f" {constant('MAX_JOBS', 'jobs.py')} ")
    assert session._STALE == 4
    assert "up to four of them" in PAGE
    assert f"at most {constant('MAX_MESSAGE', 'context_process.py') // mib} MiB of it" in PAGE
    assert f"at most {constant('MAX_FOLDER', 'contexts.py')} bytes" in row("create_context")
    assert constant("MAX_FOLDER", "contexts.py") == agent_code._MAX_FOLDER == answers._MAX_FOLDER
    assert deadlines.MARGIN_S == 10
    assert deadlines.CONTEXT_S == 65
    assert "65 seconds more" in PAGE
    assert "ten seconds longer" in PAGE


def test_the_numbers_of_processes_and_ports_are_the_codes_own():
    """Rings, endings and rows."""
    mib = 1024 * 1024
    assert row("background processes").startswith(f" {constant('MAX_BACKGROUND', 'commands.py')} ")
    assert row("endings kept").startswith(f" {constant('MAX_ENDINGS', 'commands.py')} ")
    kept, all_of_it = constant("KEPT", "tape.py") // mib, constant("SHELF", "tape.py") // mib
    rings = row("output kept of a background process")
    assert rings.startswith(f" {kept} MiB, {all_of_it} MiB of all together ")
    rows = answers._MAX_ROWS
    assert row("rows of `processes` and `ports`").startswith(f" {rows:,} ")
    assert constant("MAX_PORTS", "ports.py") == rows
    assert deadlines.WATCH_S == 30
    assert "every 30 seconds" in PAGE


def test_the_versions_agree():
    """Host and guest speak one version of the verbs, and the page says which."""
    assert constant("VERSION", "serve.py") == connection.AGENT_VERSION == 1
    assert frames.VERSION == 2
    assert "The wire's is 2, the verbs' is 1." in PAGE
    assert f"more than {greeting.MAX_STALE // (1024 * 1024)} MiB" in PAGE


def test_every_lane_has_its_row():
    """What each lane carries."""
    for lane in (0, 1, 2, 3):
        assert row(str(lane))
    assert constant("DISPLAY", "cells.py") == call._DISPLAY == 3
    assert constant("CONTENT", "jobs.py") == agent_files._CONTENT == 1
    assert constant("CONTENT", "ports.py") == agent_ports._CONTENT == call._LISTING == 1
