"""What every error of Forge is: a message, a hint, and in its type what a caller needs to know."""

from typing import ClassVar, Literal

Fault = Literal["person", "host", "guest", "provider", "forge"]


class ForgeError(Exception):
    """Anything Forge refuses or fails at on purpose.

    Args:
        message: what happened, with the facts (names, sizes, limits), one sentence or two.
        hint: what the person can do next; the class's own hint when not given.
    """

    code: ClassVar[str] = "forge_error"
    fault: ClassVar[Fault] = "forge"
    retry: ClassVar[bool] = False
    outcome_known: ClassVar[bool] = True
    default_hint: ClassVar[str] = "Please report this with the output of `forge runs show`."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
