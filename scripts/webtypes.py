"""Write the console's types (`web/src/api/__generated__`) as the server's schemas are now.

What the server sends has all of its fields, so that each is required; what it takes has those
without a default alone.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from console import Console
from pydantic import TypeAdapter

from forge.events import Record
from forge.server.app import PAGES
from forge.server.openapi import described, written

HERE = Path(__file__).resolve().parent.parent / "web" / "src" / "api" / "__generated__"


def made() -> dict[str, str]:
    """Each file's name and text."""
    console = Console()
    return {
        name: console.node("types.mjs", root, given=json.dumps(schema).encode()).decode()
        for name, root, schema in (
            ("events.ts", "Record", _events()),
            ("api.ts", "Everything", _api()),
        )
    }


def _events() -> Any:
    schema = TypeAdapter(Record).json_schema(mode="serialization")
    for each in (*schema["$defs"].values(), schema):
        if "properties" in each:
            each["required"] = list(each["properties"])
    schema["title"] = "Record"
    return _untitled(schema, named=True)


def _api() -> Any:
    # As the file has it, sorted, so that moving a field changes nothing.
    api = json.loads(written(described(page.router for page in PAGES)))
    schemas = api["components"]["schemas"]
    asked: set[str] = set()
    left = [
        name
        for path in api["paths"].values()
        for route in path.values()
        for name in _named(route.get("requestBody", {}))
    ]
    while left:
        name = left.pop()
        if name not in asked:
            asked.add(name)
            left += _named(schemas[name])
    for name, schema in schemas.items():
        if name not in asked and name != "Problem" and "properties" in schema:
            schema["required"] = list(schema["properties"])
        schema["title"] = name.replace("-", "")
    everything = {
        "title": "Everything",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: {"$ref": f"#/definitions/{name}"} for name in schemas},
        "definitions": schemas,
    }
    text = json.dumps(everything).replace("#/components/schemas/", "#/definitions/")
    return _untitled(json.loads(text), named=True)


def _named(part: Any) -> Iterator[str]:
    """The names of the schemas that a part refers to."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value.split("/")[-1]
            else:
                yield from _named(value)
    elif isinstance(part, list):
        for each in part:
            yield from _named(each)


def _untitled(part: Any, *, named: bool = False) -> Any:
    """The schema without the titles of its fields, each of which would become a type."""
    if isinstance(part, list):
        return [_untitled(each) for each in part]
    if not isinstance(part, dict):
        return part
    found: dict[str, Any] = {}
    for key, value in part.items():
        if key == "title" and not named and isinstance(value, str):
            continue
        if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
            inside = key != "properties"
            found[key] = {name: _untitled(each, named=inside) for name, each in value.items()}
        else:
            found[key] = _untitled(value)
    return found


if __name__ == "__main__":
    for name, text in made().items():
        (HERE / name).write_text(text, encoding="utf-8")
