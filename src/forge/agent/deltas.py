"""The pieces a model streams, and the events they become."""

from typing import NamedTuple

from forge.events import AnyEvent, ModelText, ModelThinking, ModelToolInput
from forge.models.base import TextDelta, ThinkingDelta, ToolInputDelta


class Delta(NamedTuple):
    """A kind of streamed piece; pieces of one kind in a row belong together."""

    kind: type[TextDelta | ThinkingDelta | ToolInputDelta]
    call_id: str = ""
    name: str = ""

    def event(self, step: int, text: str) -> AnyEvent:
        """The event of this kind with this text."""
        if self.kind is TextDelta:
            return ModelText(step=step, text=text)
        if self.kind is ThinkingDelta:
            return ModelThinking(step=step, text=text)
        return ModelToolInput(step=step, call_id=self.call_id, name=self.name, text=text)
