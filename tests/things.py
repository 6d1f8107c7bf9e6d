"""One of everything that a person can have at a server, made over HTTP."""

from typing import Any

import httpx2


class Things:
    """One of everything that a person can have, by the name a path has for it."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}

    async def make(self, client: httpx2.AsyncClient) -> None:
        body = {"message": "```python\nprint(1)\n```"}
        accepted: dict[str, Any] = {}
        async with client.stream("POST", "/api/chat", json=body) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: ") and not accepted:
                    accepted = httpx2.Response(200, text=line[6:]).json()
        file = (await client.post("/api/upload?name=a.txt", content=b"secret")).json()
        key = (await client.post("/api/me/keys", json={"name": "k", "scopes": ["read"]})).json()
        base = f"/api/conversations/{accepted['conversation_id']}"
        share = (await client.post(f"{base}/shares")).json()
        await client.put("/api/settings/secrets/mine", json={"value": "s"})
        self.ids = {
            "conversation_id": accepted["conversation_id"],
            "message_id": accepted["message_id"],
            "run_id": accepted["run_id"],
            "other_id": accepted["run_id"],
            "port": "8000",
            "path": "x",
            "file_id": file["id"],
            "key_id": key["id"],
            "share_id": share["id"],
        }
