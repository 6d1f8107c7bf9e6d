"""Whatever its own description allows, and much that it does not, is sent to the whole API.

Schemathesis makes requests from the OpenAPI description: well and ill formed, with ids that do not
exist and with ids that do. No answer may be a server error, and each is what the description says.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig

from served import Served, served
from things import Things

EXAMPLES = 12
"""Requests to each operation, so that it takes about a minute. For a longer search, raise it."""

LAST = ("DELETE", "log_out", "password", "disable")
"""What takes away that which others are tried with comes last."""


def operations(url: str, key: str) -> Iterator[Any]:
    """Every operation, those last that take something away."""
    config = SchemathesisConfig.from_dict({"headers": {"Authorization": f"Bearer {key}"}})
    schema = schemathesis.openapi.from_url(
        f"{url}/api/openapi.json", config=config, headers={"Authorization": f"Bearer {key}"}
    )
    found = [each.ok() for each in schema.get_all_operations()]
    yield from sorted(found, key=lambda each: any(word in _name(each) for word in LAST))


def tried(operation: Any, url: str, key: str, ids: dict[str, str]) -> list[str]:
    """The server errors and wrong answers that an operation gave."""
    wrong: list[str] = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), known=st.booleans())
    def check(case: Any, known: bool) -> None:
        if known:
            for name in set(case.path_parameters) & set(ids):
                case.path_parameters[name] = ids[name]
        answer = case.call(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30)
        if answer.status_code >= 500:
            wrong.append(f"{_name(operation)}: {answer.status_code} {answer.text[:300]}")
        elif answer.status_code >= 400:
            kind = answer.headers.get("content-type", [""])[0]
            if kind != "application/problem+json":
                wrong.append(f"{_name(operation)}: {answer.status_code} as {kind}")
        elif not {str(answer.status_code), "default"} & set(operation.definition.raw["responses"]):
            wrong.append(f"{_name(operation)}: {answer.status_code} is not in the description")

    check()
    return wrong


def everything(server: Served, key: str, ids: dict[str, str]) -> list[str]:
    return [
        line
        for operation in operations(server.url, key)
        for line in tried(operation, server.url, key, ids)
    ]


async def test_no_request_makes_the_server_fail(tmp_path: Path):
    """Not as an admin either, who reaches most."""
    async with served(tmp_path, single_user=False) as server:
        key = await server.person("root", "admin")
        things = Things()
        async with server.client(key) as client:
            await things.make(client)
        assert await asyncio.to_thread(everything, server, key, things.ids) == []


def _name(operation: Any) -> str:
    return f"{operation.method.upper()} {operation.path} {operation.definition.raw['operationId']}"
