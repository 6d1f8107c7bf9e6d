"""Two servers, each a process with a home of its own, that share one PostgreSQL."""

import signal
from pathlib import Path

import pytest

from started import ENDLESS, LONG_S, Home, ended, events, follow


def test_a_run_of_a_killed_server_is_taken_over_under_the_eyes_of_a_reader(
    tmp_path: Path, request: pytest.FixtureRequest
):
    """Who follows it at the other server, over one connection, sees every record once and in order:
    what the first one did, that it was cut off, and how the other went on to the end.
    """
    homes = [Home(tmp_path / name) for name in ("first", "other")]
    over = tmp_path / "over"
    with (
        request.getfixturevalue("postgres").database() as url,
        homes[0].serving(FORGE_DATABASE_URL=url) as first,
        homes[1].serving(FORGE_DATABASE_URL=url),
        homes[0].client() as asking,
        homes[1].client() as reading,
    ):
        prompt = ENDLESS.format(pid=str(tmp_path / "pid"), over=str(over))
        begun = follow(asking, "/api/chat", most=12, message=prompt)
        way = f"/api/runs/{begun[0]['run_id']}/events"
        seen = []
        with reading.stream("GET", way) as response:
            for _, data in events(response):
                seen.append(data)
                if len(seen) == 20:
                    assert ended(first, signal.SIGKILL) < LONG_S
                    over.touch()
        assert [each["seq"] for each in seen] == list(range(1, len(seen) + 1))
        assert seen[: len(begun)] == begun
        kinds = [each["event"]["type"] for each in seen]
        assert kinds.count("run.resumed") == kinds.count("run.finished") == 1
        assert seen[-1]["event"]["status"] == "done"
        assert "interrupted" in {each["event"].get("outcome") for each in seen}
        assert follow(reading, way) == seen
        assert reading.get(way.replace("/events", "/verify")).json()["intact"]
