"""A guest that lies about its files: sizes, names, kinds, events and archives without end. The host
finds it out by name, keeps its memory, and writes nowhere but where it was told to.
"""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from forge.errors import ArchiveRefused, GuestViolation
from forge.sandbox.agent import files
from forge.sandbox.extract import Limits, extract
from forge.testing.guest import fake_guest, received
from forge_guest.wire import tar
from forge_guest.wire.tar import Entry
from talking import Wired, pieces

FILE = {"path": "/home/user/a", "kind": "file", "size": 1, "mode": 0o644, "modified": 1.0}
NUMBERS = (-1, True, 2**70, 1.5, "7", None, [7])


@asynccontextmanager
async def lying(
    verb: str, *answers: object, forever: bytes | None = None, final: dict | None = None
) -> AsyncIterator[Wired]:
    """A guest that answers one verb with messages and bytes as they are, then for ever the same."""

    async def answer(stream):
        if verb in ("write", "unpack"):
            await received(stream)
        for each in answers:
            if isinstance(each, bytes):
                await stream.send(1, each)
            else:
                await stream.message(each)
        while forever is not None:
            await stream.send(1, forever)
        await stream.message(final or {}, fin=True)

    async with (
        asyncio.timeout(60),
        fake_guest({verb: answer}) as guest,
        asyncio.TaskGroup() as tasks,
    ):
        agent = Wired(guest.fd, lambda _: None)
        tasks.create_task(agent.run())
        try:
            yield agent
        finally:
            agent.close()


@contextmanager
def kept_below(most: int):
    """What happens here takes at most so many bytes of the host's memory."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most


async def read_all(agent: Wired, *, limit: int | None = None) -> int:
    size = 0
    async with aclosing(agent.files.read("a", limit=limit)) as found:
        async for data in found:
            size += len(data)
    return size


async def watch_to_the_end(agent: Wired) -> None:
    async with agent.files.watch(".") as events:
        async for _ in events:
            continue


@pytest.mark.parametrize("size", NUMBERS)
async def test_a_size_that_is_none_is_a_lie(size):
    """What is read has a whole size, said first; what was written or unpacked is counted so."""
    async with lying("read", {"size": size}, b"x") as agent:
        with pytest.raises(GuestViolation):
            await read_all(agent)
    async with lying("write", final={"size": size}) as agent:
        with pytest.raises(GuestViolation):
            await agent.files.write("a", pieces(b"x"))
    async with lying("unpack", final={"count": size}) as agent:
        with pytest.raises(GuestViolation):
            await agent.files.unpack("a", pieces(tar.END))


@pytest.mark.parametrize("size", [0, 2, 2**62])
async def test_a_write_is_as_large_as_what_was_sent(size):
    """A guest that kept less, or more, did not keep the file."""
    async with lying("write", final={"size": size}) as agent:
        with pytest.raises(GuestViolation):
            await agent.files.write("a", pieces(b"x"))
    async with lying("write", final={"size": 1}) as agent:
        assert await agent.files.write("a", pieces(b"x")) == 1


@pytest.mark.parametrize(("said", "limit"), [(1, None), (1, 100), (100, 1), (0, 1)])
async def test_a_file_cannot_hold_more_than_it_says_or_may(said, limit):
    """Neither more than its size nor more than the limit, whatever comes; as much is well."""
    async with lying("read", {"size": said}, forever=b"xx") as agent:
        with kept_below(4 << 20), pytest.raises(GuestViolation):
            await read_all(agent, limit=limit)
    async with lying("read", {"size": said}, b"x") as agent:
        assert await read_all(agent, limit=limit) == 1


async def test_a_file_without_a_size_ends(monkeypatch):
    """One that says it is empty, as those of /proc do, cannot go on for ever."""
    monkeypatch.setattr(files, "_UNSIZED", 1 << 20)
    async with lying("read", {"size": 0}, forever=bytes(60_000)) as agent:
        with kept_below(4 << 20), pytest.raises(GuestViolation):
            await read_all(agent)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("path", "a"), ("path", "../a"), ("path", "/a\0"), ("path", "/" + "a" * 9_000),
        ("path", None), ("kind", "door"), ("kind", None), ("size", -1), ("size", 2**70),
        ("mode", 0o17777), ("mode", -1), ("modified", float("nan")), ("modified", 10**400),
        ("modified", "now"), ("owner", "\x1b[31m"), ("owner", "a" * 65), ("group", 5),
        ("target", 5), ("target", "a\0b"), ("target", "a" * 5_000), ("target_kind", "door"),
        ("metadata", {"UP": "x"}), ("metadata", {"a": 5}), ("metadata", {"a": "x" * 5_000}),
        ("metadata", {f"k{n}": "" for n in range(65)}), ("metadata", []),
    ],
)  # fmt: skip
async def test_an_entry_that_is_none_is_a_lie(key, value):
    """Every field of `stat` and `list` is checked; the honest one passes."""
    for entry, honest in ((FILE, True), (FILE | {key: value}, False)):
        row = json.dumps(entry).encode() + b"\n"
        calls: tuple[tuple[tuple, dict, Callable], ...] = (
            ((), {"entry": entry}, lambda agent: agent.files.stat("a")),
            ((row,), {"count": 1}, lambda agent: agent.files.list(".")),
        )
        for verb, (answers, final, call) in zip(("stat", "list"), calls, strict=True):
            async with lying(verb, *answers, final=final) as agent:
                if honest:
                    assert await call(agent)
                else:
                    with pytest.raises(GuestViolation):
                        await call(agent)


@pytest.mark.parametrize(
    "rows", [b"x", b"{}", b"{}\n", b"[]\n", b"[" * 60_000 + b"\n", b"\n" * 10_002]
)
async def test_a_broken_listing_is_a_lie(rows):
    """No line, no end, no object, no bottom, and more entries than there may be."""
    async with lying("list", rows) as agent:
        with pytest.raises(GuestViolation):
            await agent.files.list(".")


@pytest.mark.parametrize("verb", ["make", "move", "remove"])
@pytest.mark.parametrize("value", [None, 1, "yes", [], {}])
async def test_a_deed_is_done_or_not(verb, value):
    """Neither true nor false is a lie."""
    key = {"make": "made", "move": "moved", "remove": "removed"}[verb]
    async with lying(verb, final={key: value}) as agent:
        with pytest.raises(GuestViolation):
            await getattr(agent.files, verb)(*("ab" if verb == "move" else "a"))


@pytest.mark.parametrize(
    "event",
    [
        b"x\n", b"[]\n", b"{}\n", b'{"kind": "door", "path": "/a", "folder": true}\n',
        b'{"kind": "write", "path": "a", "folder": false}\n',
        b'{"kind": "write", "path": "/a", "folder": 0}\n',
        b'{"kind": "write", "path": "/a", "folder": false, "target": "/b"}\n',
        b'{"kind": "rename", "path": "/a", "folder": false, "target": "b"}\n',
    ],
)  # fmt: skip
async def test_an_event_that_is_none_is_a_lie(event):
    """No object, no kind, no path, and a target where none can be."""
    async with lying("watch", b"\n", event) as agent:
        with pytest.raises(GuestViolation):
            await watch_to_the_end(agent)


async def test_an_event_without_end_is_cut_short():
    """A line that never ends is refused at its limit, not kept."""
    async with lying("watch", b"\n", forever=b"x" * 10_000) as agent:
        with kept_below(4 << 20), pytest.raises(GuestViolation):
            await watch_to_the_end(agent)


async def test_events_that_nobody_takes_wait_in_the_guest():
    """A flood of legal events fills a window, and no more, while the host looks elsewhere."""
    event = b'{"kind": "write", "path": "/a", "folder": false}\n' * 1_000
    async with lying("watch", b"\n", forever=event) as agent:
        with kept_below(4 << 20):
            async with agent.files.watch(".") as events:
                assert (await anext(events)).kind == "write"
                for _ in range(2_000):
                    await asyncio.sleep(0)
                assert (await anext(events)).kind == "write"


def member(name: bytes, kind: str = "file", body: bytes = b"evil", **more) -> bytes:
    """One member of an archive, whatever it says."""
    size = len(body) if kind == "file" else 0
    head = tar.header(Entry(name, kind, **({"size": size} | more)))
    return head + (body + tar.padding(len(body)) if kind == "file" else b"")


ARCHIVES = {
    "above": member(b"../evil"),
    "absolute": member(b"/evil"),
    "above, later": member(b"a/../../evil"),
    "through a symlink": member(b"l", "symlink", target=b".") + member(b"l/evil"),
    "through a file": member(b"f") + member(b"f/evil"),
    "NUL": member(b"a" * 120 + b"\0b"),
    "a part of a kilobyte": member(b"a" * 1_000),
    "larger than the limit": member(b"a", size=2**40),
    "a sparse giant": member(b"a", real_size=2**60, body=tar.sparse_map([(0, 1)]) + b"x"),
    "no archive": b"x" * 4_096,
    "cut off": member(b"a")[:600],
}


def only(folder: Path, *names: str) -> None:
    assert sorted(each.name for each in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize("kind", ARCHIVES)
async def test_no_archive_of_a_guest_is_laid_out_elsewhere(kind, tmp_path: Path):
    """It is refused whole: nothing stays in its place, and nothing beside it."""
    end = b"" if kind == "cut off" else tar.END
    async with lying("pack", ARCHIVES[kind] + end, final={"count": 1, "skipped": 0}) as agent:
        with pytest.raises(ArchiveRefused):
            await extract(agent.files.pack("a"), tmp_path / "out", Limits(1 << 20, 100))
    only(tmp_path)


@pytest.mark.parametrize(
    "forever",
    [
        member(b"a"),
        member(b"d", "directory"),
        member(b"l", "symlink", target=b"a"),
        member(b"h", "hardlink", target=b"a"),
        tar.header(Entry(b"p", "file", skipped=(b"x" * 4_000,) * 5)),
    ],
)
async def test_an_archive_without_end_is_refused(forever, tmp_path: Path):
    """By the count of its entries, with bounded memory; what it made is gone."""
    async with lying("pack", forever=forever) as agent:
        with kept_below(16 << 20), pytest.raises(ArchiveRefused):
            await extract(agent.files.pack("a"), tmp_path / "out", Limits(1 << 20, 1_000))
    only(tmp_path)


async def test_a_file_without_end_in_an_archive_is_refused_before_it_is_written(tmp_path: Path):
    """Its size alone passes the limit; nothing waits for a body that never ends."""
    async with lying("pack", member(b"a", size=2**62), forever=bytes(60_000)) as agent:
        with kept_below(4 << 20), pytest.raises(ArchiveRefused):
            await extract(agent.files.pack("a"), tmp_path / "out")
    only(tmp_path)
