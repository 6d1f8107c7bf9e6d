"""Asked again over HTTP: other answers beside the first, compared; and what was said is found."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asking import asked, stream
from served import Served, served

CODE = "```python\nimport random\nprint('raven', random.random())\n```"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as server:
        yield server


async def test_an_answer_asked_for_again_is_another_beside_it(server: Served):
    """By its message or by its run; also in a fork; sent again with its key it is one."""
    async with server.client() as client:
        given = (await client.post("/api/upload?name=a.txt", content=b"x")).json()
        first, records = await asked(client, CODE, files=[given["id"]])
        base = f"/api/conversations/{first['conversation_id']}"
        answers = [first["answer_id"]]
        once = {"Idempotency-Key": "again"}
        for path in (
            f"{base}/messages/{first['message_id']}/regenerate",
            f"/api/runs/{first['run_id']}/rerun",
            f"/api/runs/{first['run_id']}/rerun",
        ):
            async with client.stream("POST", path, json={}, headers=once) as response:
                events = [each async for each in stream(response)]
            once["Idempotency-Key"] = "by run"
            accepted, last = events[0][2], events[-1][2]["event"]
            assert (last["type"], last["status"]) == ("run.finished", "done")
            assert events[1][2]["event"]["files"] == records[0]["event"]["files"]
            answers.append(accepted["answer_id"])
        assert answers[2] == answers[3]
        shown = (await client.get(base)).json()["messages"]
        assert shown[1]["siblings"] == answers[:3]
        assert shown[1]["text"] == last["answer"]
        fork = (await client.post(f"{base}/fork", json={})).json()
        copy = f"/api/conversations/{fork['id']}"
        message = (await client.get(copy)).json()["messages"][0]["id"]
        async with client.stream("POST", f"{copy}/messages/{message}/regenerate", json={}) as made:
            events = [each async for each in stream(made)]
        assert events[0][2]["conversation_id"] == fork["id"]
        assert len((await client.get(copy)).json()["messages"][1]["siblings"]) == 2
        assert (await client.get(base)).json()["messages"][1]["siblings"] == answers[:3]
        wrong = await client.post(f"{base}/messages/{answers[0]}/regenerate", json={})
        assert (wrong.status_code, wrong.json()["code"]) == (409, "conflict")


async def test_two_runs_are_compared_by_cost_code_and_answer(server: Served):
    """And each has its steps."""
    async with server.client() as client:
        one, _ = await asked(client, CODE)
        other, _ = await asked(client, "```python\nprint('crow')\n```")
        found = (await client.get(f"/api/runs/{one['run_id']}/diff/{other['run_id']}")).json()
        assert "+print('crow')" in found["code"]
        assert "-print('raven', random.random())" in found["code"]
        assert "+crow" in found["result"]
        assert found["answer"] == ""
        assert found["one"]["totals"]["tool_calls"] == 1
        steps = (await client.get(f"/api/runs/{one['run_id']}/steps")).json()["items"]
        assert steps[0]["tools"][0]["outcome"] == "ok"
        gone = await client.get(f"/api/runs/{one['run_id']}/diff/none")
        assert gone.status_code == 404


async def test_conversations_are_found_by_what_was_said(server: Served):
    """With the place, and nothing for what was not."""
    async with server.client() as client:
        one, _ = await asked(client, "```python\nprint('albatross')\n```")
        await asked(client, CODE)
        page = (await client.get("/api/conversations?query=albatross")).json()
        assert [each["id"] for each in page["items"]] == [one["conversation_id"]]
        place = page["items"][0]["found"]
        (start, end), *_ = place["marks"]
        assert place["text"][start:end] == "albatross"
        assert (await client.get("/api/conversations?query=penguin")).json()["items"] == []
        assert len((await client.get("/api/conversations")).json()["items"]) == 2
