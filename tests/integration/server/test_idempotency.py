"""Sending the same request again: it is answered as it was, and nothing is done twice."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asking import asked
from served import Served, served

ONCE = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, single_user=False) as server:
        yield server


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/conversations", {"title": "one"}),
        ("/api/me/keys", {"name": "k", "scopes": ["read"]}),
        ("/api/admin/invites", {}),
    ],
)
async def test_what_was_made_once_is_answered_the_same_again(
    server: Served, path: str, body: dict[str, object]
):
    """Also where the answer has what is shown once; another request with the key is refused."""
    async with server.client(await server.person("root", "admin")) as root:
        first = await root.post(path, json=body, headers=ONCE)
        assert first.status_code == 201
        assert "idempotency-replayed" not in first.headers
        again = await root.post(path, json=body, headers=ONCE)
        assert (again.status_code, again.json()) == (201, first.json())
        assert again.headers["idempotency-replayed"] == "true"
        other = await root.post("/api/conversations", json={"title": "two"}, headers=ONCE)
        assert (other.status_code, other.json()["code"]) == (422, "key_reused")


async def test_of_many_at_once_one_is_made(server: Served):
    """The others have its answer, or are told to come back."""
    async with server.client(await server.person("ada")) as ada:
        answers = []

        async def make() -> None:
            answers.append(await ada.post("/api/conversations", json={}, headers=ONCE))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(12):
                tasks.create_task(make())
        made = {each.json()["id"] for each in answers if each.status_code == 201}
        assert len(made) == 1
        for each in answers:
            assert each.status_code == 201 or each.json()["code"] == "request_under_way"
            assert each.status_code == 201 or each.json()["retry"] is True
        assert len((await ada.get("/api/conversations")).json()["items"]) == 1


async def test_a_chat_sent_again_follows_the_run_that_it_began(server: Served):
    """From its beginning; there is one run and one message."""
    async with server.client(await server.person("ada"), **ONCE) as ada:
        message = "```python\nprint(1)\n```"
        first, records = await asked(ada, message)
        again, same = await asked(ada, message)
        assert (again, same) == (first, records)
        assert len((await ada.get("/api/runs")).json()["items"]) == 1
        answer = await ada.post("/api/chat", json={"message": "another"})
        assert (answer.status_code, answer.json()["code"]) == (422, "key_reused")


async def test_an_upload_sent_again_makes_no_version_and_is_compared_by_its_bytes(server: Served):
    """Though it is read as a stream."""
    async with server.client(await server.person("ada"), **ONCE) as ada:
        content = b"x" * 300_000
        first = await ada.post("/api/upload?name=a", content=content)
        again = await ada.post("/api/upload?name=a", content=content)
        assert first.json() == again.json()
        other = await ada.post("/api/upload?name=a", content=content[:-1] + b"y")
        assert other.json()["code"] == "key_reused"
        assert len((await ada.get("/api/artifacts")).json()["items"]) == 1


async def test_what_failed_can_be_sent_again_with_its_key(server: Served):
    """Nothing was carried out, so nothing is answered again."""
    async with server.client(await server.person("ada"), **ONCE) as ada:
        wrong = await ada.post("/api/chat", json={"message": "x", "conversation_id": "none"})
        assert wrong.status_code == 404
        assert (await ada.post("/api/conversations", json={})).status_code == 201


async def test_another_person_and_a_lesser_key_get_nothing(server: Served):
    """A key of the same name is another person's own; one that may do less is refused."""
    ada_key, eve_key = await server.person("ada"), await server.person("eve")
    async with server.client(ada_key) as ada, server.client(eve_key, **ONCE) as eve:
        narrow = (await ada.post("/api/me/keys", json={"name": "n", "scopes": ["read"]})).json()
        body = {"name": "k", "scopes": ["read"]}
        first = (await ada.post("/api/me/keys", json=body, headers=ONCE)).json()
        assert (await eve.post("/api/me/keys", json=body)).json()["key"] != first["key"]
        async with server.client(narrow["key"], **ONCE) as less:
            answer = await less.post("/api/me/keys", json=body)
            assert (answer.status_code, "key" in answer.json()) == (422, False)
    async with server.client(**ONCE) as nobody:
        assert (await nobody.post("/api/me/keys", json=body)).status_code == 401
