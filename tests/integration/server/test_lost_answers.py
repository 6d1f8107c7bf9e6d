"""A question whose answer is lost on a real line: asked once, and its run followed to the end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forge.client import api, follow
from forge.client.api import Client, open_client
from forge.client.wire import Place
from forge.errors import ServerUnreachable
from forge.events import Record
from losing import Proxy, losing
from served import Served, served

FAR, NEAR, NAMED = "10.0.0.7", "127.8.9.1", "forge.localhost"
CODE = "```python\nprint('asked', flush=True)\nopen('made.txt', 'w').write('made')\n```"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as server:
        yield server


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here needs a pause between two tries."""
    for module in (api, follow):
        monkeypatch.setattr(module, "FIRST_WAIT_S", 0.001)


async def asked(proxy: Proxy, said: list[str]) -> list[Record]:
    place = Place(proxy.url)
    async with open_client(lambda: place, said.append, local=True) as client:
        return await through(client)


async def through(client: Client) -> list[Record]:
    async with client.ask({"message": CODE}) as run:
        return [record async for record in run.records]


@pytest.mark.parametrize("left", [0, 1, 40, 200, 300])
async def test_a_question_whose_answer_was_lost_is_asked_again_and_begun_once(
    server: Served, left: int
):
    """Before any byte came back, in the head, and in the first event: one run, one conversation,
    every record once, and a word to the person.
    """
    said: list[str] = []
    async with losing(server.port, lambda number: left if number < 3 else None) as proxy:
        records = await asked(proxy, said)
    (run,) = await server.home.service.list_runs()
    assert list(await server.home.service.records(run.id)) == records
    assert proxy.cut == 3
    assert len(said) == 3
    assert "Asking the same again" in said[0]


async def test_a_stream_that_is_cut_again_and_again_is_whole(server: Served):
    """In the middle of records, some bytes further each time; what came is never asked for again
    from its beginning.
    """
    async with losing(server.port, lambda number: 700 + 150 * number) as proxy:
        records = await asked(proxy, [])
    (run,) = await server.home.service.list_runs()
    assert list(await server.home.service.records(run.id)) == records
    assert proxy.cut > 5


async def test_a_question_that_stays_without_an_answer_is_given_up(
    server: Served, monkeypatch: pytest.MonkeyPatch
):
    """After a bounded time, with an error that leaves open what became of it."""
    monkeypatch.setattr(api, "RESEND_S", 0.2)
    async with losing(server.port, lambda _: 0) as proxy:
        with pytest.raises(ServerUnreachable) as lost:
            await asked(proxy, [])
        assert proxy.came > 1
    assert not lost.value.outcome_known
    assert len(await server.home.service.list_runs()) == 1


async def test_a_question_that_nobody_heard_is_not_asked_again(server: Served):
    """Nobody at the address: that is said at once, and nothing else."""
    said: list[str] = []
    async with open_client(lambda: Place("http://127.0.0.1:9"), said.append, local=True) as client:
        with pytest.raises(ServerUnreachable):
            await through(client)
        with pytest.raises(ServerUnreachable):
            await client.recorded("01k5")
    assert said == []


async def test_what_has_happened_is_fetched_whole_over_a_line_that_is_cut(server: Served):
    """Also of a run that goes on, and by the beginning of its id."""
    async with losing(server.port, lambda number: 700 + 150 * number if number else None) as proxy:
        records = await asked(proxy, [])
        place = Place(proxy.url)
        async with open_client(lambda: place, print, local=True) as client:
            assert await client.recorded(records[0].run_id[:20]) == records
        assert proxy.cut > 1
        async with open_client(lambda: Place(server.url), print, local=True) as client:
            wanted = {
                "message": "```python\nimport time\nprint(1, flush=True)\ntime.sleep(60)\n```"
            }
            async with client.ask(wanted) as run:
                while (await anext(run.records)).event.type != "tool.output":
                    continue
                so_far = await client.recorded(run.run_id)
                assert so_far[-1].event.type == "tool.output"
                await client.stop(run.run_id)
                assert [record async for record in run.records]


@pytest.mark.parametrize(
    ("url", "key", "exposed"),
    [
        ("http://forge.example", "fgk_x", True),
        ("HTTP://forge.example:80", "fgk_x", True),
        (f"http://{FAR}:3000", "fgk_x", True),
        ("http://localhost@forge.example", "fgk_x", True),
        ("http://localhost.forge.example", "fgk_x", True),
        ("http://127.0.0.1.forge.example", "fgk_x", True),
        ("http://forge.example", "", False),
        ("https://forge.example", "fgk_x", False),
        ("http://localhost:3000", "fgk_x", False),
        (f"http://{NAMED}:3000", "fgk_x", False),
        (f"http://{NEAR}:3000", "fgk_x", False),
        ("http://[::1]:3000", "fgk_x", False),
    ],
)
def test_a_key_is_exposed_over_plain_http_to_another_computer(url: str, key: str, exposed: bool):
    """Whatever the address pretends to be."""
    assert Place(url, key).exposes_key is exposed
