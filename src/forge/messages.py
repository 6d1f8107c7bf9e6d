"""The transcript between a person, a model and its tools, free of any provider's format.

Messages are frozen values that go into the ledger as JSON and come back equal, so a run's
transcript can be rebuilt from its events. `forge.models` translates them to each provider.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Text(_Value):
    """Words."""

    kind: Literal["text"] = "text"
    text: str


class Thinking(_Value):
    """A model's reasoning. `signature` is the provider's seal, sent back unchanged."""

    kind: Literal["thinking"] = "thinking"
    text: str
    signature: str | None = None
    provider: str | None = None


class ToolCall(_Value):
    """A model's wish to use a tool. `arguments` is the JSON text as the model wrote it."""

    kind: Literal["tool_call"] = "tool_call"
    id: str
    name: str
    arguments: str


class ToolResult(_Value):
    """What a tool call came to, as the model is shown it."""

    kind: Literal["tool_result"] = "tool_result"
    call_id: str
    name: str
    content: str
    is_error: bool = False


class UserMessage(_Value):
    """What a person says, or what tools answered."""

    role: Literal["user"] = "user"
    parts: tuple[Annotated[Text | ToolResult, Field(discriminator="kind")], ...]


class AssistantMessage(_Value):
    """What a model said, thought and wished to do, in its own order."""

    role: Literal["assistant"] = "assistant"
    parts: tuple[Annotated[Text | Thinking | ToolCall, Field(discriminator="kind")], ...]

    @property
    def text(self) -> str:
        """The words alone, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls, in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


Message = Annotated[UserMessage | AssistantMessage, Field(discriminator="role")]
