"""An owner is a process, not a number: a later process with the same number is another."""

import asyncio
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.runs.owner import is_alive, start_field, this_process


def test_this_process_is_alive():
    """What we are called is alive as long as we are."""
    assert is_alive(this_process())


@pytest.mark.parametrize("part", [0, 1, 2])
def test_an_owner_of_another_boot_process_or_start_is_not(part: int):
    """Each part counts."""
    parts = this_process().split(":")
    parts[part] = "4194305" if part == 1 else f"{parts[part]}0"
    assert not is_alive(":".join(parts))


async def test_a_process_that_ended_is_not_alive():
    """A child's name is alive while it runs and not after."""
    program = "from forge.runs.owner import this_process; print(this_process()); input()"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    owner = (await child.stdout.readline()).decode().strip()
    assert is_alive(owner)
    child.kill()
    await child.communicate()
    assert not is_alive(owner)


@given(st.text(max_size=30))
def test_no_text_breaks_it(text: str):
    """What is no owner's name is not alive."""
    assert not is_alive(text)


def test_a_program_may_be_called_anything():
    """A name with spaces and brackets does not shift the fields."""
    fields = " ".join(str(number) for number in range(4, 53))
    assert start_field(f"12 (a) b) R) S {fields}") == "22"
