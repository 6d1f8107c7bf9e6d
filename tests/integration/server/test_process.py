"""`forge serve` as people start it: whole processes, real signals, real ports, a second start."""

import json
import signal
from pathlib import Path

import pytest

from started import ENDLESS, LONG_S, Home, ended, events, follow, gone


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_server_that_is_told_to_stop_hands_its_runs_over(home: Home):
    """SIGTERM: streams end in order, machines are gone, the exit code is SIGTERM's, all within
    seconds. The next start goes on with the run, and a reader that comes back with its last id has
    every record once.
    """
    pid_file, over = home.folder / "pid", home.folder / "over"
    prompt = ENDLESS.format(pid=str(pid_file), over=str(over))
    with home.serving() as process, home.client() as client:
        first = follow(client, "/api/chat", most=20, message=prompt)
        run_id, last = first[0]["run_id"], first[-1]["seq"]
        pid = int(pid_file.read_text())
        with client.stream("GET", f"/api/runs/{run_id}/events") as response:
            reader = events(response)
            seen = [next(reader)[1]["seq"] for _ in range(last)]
            took = ended(process)
            seen += [data["seq"] for _, data in reader]
        assert process.returncode == 143, home.said
        assert took < 15
        assert seen == list(range(1, len(seen) + 1))
    assert gone(pid)
    assert (home.home / "machines-stopped").exists()
    assert "Traceback" not in home.said
    over.touch()
    with home.serving(), home.client() as client:
        rest = follow(client, f"/api/runs/{run_id}/events", after=seen[-1])
        numbers = [*seen, *(each["seq"] for each in rest)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert "run.resumed" in {each["event"]["type"] for each in rest}
        assert (rest[-1]["event"]["type"], rest[-1]["event"]["status"]) == ("run.finished", "done")
        whole = follow(client, f"/api/runs/{run_id}/events")
        assert [each["seq"] for each in whole] == numbers
        assert whole[: len(first)] == first


def test_a_killed_server_loses_nothing_that_a_reader_saw(home: Home):
    """`kill -9` under load: the next start resumes every run, and no record is lost or repeated."""
    over = home.folder / "over"
    prompt = ENDLESS.format(pid=str(home.folder / "pid"), over=str(over))
    with home.serving() as process, home.client() as client:
        seen = [follow(client, "/api/chat", most=15, message=prompt) for _ in range(3)]
        assert ended(process, signal.SIGKILL) < LONG_S
    over.touch()
    with home.serving(), home.client() as client:
        for first in seen:
            path = f"/api/runs/{first[0]['run_id']}/events"
            whole = first + follow(client, path, after=first[-1]["seq"])
            assert [each["seq"] for each in whole] == list(range(1, len(whole) + 1))
            assert whole[-1]["event"]["type"] == "run.finished"
            assert follow(client, path) == whole


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_idle_server_ends_at_once(home: Home, number: signal.Signals, code: int):
    """The exit code says which signal; a connection that is open and idle holds nothing up."""
    with home.serving() as process, home.client() as client:
        client.get("/healthz")
        assert ended(process, number) < 10
        assert process.returncode == code


def test_a_port_in_use_is_named_with_what_to_set(home: Home):
    """Exit 3, for this computer; no traceback."""
    with home.serving():
        second = home.start(FORGE_HOME=str(home.folder / "other"))
        second.wait(LONG_S)
    assert second.returncode == 3
    assert "FORGE_PORT" in home.said
    assert "Traceback" not in home.said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FORGE_PORT", "99999"),
        ("FORGE_LOG", "loud"),
        ("FORGE_SIGN_UP", "maybe"),
        ("FORGE_PUBLIC_URL", "forge.example"),
        ("FORGE_SECRET_KEY", "c2hvcnQ="),
        ("FORGE_DATABASE_URL", "mysql://x/y"),
        ("FORGE_PROT", "3000"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_at_the_start(home: Home, name: str, value: str):
    """Before anything is opened to anybody: exit 2, the variable, what to do, and no traceback."""
    process = home.start(**{name: value})
    process.wait(LONG_S)
    assert process.returncode == 2, home.said
    assert name in home.said
    assert "What to do: " in home.said
    assert "Traceback" not in home.said


def test_never_a_login_for_the_whole_network_is_refused(home: Home):
    """The one pair of settings that would open everything to everybody."""
    process = home.start(FORGE_HOST="0.0.0.0", FORGE_LOGIN="never")
    process.wait(LONG_S)
    assert process.returncode == 2
    assert "FORGE_LOGIN" in home.said


def test_what_a_server_says_on_stderr_is_its_log(home: Home):
    """JSON where no person looks on; a line for each request, with its id."""
    with home.serving() as process, home.client() as client:
        answer = client.get("/api/me")
        ended(process)
    lines = [json.loads(line) for line in home.said.splitlines() if line.startswith("{")]
    (line,) = [each for each in lines if each["event"].startswith("GET /api/me ")]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["logger"], line["level"]) == ("forge.access", "info")
