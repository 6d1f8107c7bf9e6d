"""Conversations at a server: which there are, what was said, and what becomes of them."""

from forge.client.said import (
    ShareLine,
    ShareList,
    Talk,
    TalkLine,
    TalkPage,
    beginning,
    checked,
    the_id,
)
from forge.client.wire import Wire
from forge.ids import ConversationId, is_id

PAGE = 100
LOOKED_THROUGH = 1000
"""Among how many conversations, the last used first, one is found by the beginning of its id."""


class Talks:
    """Asks a server about conversations.

    Everything here raises `ForgeError` where the server refuses or cannot be reached.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def find(self, text: str) -> ConversationId:
        """The conversation whose id is, or begins with, this.

        Raises:
            InputRefused: there is none, or more than one.
        """
        if is_id(text, "conv"):
            return ConversationId(text)
        listed = await self.list(LOOKED_THROUGH)
        line: TalkLine = beginning(listed, text, "conv", "forge conversations list")
        return line.id

    async def show(self, conversation_id: str) -> Talk:
        """A conversation and what was said in it."""
        return checked(Talk, await self._wire.text("GET", _path(conversation_id)))

    async def rename(self, conversation_id: str, title: str) -> TalkLine:
        """Give it another title."""
        body = {"title": title}
        return checked(TalkLine, await self._wire.text("PATCH", _path(conversation_id), body=body))

    async def delete(self, conversation_id: str) -> None:
        """Remove it with its messages and links; its runs stay on the ledger."""
        await self._wire.text("DELETE", _path(conversation_id))

    async def export(self, conversation_id: str, form: str) -> bytes:
        """A conversation as a file: `json`, `markdown` or `ipynb`."""
        path = f"{_path(conversation_id)}/export"
        return await self._wire.text("GET", path, query={"format": form})

    async def fork(self, conversation_id: str, *, at: str = "", machine: bool = False) -> TalkLine:
        """Begin one that has said the same, up to the message `at` where one is named; `machine`:
        with a copy of its machine.
        """
        body = {"machine": machine, **({"head_id": the_id(at, "msg")} if at else {})}
        path = f"{_path(conversation_id)}/fork"
        return checked(TalkLine, await self._wire.text("POST", path, body=body))

    async def share(self, conversation_id: str) -> ShareLine:
        """Make a link that shows it, read-only."""
        return checked(ShareLine, await self._wire.text("POST", f"{_path(conversation_id)}/shares"))

    async def shares(self, conversation_id: str) -> list[ShareLine]:
        """The links there are to it, without their tokens."""
        raw = await self._wire.text("GET", f"{_path(conversation_id)}/shares")
        return checked(ShareList, raw).items

    async def unshare(self, conversation_id: str, share_id: str) -> None:
        """Let a link show nothing any more."""
        path = f"{_path(conversation_id)}/shares/{the_id(share_id, 'shr')}"
        await self._wire.text("DELETE", path)

    async def end_machine(self, conversation_id: str) -> None:
        """Stop its machine, if it has one."""
        await self._wire.text("POST", f"/api/sandbox/{the_id(conversation_id, 'conv')}/stop")

    async def list(self, limit: int, search: str = "") -> list[TalkLine]:
        """The conversations used last; with `search` those in which it was said, the best first."""
        found: list[TalkLine] = []
        cursor: str | None = ""
        while cursor is not None and len(found) < limit:
            query = {
                "limit": min(PAGE, limit - len(found)),
                **({"query": search} if search else {}),
                **({"cursor": cursor} if cursor else {}),
            }
            page = checked(
                TalkPage, await self._wire.text("GET", "/api/conversations", query=query)
            )
            found += page.items
            cursor = page.next if page.items else None
        return found[:limit]


def _path(conversation_id: str) -> str:
    return f"/api/conversations/{the_id(conversation_id, 'conv')}"
