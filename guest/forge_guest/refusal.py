"""What the agent answers when it understood a request and cannot carry it out."""


class Refused(Exception):
    """The request fails; the machine goes on. `code` is one of `refused`, `not_found`, `quota`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
