"""The terminal's client against a server: nothing is lost, and a server is not believed."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from forge.client import beacon, follow
from forge.client.api import Client, open_client
from forge.client.mounted import mounted
from forge.client.sse import Message, Parser
from forge.client.wire import Place
from forge.errors import (
    InputRefused,
    LoginRequired,
    NotAllowed,
    ServerForeign,
    ServerUnreachable,
)
from forge.events import Record, RunFinished, ToolOutput
from forge.ids import RunId
from served import Served, served

CODE = "```python\nprint(1 + 2)\nopen('made.txt', 'w').write('made')\n```"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as server:
        yield server


@asynccontextmanager
async def client(server: Served, key: str = "") -> AsyncIterator[Client]:
    async with open_client(lambda: Place(server.url, key), print, local=True) as client:
        yield client


async def asked(client: Client, **wanted: Any) -> tuple[RunId, list[Record]]:
    async with client.ask({"message": CODE, **wanted}) as asked:
        return asked.run_id, [record async for record in asked.records]


async def test_a_run_is_asked_for_followed_and_its_files_fetched(server: Served, tmp_path: Path):
    """The records are the ledger's, and the artifact's bytes are its own."""
    async with client(server) as asking:
        run_id, records = await asked(asking)
        assert list(await server.home.service.records(run_id)) == records
        (made,) = [each.event for each in records if each.event.type == "artifact.saved"]
        await asking.files.made(run_id, made.sha256, made.size, tmp_path / "made")
        assert (tmp_path / "made").read_text() == "made"
        with pytest.raises(ServerForeign):
            await asking.files.made(run_id, made.sha256, made.size - 1, tmp_path / "less")
        assert [each.id for each in await asking.runs(5)] == [run_id]


async def test_the_same_app_is_asked_in_this_process(server: Served):
    """Without a socket, records arrive as they happen: the app waits for its reader."""
    from forge.server.app import create_app

    app = create_app(server.hosted, server.config)
    here = Place("http://localhost", local=True)
    async with (
        mounted(app) as transport,
        open_client(lambda: here, print, transport, local=True) as asking,
    ):
        wanted = {
            "message": "```python\nprint('begun', flush=True)\nimport time\ntime.sleep(60)\n```"
        }
        async with asyncio.timeout(30), asking.ask(wanted) as run:
            async for record in run.records:
                if isinstance(record.event, ToolOutput):
                    await asking.stop(run.run_id)
        assert isinstance(record.event, RunFinished)
        assert record.event.status == "cancelled"


async def test_an_upload_reaches_the_machine(server: Served):
    """Its digest is compared on the way; the run reads it."""

    async def content() -> AsyncIterator[bytes]:
        yield b"giv"
        yield b"en\n"

    async with client(server) as asking:
        kept = await asking.files.put("in.txt", content())
        _, records = await asked(
            asking, message="```python\nprint(open('in.txt').read())\n```", files=[kept.id]
        )
    printed = "".join(each.event.text for each in records if isinstance(each.event, ToolOutput))
    assert printed == "given\n\n"


async def test_a_machine_of_its_own_ends_with_its_run(server: Served):
    """A question that nobody goes on from leaves no machine behind; its conversation is kept."""
    async with client(server) as asking:
        async with asking.ask({"message": CODE, "machine": {"own": True}}) as run:
            conversation = run.conversation_id
            assert [record async for record in run.records]
        await server.home.service._engine.wait(run.run_id)
        assert server.home.driver.machines.status(conversation) is None
        assert all(sandbox.stopped for sandbox in server.home.provider.made)
        assert [each.id for each in await asking.talks.list(5)] == [conversation]


async def test_sizes_and_volumes_are_an_admins_to_choose(tmp_path: Path):
    """They are the host's: whoever may only run is refused, and nothing is begun."""
    async with served(tmp_path, single_user=False) as server:
        await server.person("ada", "admin")
        async with client(server, await server.person("bob")) as asking:
            for machine in ({"memory_mib": 2048}, {"volumes": [{"name": "data", "path": "/data"}]}):
                with pytest.raises(NotAllowed):
                    await asked(asking, machine=machine)
            assert await asking.talks.list(5) == []


async def test_caps_that_are_left_out_are_the_settings_own(server: Served):
    """One cap that is named does not lift the others."""
    async with client(server) as asking:
        _, records = await asked(asking, caps={"wall_s": 50})
    assert records[0].event.caps.iterations == 16
    assert records[0].event.caps.wall_s == 50


async def test_what_is_refused_comes_back_as_forges_own_error(server: Served):
    """Its class, its words and its hint; and no conversation is left behind."""
    async with client(server) as asking:
        with pytest.raises(InputRefused, match="nothing asked") as refused:
            await asked(asking, message="  ")
        assert refused.value.hint
        assert await asking.talks.list(5) == []


async def test_the_servers_own_key_lets_its_owner_in_and_no_other_does(tmp_path: Path):
    """Where people log in, whoever may read the server's file is the user of this computer."""
    async with served(tmp_path, single_user=False, owner_key=(key := beacon.new_key())) as server:
        async with client(server, key) as asking:
            run_id, _ = await asked(asking)
            assert run_id
        for wrong in ("", key[:-1], "fgk_nothing"):
            async with client(server, wrong) as asking:
                with pytest.raises(LoginRequired, match="Nobody is logged in") as refused:
                    await asked(asking)
                assert "FORGE_API_KEY" in refused.value.hint


class Cutting(httpx2.AsyncBaseTransport):
    """A network that cuts each stream after so many bytes, a few more each time."""

    def __init__(self, first: int):
        self.inner = httpx2.AsyncHTTPTransport()
        self.left, self.cuts = first, 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self.inner.handle_async_request(request)
        if request.url.path.endswith(("/chat", "/events")):
            response.stream = Cut(response.stream, self)
        return response

    async def aclose(self) -> None:
        await self.inner.aclose()


class Cut(httpx2.AsyncByteStream):
    def __init__(self, inner: Any, owner: Cutting):
        self.inner, self.owner = inner, owner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self.owner.left
        async for piece in self.inner:
            yield piece[:left]
            left -= len(piece)
            if left < 0:
                self.owner.cuts += 1
                self.owner.left += 37
                raise httpx2.ReadError("cut")

    async def aclose(self) -> None:
        await self.inner.aclose()


@pytest.mark.parametrize("first", [700, 1100])
async def test_a_cut_connection_loses_and_repeats_nothing(
    server: Served, monkeypatch: pytest.MonkeyPatch, first: int
):
    """Cut again and again, in the middle of a record too, they are whole and in order."""
    monkeypatch.setattr(follow, "FIRST_WAIT_S", 0.001)
    cutting, place = Cutting(first), Place(server.url)
    async with open_client(lambda: place, print, cutting, local=True) as asking:
        run_id, records = await asked(asking)
    assert cutting.cuts > 2
    assert list(await server.home.service.records(run_id)) == records


# -- servers that are none ---------------------------------------------------------------------

RUN = "run_" + "0" * 26
TALK = "conv_" + "0" * 26


def line(seq: int, *, run: str = RUN, prev: str = "", event: Any = None) -> str:
    body = event or {"type": "notice", "text": "\x1b]0;owned\x07"}
    record = {
        "run_id": run,
        "seq": seq,
        "at": "2026-01-01T00:00:00Z",
        "event": body,
        "prev": prev,
        "hash": f"hash{seq}",
    }
    return f"id: {seq}\ndata: {json.dumps(record)}\n\n"


def accepted(run: str = RUN, talk: str = TALK) -> str:
    body = {"run_id": run, "conversation_id": talk, "message_id": "m", "answer_id": "a"}
    return f"event: accepted\ndata: {json.dumps(body)}\n\n"


@asynccontextmanager
async def liar(answer: Callable[[], AsyncIterator[bytes]], **more: Any) -> AsyncIterator[Client]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(name.encode(), value.encode()) for name, value in more.get("headers", ())]
        await send(
            {"type": "http.response.start", "status": more.get("status", 200), "headers": headers}
        )
        async for piece in answer():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async with (
        mounted(app) as transport,
        open_client(lambda: Place("http://localhost"), print, transport, local=True) as asking,
    ):
        yield asking


@pytest.mark.parametrize(
    "said",
    [
        accepted("../../etc"),
        accepted("run_../../../../../../../../../x"),
        accepted(talk="conv_x"),
        "data: {}\n\n",
        "event: accepted\ndata: [[[\n\n",
        accepted() + line(2),
        accepted() + line(1) + line(1),
        accepted() + line(1) + line(3, prev="hash1"),
        accepted() + line(1) + line(2, prev="other"),
        accepted() + line(1, run="run_" + "1" * 26),
        accepted() + line(1).replace("id: 1", "id: 9"),
        accepted() + line(1, event={"type": "run.exploded"}),
        accepted() + "data: \udcff\n\n".encode("utf-8", "surrogateescape").decode("latin-1"),
    ],
)
async def test_what_is_no_ledger_of_the_run_is_refused(said: str):
    """Wrong ids, gaps, repeats, other runs, events that there are not, bytes that are no text."""

    async def answer() -> AsyncIterator[bytes]:
        yield said.encode()

    async with liar(answer) as asking:
        with pytest.raises(ServerForeign):
            await asked(asking)


@pytest.mark.parametrize("piece", [b"x" * 65536, b"data: " + b"x" * 65536 + b"\n"])
async def test_an_endless_event_is_cut_off(monkeypatch: pytest.MonkeyPatch, piece: bytes):
    """In one line or in many: what is kept of it is bounded."""
    monkeypatch.setattr(Parser.__init__, "__defaults__", (1 << 20,))

    async def answer() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield piece

    async with asyncio.timeout(30), liar(answer) as asking:
        with pytest.raises(ServerForeign, match="more than 1048576 bytes"):
            await asked(asking)


async def test_nothing_is_decompressed():
    """A few bytes could become gigabytes, and nobody asked for it."""

    async def answer() -> AsyncIterator[bytes]:
        yield b"\x1f\x8b"

    async with liar(answer, headers=[("content-encoding", "gzip")]) as asking:
        with pytest.raises(ServerForeign, match="compressed"):
            await asked(asking)


async def test_a_redirect_is_not_followed():
    """The key would go with it."""

    async def answer() -> AsyncIterator[bytes]:
        yield b""

    async with liar(answer, status=302, headers=[("location", "/elsewhere")]) as asking:
        with pytest.raises(ServerForeign):
            await asked(asking)


async def test_a_server_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch):
    """After a bounded time, in words that say what may be true."""
    defaults = follow.Following.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "patience_s", 0.2)
    monkeypatch.setattr(follow, "FIRST_WAIT_S", 0.01)

    async def answer() -> AsyncIterator[bytes]:
        yield (accepted() + line(1)).encode()

    async with asyncio.timeout(30), liar(answer) as asking, asking.ask({"message": "x"}) as run:
        first = await anext(run.records)
        assert first.seq == 1
        with pytest.raises((ServerUnreachable, ServerForeign)):
            await anext(run.records)


async def test_nobody_at_the_address_is_said():
    """The network's reason is in the words."""
    async with open_client(lambda: Place("http://127.0.0.1:9"), print, local=True) as asking:
        with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:9"):
            await asking.runs(1)


@pytest.mark.parametrize("cut", range(1, 60, 7))
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_events_are_the_same_wherever_they_are_cut(cut: int, ending: str):
    """Any line ending, any piece; comments say nothing, several data lines are one text."""
    text = (
        ": hello\nid: 1\nevent: a\ndata: x\ndata: y\n\n:\n\ndata: é\n\nretry: 5\n\ndata: end\n\nx"
    )
    sent = text.replace("\n", ending).encode()
    parser = Parser()
    found = [m for at in range(0, len(sent), cut) for m in parser.feed(sent[at : at + cut])]
    assert found == [
        Message("a", "1", "x\ny"),
        Message("message", "1", "é"),
        Message("message", "1", "end"),
    ]


def test_only_a_living_servers_own_file_is_believed(tmp_path: Path):
    """One that a crash left, that others can read, or that is no file at all, is none."""
    said = beacon.Beacon(url="http://localhost:1", owner="me", key=beacon.new_key())
    assert beacon.place(tmp_path, lambda _: True) is None
    with beacon.lit(tmp_path, said):
        path = tmp_path / "server.json"
        assert path.stat().st_mode & 0o077 == 0
        found = beacon.place(tmp_path, lambda owner: owner == "me")
        assert found == Place(said.url, said.key, local=True)
        assert said.key not in repr(found)
        assert beacon.place(tmp_path, lambda _: False) is None
        path.chmod(0o644)
        assert beacon.place(tmp_path, lambda _: True) is None
        path.chmod(0o600)
        path.write_text("[" * 5000)
        assert beacon.place(tmp_path, lambda _: True) is None
        path.unlink()
        path.symlink_to(tmp_path / "elsewhere")
        assert beacon.place(tmp_path, lambda _: True) is None
        path.unlink()
    with beacon.lit(tmp_path, said):
        pass
    assert not (tmp_path / "server.json").exists()
