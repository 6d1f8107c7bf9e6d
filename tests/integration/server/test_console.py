"""The console's files as a browser asks for them: small, kept where that is safe, never more."""

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

import house
from forge.server.console import PAGES
from served import Served, served

INDEX = "<!doctype html><title>Forge</title>" + "<!-- -->" * 200
SCRIPT = "export const words = 'the same words again and again';\n" * 100


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A console as the build leaves it."""
    folder = tmp_path / "built"
    for name, text in {
        "index.html": INDEX,
        "assets/app-1a2b.js": SCRIPT,
        "icon.svg": "<svg/>",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "vendor").mkdir()
    (folder / "vendor" / "plotly-1.min.js").write_text("1")
    (folder / "assets" / "out").symlink_to("/etc/hostname")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@pytest.fixture
async def server(tmp_path: Path, built: Path) -> AsyncIterator[Served]:
    async with served(tmp_path / "home", console=built) as server:
        yield server


@pytest.mark.parametrize("path", ["/", "/c/0198-abc", "/c/1/machine", "/runs/2/diff/3", "/sign-up"])
async def test_every_address_of_a_page_is_answered_with_the_page(server: Served, path: str):
    """A reload, or a link from elsewhere, opens where it leads; it is asked for again each time."""
    async with server.client() as client:
        answer = await client.get(path)
        assert (answer.status_code, answer.text) == (200, INDEX)
        assert answer.headers["cache-control"] == "no-cache"
        tag = {"If-None-Match": answer.headers["etag"]}
        again = await client.get(path, headers=tag)
        assert (again.status_code, again.content) == (304, b"")


async def test_the_page_may_do_nothing_but_what_this_server_gives_it(server: Served):
    """No inline script, no foreign connection, nobody's frame, no base that moves its scripts."""
    async with server.client() as client:
        policy = (await client.get("/")).headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["object-src"] == rules["base-uri"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == rules["frame-src"] == "'self'"


@pytest.mark.parametrize("path", ["/api", "/api/nothing", "/api/c/1", "/healthz/x", "/metrics/1"])
async def test_what_is_the_apis_stays_a_problem(server: Served, path: str):
    """Also for a browser: a program that mistyped an address must not be given a page."""
    async with server.client(Accept="text/html") as client:
        answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_address_of_nobodys_is_a_page_for_a_person_and_a_problem_for_a_program(
    server: Served,
):
    """The status is the same: there is nothing there."""
    async with server.client() as client:
        person = await client.get("/nothing/here", headers={"Accept": "text/html,*/*"})
        assert (person.status_code, person.text) == (404, INDEX)
        for path in ("/nothing/here", "/assets/old-1.js"):
            program = await client.get(path)
            assert program.status_code == 404
            assert program.headers["content-type"] == "application/problem+json"
        missing = await client.get("/assets/old-1.js", headers={"Accept": "text/html,*/*"})
        assert missing.headers["content-type"] == "application/problem+json"
        for method in ("POST", "PUT", "DELETE"):
            assert (await client.request(method, "/c/1")).status_code == 404


async def test_files_named_by_their_content_are_kept_for_good_and_sent_small(server: Served):
    """The copy made by the build is sent to whoever takes it, and only to them."""
    async with server.client() as client:
        small = await client.get("/assets/app-1a2b.js", headers={"Accept-Encoding": "br, gzip"})
        assert small.headers["content-encoding"] == "gzip"
        assert small.headers["content-type"] == "text/javascript; charset=utf-8"
        assert "immutable" in small.headers["cache-control"]
        assert int(small.headers["content-length"]) < len(SCRIPT) / 5
        assert small.text == SCRIPT
        for given in ("identity", "gzip;q=0", "gzip; q=0.000, deflate"):
            whole = await client.get("/assets/app-1a2b.js", headers={"Accept-Encoding": given})
            assert "content-encoding" not in whole.headers
            assert whole.text == SCRIPT
            assert whole.headers["etag"] != small.headers["etag"]
        assert (await client.get("/icon.svg")).headers["cache-control"] == "no-cache"


async def test_a_page_without_an_origin_may_load_what_is_for_all_and_nothing_else(server: Served):
    """A frame's artifact is another site to the browser, and is never logged in."""
    async with server.client() as client:
        vendor = await client.get("/vendor/plotly-1.min.js")
        assert vendor.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "immutable" in vendor.headers["cache-control"]
        asset = await client.get("/assets/app-1a2b.js")
        assert asset.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt", "/assets/../../secret.txt", "/assets/%2e%2e/%2e%2e/secret.txt",
        "/assets/..%2f..%2fsecret.txt", "//etc/hostname", "/assets/out", "/index.html.gz",
        "/assets/app-1a2b.js.gz", "/c\\..\\secret.txt", "/assets/app-1a2b.js%00.html",
    ],
)  # fmt: skip
async def test_no_path_leads_to_a_file_that_the_build_did_not_make(server: Served, path: str):
    """Only what was found in the folder is opened, under the one name it has there."""
    async with server.client() as client:
        request = client.build_request("GET", server.url + "/")
        request.url = httpx2.URL(server.url).copy_with(raw_path=path.encode())
        answer = await client.send(request)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_where_the_console_is_not_built_a_page_says_how_to_build_it(tmp_path: Path):
    """And the API is there."""
    async with served(tmp_path, console=tmp_path / "none") as server, server.client() as client:
        answer = await client.get("/")
        assert answer.status_code == 503
        assert answer.headers["content-type"].startswith("text/html")
        assert "make web" in answer.text
        assert (await client.get("/healthz")).status_code == 200


def test_the_server_knows_the_first_word_of_every_address_of_the_console():
    """A page that the server does not know opens by a click and is lost by a reload."""
    routes = house.ROOT / "web" / "src" / "routes.tsx"
    said = (
        set(re.findall(r"[\"'`]/([a-z-]*)(?=[/:\"'`])", routes.read_text()))
        if routes.exists()
        else set()
    )
    assert said <= PAGES | {"", "api"}
