"""What a verb is, and what the agent answers when it understood one and cannot carry it out."""

from collections.abc import Awaitable, Callable

from forge_guest.wire.channel import Stream

Verb = Callable[[Stream], Awaitable[None]]
"""Answers one request; each room of the agent has a table of its verbs, `verbs()`."""


class Refused(Exception):
    """The request fails; the machine goes on.

    `code` is one of `refused`, `not_found`, `quota`, `archive`, `no_process`, `unreachable`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
