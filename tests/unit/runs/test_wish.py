"""A wish that cannot be carried out is refused in words, before anything is made."""

import hashlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.errors import InputRefused, PathRefused
from forge.events import MachineFact, RunStarted
from forge.runs.artifacts import artifact_name
from forge.runs.wish import RunWish, Upload, check, check_name, kept, machine_of, started_of
from forge.sandbox.base import Limits, SandboxSpec
from forge.sandbox.files import HOME
from forge.sandbox.volumes import VolumeMount
from forge.store.blobs import BlobStore


def upload(name: str, content: bytes = b"x", size: int | None = None) -> Upload:
    async def opened() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(content), 3):
            yield content[start : start + 3]

    return Upload(name, len(content) if size is None else size, opened)


async def test_a_wish_in_order_gives_the_facts_of_its_files(tmp_path: Path):
    """Digest and size are known, and the bytes kept, before the machine is made."""
    blobs = BlobStore(tmp_path)
    (fact,) = await kept(RunWish("go", (upload("ä b.csv", b"1,2,3\n"),)), blobs)
    assert blobs.path(fact.sha256).read_bytes() == b"1,2,3\n"
    assert await kept(RunWish("go", (fact,)), blobs) == (fact,)
    assert fact.model_dump() == {
        "name": "ä b.csv", "size": 6, "sha256": hashlib.sha256(b"1,2,3\n").hexdigest(),
    }  # fmt: skip


@pytest.mark.parametrize("prompt", ["", " \n", "x" * 1_000_001, "a\udcffb"])
async def test_a_prompt_that_says_nothing_or_too_much_is_refused(prompt: str):
    """Empty, huge, and not text."""
    with pytest.raises(InputRefused):
        check(RunWish(prompt))


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../x", "/etc/passwd", "a/b", "a\0b", "a\nb", "\x1b[2J", "x" * 256,
        "x" * 4096, "ä" * 128, "a\udcff", "\u202egnp.exe",
    ],
)  # fmt: skip
async def test_a_name_that_is_not_one_plain_name_is_refused(name: str):
    """Paths, control characters, direction tricks, bytes that are not text, and 4 KB names."""
    with pytest.raises(PathRefused) as raised:
        check(RunWish("go", (upload(name),)))
    assert len(raised.value.message) < 400
    assert raised.value.message.isprintable()


@given(st.text(max_size=300))
def test_a_name_that_passes_stays_in_its_folder(name: str):
    """Whatever is accepted is one component of at most 255 bytes that can be shown."""
    try:
        check_name(name)
    except PathRefused:
        return
    assert "/" not in name
    assert name not in ("", ".", "..")
    assert name.isprintable()
    assert len(name.encode()) <= 255


async def test_files_larger_than_the_disk_are_refused_before_they_are_read():
    """The sizes are added up; nothing is opened."""

    def never() -> AsyncGenerator[bytes, None]:
        raise AssertionError("opened")

    machine = SandboxSpec(limits=Limits(disk_mib=1))
    half = 600_000
    wish = RunWish("go", (Upload("a", half, never), Upload("b", half, never)), machine=machine)
    with pytest.raises(InputRefused, match="1200000 bytes"):
        check(wish)


async def test_two_files_of_one_name_are_refused():
    """The second would silently replace the first."""
    with pytest.raises(InputRefused, match="'a'"):
        check(RunWish("go", (upload("a"), upload("a"))))


@pytest.mark.parametrize("size", [0, 2, 4])
async def test_a_file_that_is_not_as_large_as_it_was_said_is_refused(size: int, tmp_path: Path):
    """It grew or shrank between being named and being read."""
    with pytest.raises(InputRefused, match="changed"):
        await kept(RunWish("go", (upload("a", b"abc", size=size),)), BlobStore(tmp_path))


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", HOME, f"{HOME}/../x", f"{HOME}//x", f"{HOME}/a\nb", f"{HOME}/a\\b",
     f"{HOME}/\udcff", f"{HOME}/" + "x" * 256],
)  # fmt: skip
def test_an_artifact_of_an_unsafe_name_has_none(path: str):
    """What a guest calls its files never leads out of the folder they are copied to."""
    assert artifact_name(path) is None


def test_an_artifact_is_named_as_the_person_would():
    """Relative to the home, folders kept."""
    assert artifact_name(f"{HOME}/out/plot 1.png") == "out/plot 1.png"


def test_a_wish_is_whole_on_the_ledger():
    """Whoever carries the run out makes the same machine from its first event alone."""
    machine = SandboxSpec(
        "mine", Limits(cpus=2), (VolumeMount("data", "/mnt/data", read_only=True),)
    )
    started = started_of(RunWish("go", machine=machine, approve=frozenset({"b", "a"})), "m", ())
    assert machine_of(RunStarted.model_validate_json(started.model_dump_json())) == machine
    assert started.approve == ("a", "b")
    newer = started.model_copy(update={"machine": MachineFact(limits={"cpus": 2, "unknown": 1})})
    assert machine_of(newer).limits == Limits(cpus=2)


def test_a_machine_with_variables_of_its_own_is_refused():
    """They may be secrets, and a ledger is no place for them."""
    with pytest.raises(InputRefused, match="variables"):
        check(RunWish("go", machine=SandboxSpec(env={"KEY": "x"})))
