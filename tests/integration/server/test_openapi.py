"""What the API says of itself: valid, committed as it is, and explained by examples that work."""

import asyncio
import json
import re
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

import house
from forge.errors import ForgeError
from forge.server.app import PAGES
from forge.server.openapi import described, written
from forge.server.problems import status_of
from served import served

API = house.ROOT / "docs" / "api"
PAGE = (API / "README.md").read_text(encoding="utf-8")


def test_the_committed_description_is_the_one_that_is_served():
    """`make openapi` writes it anew."""
    committed = (API / "openapi.json").read_text(encoding="utf-8")
    assert written(described(page.router for page in PAGES)) == committed


async def test_a_server_gives_a_valid_description_in_which_each_operation_has_its_own_name(
    tmp_path: Path,
):
    """OpenAPI 3.1; generated clients have one method for each; streams are said to be streams."""
    async with served(tmp_path) as server, server.client() as client:
        given = (await client.get("/api/openapi.json")).json()
    assert given == json.loads((API / "openapi.json").read_text(encoding="utf-8"))
    OpenAPIV31SpecValidator(given).validate()
    assert given["openapi"].startswith("3.1")
    operations = [each for path in given["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in operations]
    assert len(names) == len(set(names)) > 50
    streams = [
        each["operationId"]
        for each in operations
        if "text/event-stream" in each["responses"].get("200", {}).get("content", {})
    ]
    assert set(streams) >= {"ask", "follow_run"}
    for each in operations:
        assert "application/problem+json" in each["responses"]["4XX"]["content"]


def test_the_page_has_every_code_with_its_status():
    """No more and no less than the errors that there are."""
    said = {
        (int(status), code)
        for status, codes in re.findall(r"^\| (\d{3}) \| (.+) \|$", PAGE, re.MULTILINE)
        for code in re.findall(r"`(\w+)`", codes)
    }
    assert said == {(status_of(kind), kind.code) for kind in _below(ForgeError)}


async def test_the_examples_of_the_page_work(tmp_path: Path):
    """Each in turn, as somebody who reads the page would type it."""
    examples = re.findall(r"^```sh\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 6
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    async with served(tmp_path / "there", single_user=False) as server:
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-euxo",
            "pipefail",
            "-c",
            "\n".join(examples),
            cwd=tmp_path / "here",
            env={"PATH": "/usr/bin:/bin", "FORGE": server.url, "KEY": await server.person("ada")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, why = await process.communicate()
    assert process.returncode == 0, why.decode()
    assert b"42" in (tmp_path / "here" / "stream.txt").read_bytes()
    assert b"id: 4\n" in out
    assert b"id: 3\n" not in out


def _below(kind: type[ForgeError]) -> list[type[ForgeError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _below(child))]
