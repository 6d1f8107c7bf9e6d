"""`forge microvm …` as scripts use it: each a process of its own; the machine outlives it."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forge.sandbox.images.store import Image
from forge.settings import environment_of_children

FORGE = (sys.executable, "-m", "forge")
LONG_S = 200
"""Far more than any of them takes; reaching it means that something hangs."""

LOCALLY: dict[str, str] = {}
THROUGH_A_WORKER = {
    "FORGE_SANDBOX": "worker",
    "FORGE_WORKER": f"{sys.executable} -m forge microvm serve",
}


def forge(*words: str, given: bytes = b"", code: int = 0, **environment: str) -> bytes:
    """What a command prints on standard output, once it ended with `code`."""
    said = subprocess.run(
        [*FORGE, "microvm", *words],
        env=environment_of_children() | environment,
        input=given,
        capture_output=True,
        timeout=LONG_S,
        check=False,
    )
    assert said.returncode == code, said.stderr.decode()
    return said.stdout


@pytest.fixture(params=[LOCALLY, THROUGH_A_WORKER], ids=["here", "worker"])
def where(request: pytest.FixtureRequest, base_image: Image) -> dict[str, str]:
    """This computer's own machines, or a worker's."""
    assert base_image.name == "base"
    return request.param


@pytest.fixture
def machine(where: dict[str, str]) -> Iterator[str]:
    """A machine that `create` left behind; a test may have destroyed it."""
    name = json.loads(forge("create", **where))["id"]
    yield name
    if name in states(where):
        forge("destroy", name, **where)


def states(where: dict[str, str]) -> dict[str, str]:
    """Every machine there is, with its state."""
    return {each["id"]: each["state"] for each in json.loads(forge("list", **where))["machines"]}


@pytest.mark.vm
def test_a_machine_is_used_by_one_process_after_another(where: dict[str, str], machine: str):
    """Made, written to, run, read, listed, copied and destroyed; paused in between, and whole."""
    assert states(where)[machine] == "paused"
    content = bytes(range(256)) * 1000
    said = json.loads(forge("write", machine, "in/data.bin", given=content, **where))
    assert said == {"path": "in/data.bin", "size": len(content)}
    started = "nohup sleep 1000 >/dev/null 2>&1 & echo $! > pid"
    forge("exec", machine, "sh", "-c", started, **where)
    assert forge("read", machine, "in/data.bin", **where) == content
    entries = json.loads(forge("list", machine, "in", **where))["entries"]
    assert [(each["path"], each["size"]) for each in entries] == [
        ("/home/user/in/data.bin", len(content))
    ]
    (copy,) = json.loads(forge("fork", machine, **where))["machines"]
    alive = forge("exec", copy["id"], "--", "sh", "-c", "kill -0 $(cat pid) && echo alive", **where)
    assert alive == b"alive\n"
    for name in (machine, copy["id"]):
        assert json.loads(forge("destroy", name, **where)) == {"id": name, "state": "gone"}
    assert not {machine, copy["id"]} & set(states(where))


@pytest.mark.vm
def test_a_folder_is_taken_out_whole_or_not_at_all(
    where: dict[str, str], machine: str, tmp_path: Path
):
    """With what may be run and without what leads out, which is named; what is there is kept."""
    script = "mkdir -p a/b; echo x > a/b/run; chmod +x a/b/run; ln -s b a/in; ln -s /etc a/out"
    forge("exec", machine, "sh", "-c", script, **where)
    target = tmp_path / "taken"
    said = json.loads(forge("read", "-r", machine, "a", str(target), **where))
    assert (said["entries"], said["skipped"]) == (3, ["out"])
    assert (target / "b/run").read_bytes() == b"x\n"
    assert os.access(target / "b/run", os.X_OK)
    assert sorted(path.name for path in target.iterdir()) == ["b", "in"]
    forge("read", "-r", machine, "a", str(target), code=2, **where)
    forge("read", "-r", machine, "missing", str(tmp_path / "none"), code=6, **where)
    forge("read", "-r", machine, "a", code=2, **where)
    forge("read", machine, "a/b/run", str(tmp_path / "none"), code=2, **where)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.vm
def test_a_snapshot_is_listed_used_and_forgotten(where: dict[str, str], machine: str):
    """By its name, through every way to machines; what was made from it goes on."""
    name = f"kept-{'worker' if where else 'here'}"
    forge("exec", machine, "sh", "-c", "echo kept > note", **where)
    made = json.loads(forge("snapshot", machine, name, **where))
    assert made["name"] == name
    kept = json.loads(forge("snapshots", **where))["snapshots"]
    assert [(each["name"], each["template"]) for each in kept] == [(name, "base")]
    copy = json.loads(forge("create", "--template", name, **where))["id"]
    assert json.loads(forge("forget", name, **where)) == {"name": name, "removed": True}
    assert json.loads(forge("snapshots", **where))["snapshots"] == []
    assert forge("exec", copy, "cat", "note", **where) == b"kept\n"
    forge("destroy", copy, **where)
    forge("forget", name, code=2, **where)


@pytest.mark.vm
def test_a_commands_code_and_output_are_ours(where: dict[str, str], machine: str):
    """As they are for a person; with `--json` one object says all of it."""
    script = "cat; echo err >&2; exit 7"
    assert forge("exec", "--stdin", machine, "sh", "-c", script, given=b"\xff\x00", code=7, **where)
    said = json.loads(
        forge(
            "exec", "--json", "--stdin", machine, "sh", "-c", script, given=b"in", code=7, **where
        )
    )
    assert (said["exit_code"], said["stdout"], said["stderr"]) == (7, "in", "err\n")
    forge("exec", machine, "sh", "-c", "kill -9 $$", code=128 + 9, **where)
    forge("exec", "--timeout", "0.5", machine, "sleep", "100", code=124, **where)
    variables = ("--env", "WORD=x y", "--cwd", "/tmp", "--root")
    said = forge("exec", *variables, machine, "sh", "-c", "echo $WORD; pwd; id -u", **where)
    assert said == b"x y\n/tmp\n0\n"


@pytest.mark.vm
def test_what_cannot_be_done_has_its_code(where: dict[str, str], machine: str):
    """Of the input's kind, or of the machine's; and the machine is there as before."""
    forge("read", machine, "no-such-file", code=6, **where)
    forge("exec", machine, "no-such-program", code=6, **where)
    forge("exec", "--env", "novalue", machine, "true", code=2, **where)
    for verb in ("read", "destroy", "fork", "pause"):
        rest = ("file",) if verb == "read" else ()
        forge(verb, "sbx_nobody", *rest, code=2, **where)
    assert states(where)[machine] == "paused"


@pytest.mark.parametrize(
    ("environment", "words", "says"),
    [
        ({"FORGE_SANDBOX": "worker"}, ("probe",), b"FORGE_WORKER"),
        ({"FORGE_SANDBOX": "worker", "FORGE_WORKER": "no-such-x y"}, ("list",), b"no-such-x"),
        ({"FORGE_SANDBOX": "worker", "FORGE_WORKER": "false"}, ("list",), b"ended with status 1"),
    ],
)
def test_a_worker_that_is_not_there_is_told_in_words(environment, words, says):
    """With what was tried, and no traceback."""
    said = subprocess.run(
        [*FORGE, "microvm", *words],
        env=environment_of_children() | environment,
        capture_output=True,
        timeout=LONG_S,
        check=False,
    )
    assert said.returncode == (2 if words == ("probe",) else 3)
    assert says in said.stderr
    assert b"Traceback" not in said.stderr
    assert said.stdout == b""


def test_nobody_types_into_a_worker():
    """At a terminal, or with a file for a line, `serve` says what it is for."""
    master, terminal = pty.openpty()
    with Path(__file__).open("rb") as file, Path(os.devnull).open("wb") as nothing:
        for stdin in (terminal, file):
            said = subprocess.run(
                [*FORGE, "microvm", "serve"],
                env=environment_of_children(),
                stdin=stdin,
                stdout=nothing,
                stderr=subprocess.PIPE,
                timeout=LONG_S,
                check=False,
            )
            assert said.returncode == 2
            assert b"standard input" in said.stderr.lower()
    os.close(master)
    os.close(terminal)
