"""What one person may ask of a server that others use too."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asking import asked
from forge.cli.serve import USUAL_MIB, USUAL_REQUESTS, USUAL_RUNS, config_of
from forge.settings import Settings
from served import served

SLOW = "```\nimport time; time.sleep(300)\n```"


async def test_who_asks_too_often_waits_and_others_do_not(tmp_path: Path):
    """429 with Retry-After, whatever is asked and with whichever key of theirs."""
    async with served(tmp_path, single_user=False, max_requests=5) as server:
        keen, calm = await server.person("keen"), await server.person("calm")
        async with server.client(keen) as client, server.client(calm) as other:
            answers = [await client.get("/api/me") for _ in range(5)]
            assert {each.status_code for each in answers} == {200}
            for refused in (
                await client.get("/api/conversations"),
                await client.post("/api/chat", json={"message": "hello"}),
            ):
                problem = refused.json()
                assert (refused.status_code, problem["code"]) == (429, "too_many")
                assert 1 <= int(refused.headers["retry-after"]) <= 60
                assert problem["retry"] is True
                assert "FORGE_MAX_REQUESTS" in problem["hint"]
            assert (await other.get("/api/me")).status_code == 200
            assert (await client.get("/healthz")).status_code == 200


async def test_one_person_has_so_many_runs_at_once_and_no_more(tmp_path: Path):
    """Also where all are asked at the same moment; what ends makes room, and others are free."""
    async with served(tmp_path, single_user=False, max_runs=2) as server:
        keen, calm = await server.person("keen"), await server.person("calm")
        async with server.client(keen) as client, server.client(calm) as other:

            async def ask() -> tuple[int, str]:
                request = {"message": SLOW, "machine": {"own": True}}
                async with client.stream("POST", "/api/chat", json=request) as answer:
                    if answer.status_code == 429:
                        assert int(answer.headers["retry-after"]) >= 1
                        return 429, (await answer.aread()).decode()
                    async for line in answer.aiter_lines():
                        if line.startswith("data:"):
                            return 200, line
                raise AssertionError("the stream said nothing")

            async with asyncio.TaskGroup() as group:
                asking = [group.create_task(ask()) for _ in range(5)]
            answers = [task.result() for task in asking]
            assert sorted(status for status, _ in answers) == [200, 200, 429, 429, 429]
            assert all("FORGE_MAX_RUNS" in text for status, text in answers if status == 429)
            await asked(other, "```\n1\n```")

            runs = (await client.get("/api/runs")).json()["items"]
            assert len(runs) == 2
            stopped = runs[0]["id"]
            again = await client.post(f"/api/runs/{stopped}/rerun", json={})
            assert again.status_code == 429
            assert (await client.post(f"/api/runs/{stopped}/stop")).status_code < 300
            async with client.stream("GET", f"/api/runs/{stopped}/events") as stream:
                async for _ in stream.aiter_lines():
                    pass
            assert (await ask())[0] == 200
            talks = (await client.get("/api/conversations")).json()["items"]
            assert len(talks) == 3  # a refused question leaves none behind


async def test_one_person_keeps_so_much_and_no_more(tmp_path: Path):
    """Said length or none, uploads and runs alike; the same bytes again take no room."""
    async with served(tmp_path, single_user=False, max_storage=3 << 20) as server:
        keen, calm = await server.person("keen"), await server.person("calm")
        async with server.client(keen) as client, server.client(calm) as other:

            async def upload(who: Any, name: str, content: Any) -> Any:
                return await who.post("/api/upload", params={"name": name}, content=content)

            async def pieces() -> AsyncIterator[bytes]:
                for number in range(3):
                    yield bytes([number]) * (1 << 20)

            same = b"2" * (1 << 20)
            for name in ("a.bin", "b.bin"):
                assert (await upload(client, name, same)).status_code == 201
            for content in (b"3" * (3 << 20), pieces()):
                refused = await upload(client, "c.bin", content)
                assert (refused.status_code, refused.json()["code"]) == (429, "storage_full")
                assert refused.json()["retry"] is False
                assert "retry-after" in refused.headers
            assert (await upload(client, "d.bin", b"4" * (2 << 20))).status_code == 201
            for refused in (
                await upload(client, "e.bin", b"5"),
                await client.post("/api/chat", json={"message": "hello"}),
            ):
                assert refused.json()["code"] == "storage_full"
            assert (await upload(other, "c.bin", same)).status_code == 201
            names = [each["name"] for each in (await client.get("/api/artifacts")).json()["items"]]
            assert sorted(names) == ["a.bin", "b.bin", "d.bin"]


async def test_what_cannot_be_called_so_is_not_kept_either(tmp_path: Path):
    """A refused name leaves no bytes behind that nobody counts."""
    async with served(tmp_path) as server, server.client() as client:
        refused = await client.post("/api/upload", params={"name": "../x"}, content=b"x" * 4096)
        assert refused.status_code == 422
        kept = tmp_path / "blobs"
        assert [each for each in kept.rglob("*") if each.is_file()] == []


@pytest.mark.parametrize(
    ("set_to", "expected"),
    [
        ({}, (0, 0, 0)),
        ({"FORGE_LOGIN": "always"}, (USUAL_REQUESTS, USUAL_RUNS, USUAL_MIB)),
        ({"FORGE_LOGIN": "always", "FORGE_MAX_RUNS": "0"}, (USUAL_REQUESTS, 0, USUAL_MIB)),
        (
            {"FORGE_MAX_REQUESTS": "7", "FORGE_MAX_RUNS": "2", "FORGE_MAX_STORAGE_MIB": "3"},
            (7, 2, 3),
        ),
    ],
)
def test_limits_are_for_servers_of_several_people(
    tmp_path: Path, set_to: dict[str, str], expected: tuple[int, int, int]
):
    """Who is alone on a computer is not limited unless it is set; zero is never a limit."""
    config = config_of(Settings(FORGE_HOME=tmp_path, **set_to))  # type: ignore[arg-type]
    assert (config.max_requests, config.max_runs, config.max_storage >> 20) == expected
