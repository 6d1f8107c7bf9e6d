"""A request as the scripted provider received it, with the questions tests ask of both formats."""

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

ProviderName = Literal["anthropic", "openai"]


class SeenResult(NamedTuple):
    """A tool's result as the provider was shown it."""

    call_id: str
    text: str
    is_error: bool


def text_of(content: object) -> str:
    """The words of a message's content in either format: a string, or blocks of type text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "".join(
        str(block.get("text", ""))
        for block in content
        if isinstance(block, dict) and block.get("type") == "text"
    )


@dataclass(slots=True)
class Received:
    """One request. `number` counts from 1; `refused` is the reason if the rules refused it."""

    number: int
    provider: ProviderName
    headers: dict[str, str]
    body: dict[str, Any]
    refused: str | None = None
    disconnected: threading.Event = field(default_factory=threading.Event)
    """Set when the client went away before its answer was complete."""

    async def wait_disconnected(self, deadline_s: float = 5.0) -> bool:
        """Whether the client goes away within `deadline_s`."""
        return await asyncio.to_thread(self.disconnected.wait, deadline_s)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages as sent, in the provider's own format."""
        messages = self.body.get("messages")
        return messages if isinstance(messages, list) else []

    @property
    def system(self) -> str:
        """The system prompt's words."""
        if self.provider == "anthropic":
            return text_of(self.body.get("system"))
        return "".join(
            text_of(message.get("content"))
            for message in self.messages
            if message.get("role") in ("system", "developer")
        )

    @property
    def tool_names(self) -> tuple[str, ...]:
        """The names of the tools that were offered."""
        tools = self.body.get("tools") or []
        if self.provider == "anthropic":
            return tuple(tool["name"] for tool in tools)
        return tuple(tool["function"]["name"] for tool in tools)

    @property
    def last_user_text(self) -> str:
        """The words of the last message that has any from a person."""
        for message in reversed(self.messages):
            if message.get("role") == "user" and (words := text_of(message.get("content"))):
                return words
        return ""

    @property
    def tool_results(self) -> tuple[SeenResult, ...]:
        """Every tool result in the transcript, in order. OpenAI's format has no error mark."""
        if self.provider == "openai":
            return tuple(
                SeenResult(message["tool_call_id"], text_of(message.get("content")), False)
                for message in self.messages
                if message.get("role") == "tool"
            )
        return tuple(
            SeenResult(
                block["tool_use_id"], text_of(block.get("content")), bool(block.get("is_error"))
            )
            for message in self.messages
            if isinstance(message.get("content"), list)
            for block in message["content"]
            if block.get("type") == "tool_result"
        )
