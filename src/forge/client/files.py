"""Files at a server: what was given and made, in and out. Digests are compared on both ways."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from forge.client.said import FileLine, FilePage, beginning, checked
from forge.client.saving import save
from forge.client.wire import Wire
from forge.errors import ServerForeign
from forge.ids import RunId, is_id

PAGE = 200
LOOKED_THROUGH = 1000
"""Among how many files, the newest first, one is found by the beginning of its id."""


class Files:
    """Asks a server about files.

    Everything here raises `ForgeError` where the server refuses or cannot be reached.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def list(self, limit: int, conversation_id: str = "") -> list[FileLine]:
        """The newest files; those of one conversation, where one is named."""
        found: list[FileLine] = []
        cursor: str | None = ""
        while cursor is not None and len(found) < limit:
            query = {
                "limit": min(PAGE, limit - len(found)),
                **({"conversation_id": conversation_id} if conversation_id else {}),
                **({"cursor": cursor} if cursor else {}),
            }
            page = checked(FilePage, await self._wire.text("GET", "/api/artifacts", query=query))
            found += page.items
            cursor = page.next if page.items else None
        return found[:limit]

    async def find(self, text: str) -> FileLine:
        """The file whose id is, or begins with, this.

        Raises:
            InputRefused: there is none, or more than one.
        """
        if is_id(text, "file"):
            return checked(FileLine, await self._wire.text("GET", f"/api/artifacts/{text}"))
        listed = await self.list(LOOKED_THROUGH)
        line: FileLine = beginning(listed, text, "file", "forge files list")
        return line

    async def put(
        self, name: str, content: AsyncIterator[bytes], conversation_id: str = ""
    ) -> FileLine:
        """Give the server a file, of a conversation where one is named.

        Raises:
            ServerForeign: it kept other bytes than it was given.
        """
        digest, size = hashlib.sha256(), 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for piece in content:
                digest.update(piece)
                size += len(piece)
                yield piece

        query = {"name": name}
        if conversation_id:
            query["conversation_id"] = conversation_id
        raw = await self._wire.text("POST", "/api/upload", query=query, content=counted())
        kept = checked(FileLine, raw)
        if (kept.sha256, kept.size) != (digest.hexdigest(), size):
            raise ServerForeign(f"The server kept other bytes of {name} than it was given.")
        return kept

    async def get(self, file: FileLine, target: Path) -> None:
        """A file's bytes into a new file; the digest is the caller's to compare.

        Raises:
            ServerForeign: there are more than it was said to have.
            NoSpace, HostUnfit: the file cannot be written.
        """
        path = f"/api/artifacts/{file.id}/content"
        await save(self._wire, path, file.sha256, file.size, target)

    async def made(self, run_id: RunId, sha256: str, size: int, target: Path) -> None:
        """The same of what a run made, by its digest; there as soon as its ledger says so."""
        path = f"/api/runs/{run_id}/artifacts/{sha256}"
        await save(self._wire, path, sha256, size, target)
