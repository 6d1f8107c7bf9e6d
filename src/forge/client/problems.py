"""What a server says went wrong, as one of Forge's own errors again. Pure.

The code names the class. An answer that is no problem of Forge's (a proxy's page, another program)
has the class that its status names.
"""

from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, ValidationError

from forge.errors import (
    Conflict,
    ForgeError,
    InputRefused,
    LoginRequired,
    NotAllowed,
    NotFound,
    ServerForeign,
    ServerUnreachable,
    TooMany,
    of_code,
)

_LONGEST = 2000

_CLASSES: dict[int, type[ForgeError]] = {
    HTTPStatus.UNAUTHORIZED: LoginRequired,
    HTTPStatus.FORBIDDEN: NotAllowed,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.TOO_MANY_REQUESTS: TooMany,
}


class _Problem(BaseModel):
    """The fields of RFC 9457 that a person is told."""

    model_config = ConfigDict(extra="ignore")

    code: str = ""
    detail: str = ""
    hint: str | None = None


def of_answer(status: int, body: bytes | str) -> ForgeError:
    """The error that an answer of this status stands for."""
    try:
        problem = _Problem.model_validate_json(body)
    except ValidationError:
        problem = _Problem()
    kind = of_code(problem.code)
    if kind is ForgeError and problem.code != ForgeError.code:
        kind = _of_status(status)
    said = problem.detail[:_LONGEST] or f"The server answered with status {status}."
    hint = problem.hint[:_LONGEST] if problem.hint else None
    if kind is LoginRequired:
        hint = "Set FORGE_API_KEY to a key of that server."
    return kind(said, hint=hint)


def _of_status(status: int) -> type[ForgeError]:
    if status in _CLASSES:
        return _CLASSES[status]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServerUnreachable
    return InputRefused if status >= HTTPStatus.BAD_REQUEST else ServerForeign
