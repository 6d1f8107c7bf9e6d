"""Asking over HTTP: what happens is streamed, and the stream can be had again from any place."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from asking import asked, followed, stream
from served import Served, served

CODE = "```python\nprint(1 + 2)\n```"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as server:
        yield server


async def test_a_question_is_answered_as_it_happens_and_is_a_conversation_then(server: Served):
    """The stream begins with where everything is and ends with the run's end."""
    async with server.client() as client:
        accepted, records = await asked(client, CODE)
        assert records[0]["event"]["type"] == "run.started"
        last = records[-1]["event"]
        assert (last["type"], last["status"]) == ("run.finished", "done")
        printed = "".join(
            each["event"]["text"] for each in records if each["event"]["type"] == "tool.output"
        )
        assert printed == "3\n"
        talk = (await client.get(f"/api/conversations/{accepted['conversation_id']}")).json()
        assert [each["role"] for each in talk["messages"]] == ["user", "assistant"]
        assert talk["messages"][1]["run_id"] == accepted["run_id"]
        assert talk["messages"][1]["text"] in ("", last["answer"])
        run = (await client.get(f"/api/runs/{accepted['run_id']}")).json()
        assert (run["status"], run["answer"]) == ("done", last["answer"])
        listed = (await client.get("/api/runs")).json()["items"]
        assert [each["id"] for each in listed] == [accepted["run_id"]]


async def test_a_run_can_be_followed_from_any_place(server: Served):
    """What a reader saw before it was cut off, and what it sees after, is the whole, once."""
    async with server.client() as client:
        accepted, records = await asked(client, CODE)
        for after in (0, 1, len(records) // 2, len(records) - 1, len(records)):
            assert await followed(client, accepted["run_id"], after) == records[after:]
        response = await client.get(f"/api/runs/{accepted['run_id']}/events?after=3")
        assert "id: 4\n" in response.text
        assert "id: 3\n" not in response.text


async def test_leaving_does_not_end_a_run(server: Served):
    """Whoever closed the window finds the answer later."""
    async with server.client() as client:
        message = "```python\nimport time\ntime.sleep(0.3)\nprint('later')\n```"
        async with client.stream("POST", "/api/chat", json={"message": message}) as response:
            async for _, _, data in stream(response):
                run_id = data["run_id"]
                break
        records = await followed(client, run_id, 0)
        assert records[-1]["event"]["status"] == "done"


async def test_a_stopped_run_ends_with_its_cost(server: Served):
    """Its last event says cancelled, and the code is gone."""
    async with server.client() as client:
        message = "```python\nimport time\nprint('begun', flush=True)\ntime.sleep(60)\n```"
        async with client.stream("POST", "/api/chat", json={"message": message}) as response:
            last: Any = None
            async with asyncio.timeout(30):
                async for _, _, data in stream(response):
                    last = data.get("event", {})
                    if last.get("type") == "tool.output":
                        answer = await client.post(f"/api/runs/{data['run_id']}/stop")
                        assert answer.status_code == 202
        assert (last["type"], last["status"]) == ("run.finished", "cancelled")
        assert last["totals"]["usd"] == "0"


async def test_a_conversation_goes_on_in_its_machine(server: Served):
    """What one message wrote, the next one reads; an edited message is a branch."""
    async with server.client() as client:
        first, _ = await asked(client, "```bash\necho kept > here.txt\n```")
        talk = {"conversation_id": first["conversation_id"]}
        _, records = await asked(client, "```bash\ncat here.txt\n```", **talk)
        assert "kept\n" in [
            each["event"]["text"] for each in records if each["event"]["type"] == "tool.output"
        ]
        edited, _ = await asked(client, CODE, **talk, parent_id=None)
        shown = (await client.get(f"/api/conversations/{first['conversation_id']}")).json()
        assert [each["id"] for each in shown["messages"]] == [
            edited["message_id"],
            edited["answer_id"],
        ]
        assert shown["messages"][0]["siblings"] == [first["message_id"], edited["message_id"]]


async def noted(client: httpx2.AsyncClient, conversation_id: str, name: str) -> Any:
    """A file of a conversation, once it is noted: that may be a moment after the run's end."""
    async with asyncio.timeout(20):
        while True:
            answer = await client.get(f"/api/artifacts?conversation_id={conversation_id}")
            for each in answer.json()["items"]:
                if each["name"] == name:
                    return each
            await asyncio.sleep(0.02)


async def test_an_upload_is_in_the_machine_and_an_artifact_is_kept(server: Served):
    """By digest, typed by its bytes; the same name again is the next version."""
    async with server.client() as client:
        given = await client.post("/api/upload?name=data.csv", content=b"a,b\n1,2\n")
        assert given.status_code == 201
        assert given.json()["media_type"] == "text/csv"
        code = "```bash\nwc -l < data.csv > lines.txt; cat lines.txt\n```"
        accepted, records = await asked(client, code, files=[given.json()["id"]])
        assert [e["event"]["name"] for e in records if e["event"]["type"] == "artifact.saved"] == [
            "lines.txt"
        ]
        made = await noted(client, accepted["conversation_id"], "lines.txt")
        assert (made["kind"], made["version"]) == ("artifact", 1)
        content = await client.get(f"/api/artifacts/{made['id']}/content")
        assert content.text.strip() == "2"
        assert content.headers["content-disposition"].startswith("attachment")
        link = (await client.post(f"/api/artifacts/{made['id']}/link")).json()["url"]
        path = link.partition(server.config.url)[2]
        assert (await client.get(path)).text.strip() == "2"
        assert (await client.get(path[:-1])).status_code == 403


async def test_a_conversation_can_be_taken_away_and_shown(server: Served):
    """As JSON, Markdown and a notebook; by a link until it is revoked."""
    async with server.client() as client:
        accepted, _ = await asked(client, CODE)
        base = f"/api/conversations/{accepted['conversation_id']}"
        book = (await client.get(f"{base}/export?format=ipynb")).json()
        assert [c["source"] for c in book["cells"] if c["cell_type"] == "code"] == [
            "print(1 + 2)\n"
        ]
        assert "print(1 + 2)" in (await client.get(f"{base}/export?format=markdown")).text
        assert (await client.get(f"{base}/export")).json()["id"] == accepted["conversation_id"]
        made = (await client.post(f"{base}/shares")).json()
        token = made["url"].partition("#")[2]
        assert len((await client.get(f"/api/shared/{token}")).json()["messages"]) == 2
        assert (await client.delete(f"{base}/shares/{made['id']}")).status_code == 204
        assert (await client.get(f"/api/shared/{token}")).status_code == 404
