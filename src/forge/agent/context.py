"""What the model is told in its next call: the transcript so far, and how large it is.

Everything in it can be sent: text that UTF-8 cannot hold (a lone surrogate, as some servers send
where they cut an emoji in two) becomes U+FFFD here, before it would break the next request.
"""

from typing import Any

from pydantic_core import PydanticSerializationError

from forge.messages import AssistantMessage, Message
from forge.models.base import ToolSpec
from forge.usage import estimate_tokens


class Context:
    """A growing transcript. `input_tokens` is what sending it comes to, estimated high."""

    def __init__(
        self, system: str, tools: tuple[ToolSpec, ...], messages: tuple[Message, ...]
    ) -> None:
        self.system = system
        self.tools = tools
        self.messages: tuple[Message, ...] = ()
        self.input_tokens = estimate_tokens(system) + sum(
            estimate_tokens(f"{tool.name}{tool.description}{tool.parameters}") for tool in tools
        )
        for message in messages:
            self.add(message)

    def add(self, message: Message) -> None:
        """Take the next message."""
        self.messages = (*self.messages, message)
        self.input_tokens += estimate_tokens(message.model_dump_json())


def sendable(message: AssistantMessage) -> AssistantMessage:
    """The message with whatever UTF-8 cannot hold replaced; itself where there is nothing."""
    try:
        message.model_dump_json()
    except PydanticSerializationError:
        return AssistantMessage.model_validate(_replaced(message.model_dump()))
    return message


def _replaced(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case tuple() | list():
            return [_replaced(item) for item in value]
        case dict():
            return {key: _replaced(item) for key, item in value.items()}
        case _:
            return value
