"""The API as OpenAPI 3.1 says it: for people, for generated clients, and for tests that try it all.

`described` needs nothing opened, so what is committed in `docs/api/openapi.json` is exactly what a
server gives at `/api/openapi.json`; `make openapi` writes it anew.

Two things are said differently from what FastAPI says: problems have one schema with a name, and a
stream's events are under `x-item-schema`, because `itemSchema` is a word of OpenAPI 3.2.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

import forge
from forge.server import problems

TITLE = "Forge"
SUMMARY = "An agent writes code and runs it in a microVM with its own kernel."
ADDRESS = "/api/openapi.json"

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_SECURITY = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, made at `/api/me/keys`.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "forge_session",
        "description": "A login, for browsers; with HTTPS its name is `__Host-forge`.",
    },
}


_ONCE = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A fresh word for each request: sent again, it is answered as it was.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_WITHOUT_KEY = frozenset({"sign_up", "log_in"})
"""What nobody is logged in for, so that a key would be nobody's."""


def operation(route: APIRoute) -> str:
    """What an operation is called: as its function is."""
    return route.name


def responses() -> dict[int | str, dict[str, Any]]:
    """What every route may answer instead: a problem."""
    answer: dict[str, Any] = {
        "description": "A problem (RFC 9457).",
        "content": {problems.MEDIA_TYPE: {"schema": _PROBLEM}},
    }
    return {"4XX": answer, "5XX": answer}


class Described(FastAPI):
    """An app that describes itself so, once it is asked."""

    def openapi(self) -> dict[str, Any]:
        """The description of its routes."""
        if self.openapi_schema is None:
            self.openapi_schema = _described(self.routes)
        return self.openapi_schema


def described(routers: Iterable[APIRouter]) -> dict[str, Any]:
    """The description of these pages of routes."""
    app = Described(generate_unique_id_function=operation, responses=responses())
    for router in routers:
        app.include_router(router)
    return app.openapi()


def written(description: dict[str, Any]) -> str:
    """A description as the text that is committed."""
    return json.dumps(description, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _described(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    found = get_openapi(
        title=TITLE,
        summary=SUMMARY,
        version=forge.__version__,
        openapi_version="3.1.0",
        routes=routes,
    )
    found["components"]["schemas"]["Problem"] = dict(problems.SCHEMA)
    found["components"]["securitySchemes"] = _SECURITY
    found["security"] = [{"key": []}, {"session": []}, {}]
    for path in found["paths"].values():
        for method, each in path.items():
            if method == "post" and each["operationId"] not in _WITHOUT_KEY:
                each.setdefault("parameters", []).append(_ONCE)
            for response in each["responses"].values():
                _as_3_1(response.get("content", {}))
    return found


def _as_3_1(content: dict[str, Any]) -> None:
    for kind, media in content.items():
        if kind == "text/event-stream":
            media["schema"] = {"type": "string", "description": "Server-Sent Events."}
            media["x-item-schema"] = _EVENT


_EVENT = {
    "type": "object",
    "properties": {
        "data": {"type": "string"},
        "event": {"type": "string"},
        "id": {"type": "string"},
        "retry": {"type": "integer", "minimum": 0},
    },
}
