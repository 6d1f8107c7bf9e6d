"""Errors as RFC 9457 has them: `application/problem+json`, the same fields everywhere.

    {"type": "urn:forge:error:cap_reached", "title": "Cap reached", "status": 402,
     "code": "cap_reached", "detail": what happened, "hint": what to do next,
     "fault": whose it is, "retry": whether to send it again, "request_id": …}

One table says which error has which status; an error that is not in it has its parent's. What
nobody foresaw is a 500 without its text, which may hold what is secret; the log has it.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from forge import errors

LOG = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPES = "urn:forge:error:"

SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "hint": {"type": "string"},
        "fault": {"type": "string"},
        "retry": {"type": "boolean"},
        "retry_after_s": {"type": "number"},
        "request_id": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}
"""What a problem looks like, as JSON Schema."""

STATUS: Mapping[type[errors.ForgeError], int] = {
    errors.ForgeError: 500,
    errors.InputRefused: 422,
    errors.RunNotFound: 404,
    errors.MachineUnknown: 404,
    errors.MachineBusy: 409,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.PreferenceUnmet: 409,
    errors.AccessError: 403,
    errors.LoginRequired: 401,
    errors.LoginRefused: 401,
    errors.LoginUnavailable: 502,
    errors.TooMany: 429,
    errors.SecretUnreadable: 503,
    errors.HostUnfit: 503,
    errors.NoSpace: 507,
    errors.ImageError: 503,
    errors.TemplateError: 503,
    errors.SnapshotError: 409,
    errors.SandboxError: 502,
    errors.SandboxStopped: 409,
    errors.SandboxPaused: 409,
    errors.FileNotFound: 404,
    errors.GuestRefused: 422,
    errors.PortUnreachable: 404,
    errors.ContextNotFound: 404,
    errors.ProcessNotFound: 404,
    errors.ArchiveRefused: 422,
    errors.QuotaExceeded: 507,
    errors.VolumeError: 409,
    errors.ModelError: 502,
    errors.ModelRateLimited: 503,
    errors.BudgetError: 402,
    errors.LedgerError: 503,
    errors.SlowReader: 503,
}


def status_of(kind: type[errors.ForgeError]) -> int:
    """The HTTP status of an error's class, or of the nearest class above that has one."""
    return next(STATUS[each] for each in kind.__mro__ if each in STATUS)


def fields_of(error: errors.ForgeError) -> dict[str, Any]:
    """What a problem says of one of Forge's own errors."""
    fields = {
        "code": error.code,
        "detail": error.message,
        "hint": error.hint,
        "fault": error.fault,
        "retry": error.retry,
        "retry_after_s": getattr(error, "retry_after_s", None),
    }
    return {name: value for name, value in fields.items() if value is not None}


def problem(request: Request, status: int, code: str, detail: str, **more: Any) -> JSONResponse:
    """A problem as a response. `more` are further fields; one that is None is left out."""
    body = {
        "type": f"{TYPES}{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": getattr(request.state, "request_id", None),
        **more,
    }
    headers = {}
    if more.get("retry_after_s") is not None:
        headers["Retry-After"] = str(max(1, round(more["retry_after_s"])))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="forge"'
    kept = {name: value for name, value in body.items() if value is not None}
    return JSONResponse(kept, status, headers, media_type=MEDIA_TYPE)


def of_error(request: Request, error: errors.ForgeError) -> JSONResponse:
    """One of Forge's own errors as a response."""
    return problem(request, status_of(type(error)), **fields_of(error))


def install(app: FastAPI) -> None:
    """Answer every error of this app as a problem."""

    @app.exception_handler(errors.ForgeError)
    async def _forge(request: Request, error: errors.ForgeError) -> JSONResponse:
        if status_of(type(error)) >= HTTPStatus.INTERNAL_SERVER_ERROR:
            LOG.warning("%s %s: %s", request.method, request.url.path, error)
        return of_error(request, error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # Without what was sent: that may hold a password.
        faults = [
            {"at": ".".join(str(part) for part in each["loc"]), "why": each["msg"]}
            for each in error.errors()
        ]
        first = faults[0]
        return problem(
            request,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "request_invalid",
            f"{first['at']}: {first['why']}.",
            hint="Correct the request; docs/api has what each route takes.",
            fault="person",
            retry=False,
            errors=faults,
        )

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        phrase = HTTPStatus(error.status_code).phrase
        answer = problem(
            request,
            error.status_code,
            phrase.lower().replace(" ", "_"),
            f"{request.method} {request.url.path}: {phrase}.",
            hint="docs/api has every route.",
            fault="person",
            retry=False,
        )
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
        LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(
            request,
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "forge_error",
            f"Forge itself failed ({type(error).__name__}); its log says where.",
            hint=errors.ForgeError.default_hint,
            fault="forge",
            retry=False,
        )
