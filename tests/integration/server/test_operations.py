"""What whoever runs a server sees of it: whether it is ready, and its counters."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from asking import asked
from forge.sandbox.images.stock import Images
from forge.server.readiness import readiness
from forge.wiring import Machines
from served import Served, served


async def test_the_counters_say_what_runs_machines_and_requests_come_to(tmp_path: Path):
    """One of each kind, by the names that dashboards use; routes are patterns, never ids."""
    async with served(tmp_path) as server, server.client() as client:
        begun, _ = await asked(client, "```\nprint(1)\n```")
        await client.get(f"/api/runs/{begun['run_id']}")
        page = (await client.get("/metrics")).text
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    for name, value in {
        "forge_runs_open": 0,
        "forge_runs_here": 0,
        'forge_runs_finished_total{status="done"}': 1,
        'forge_model_calls_total{model="offline:none",outcome="ok"}': 2,
        'forge_tool_calls_total{outcome="ok"}': 1,
        'forge_machines{state="running"}': 1,
        "forge_streams": 0,
        'forge_http_requests_total{method="GET",route="/api/runs/{run_id}",status="200"}': 1,
        'forge_http_request_seconds_count{method="POST",route="/api/chat"}': 1,
    }.items():
        assert float(lines[name]) == value, name
    assert float(lines["forge_ledger_append_seconds_count"]) > 5
    assert float(lines["process_resident_memory_bytes"]) > 1 << 20
    assert begun["run_id"] not in page
    assert "print(1)" not in page


async def broken(server: Served, part: str) -> None:
    """Take from a server what one of its parts needs."""
    if part == "database":
        async with server.home.database.writing() as connection:
            await connection.execute(text("ALTER TABLE runs RENAME TO ran"))
    elif part == "storage":
        blobs = server.home.folder / "blobs"
        (blobs / "partial").rename(blobs / "moved")
        (blobs / "partial").write_text("no folder")
    else:
        server.home.service.let_go()


@pytest.mark.parametrize("part", ["database", "storage", "engine"])
async def test_a_server_that_cannot_do_its_work_says_which_part_and_why(tmp_path: Path, part: str):
    """With 503, and nothing of where things are: anybody may ask."""
    async with served(tmp_path) as server, server.client() as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "ready")
        assert set(answer.json()["parts"]) == {"database", "storage", "image", "engine"}
        await broken(server, part)
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
        parts = answer.json()["parts"]
        assert [name for name, found in parts.items() if not found["ok"]] == [part]
        assert parts[part]["code"]
        assert parts[part]["reason"].endswith(".")
        assert str(tmp_path) not in answer.text
        assert (await client.get("/healthz")).status_code == 200


async def test_a_server_without_an_image_is_not_ready(tmp_path: Path):
    """It serves people and their history, and is building what machines boot from."""
    async with served(tmp_path) as server:
        app_state = server.state
        images = Machines(
            server.home.provider, Images(tmp_path), server.hosted.forge.settings, print
        )
        forge = replace(server.hosted.forge, machines=images)
        found = await readiness(replace(app_state, hosted=replace(server.hosted, forge=forge)))
    assert found.status == "not_ready"
    assert (found.parts["image"].code, found.parts["image"].ok) == ("image_missing", False)
