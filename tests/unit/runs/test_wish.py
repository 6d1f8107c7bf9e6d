"""A wish that cannot be carried out is refused in words, before anything is made."""

import hashlib
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.errors import InputRefused, PathRefused
from forge.runs.artifacts import artifact_name
from forge.runs.wish import RunWish, Upload, check_name, checked
from forge.sandbox.base import Limits, SandboxSpec
from forge.sandbox.files import HOME


def upload(name: str, content: bytes = b"x", size: int | None = None) -> Upload:
    async def opened() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(content), 3):
            yield content[start : start + 3]

    return Upload(name, len(content) if size is None else size, opened)


async def test_a_wish_in_order_gives_the_facts_of_its_files():
    """Digest and size are known before the machine is made."""
    (fact,) = await checked(RunWish("go", (upload("ä b.csv", b"1,2,3\n"),)))
    assert fact.model_dump() == {
        "name": "ä b.csv", "size": 6, "sha256": hashlib.sha256(b"1,2,3\n").hexdigest(),
    }  # fmt: skip


@pytest.mark.parametrize("prompt", ["", " \n", "x" * 1_000_001, "a\udcffb"])
async def test_a_prompt_that_says_nothing_or_too_much_is_refused(prompt: str):
    """Empty, huge, and not text."""
    with pytest.raises(InputRefused):
        await checked(RunWish(prompt))


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
        await checked(RunWish("go", (upload(name),)))
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
        await checked(wish)


async def test_two_files_of_one_name_are_refused():
    """The second would silently replace the first."""
    with pytest.raises(InputRefused, match="'a'"):
        await checked(RunWish("go", (upload("a"), upload("a"))))


@pytest.mark.parametrize("size", [0, 2, 4])
async def test_a_file_that_is_not_as_large_as_it_was_said_is_refused(size: int):
    """It grew or shrank between being named and being read."""
    with pytest.raises(InputRefused, match="changed"):
        await checked(RunWish("go", (upload("a", b"abc", size=size),)))


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
