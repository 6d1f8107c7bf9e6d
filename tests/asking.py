"""Asking a server over HTTP, and reading its streams: for the tests of the API."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2


async def stream(response: httpx2.Response) -> AsyncIterator[tuple[str, str, Any]]:
    """The events of a stream: their name, id and data."""
    name, number, data = "message", "", ""
    async for line in response.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "id":
            number = value
        elif field == "data":
            data = value
        elif not line and data:
            yield name, number, json.loads(data)
            name, number, data = "message", "", ""


async def asked(client: httpx2.AsyncClient, message: str, **more: Any) -> tuple[Any, list[Any]]:
    """What a run was accepted as, and its records."""
    async with client.stream("POST", "/api/chat", json={"message": message, **more}) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        events = [event async for event in stream(response)]
    assert events[0][0] == "accepted"
    assert [int(number) for _, number, _ in events[1:]] == list(range(1, len(events)))
    return events[0][2], [data for _, _, data in events[1:]]


async def followed(client: httpx2.AsyncClient, run_id: str, after: int) -> list[Any]:
    """A run's records after a number, as a browser that comes back asks for them."""
    headers = {"Last-Event-ID": str(after)} if after else {}
    async with client.stream("GET", f"/api/runs/{run_id}/events", headers=headers) as response:
        return [data async for _, _, data in stream(response)]
