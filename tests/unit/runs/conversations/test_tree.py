"""A conversation's tree: which branch is in view, and what was said in the same place."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.errors import ConversationNotFound
from forge.ids import ConversationId, MessageId, new_message_id
from forge.runs.conversations.tree import Message, branch, siblings, tip
from forge.testing.clock import FakeClock

CONVERSATION = ConversationId("conv_1")


def grown(parents: list[int]) -> list[Message]:
    """Messages of which each follows one said before it, or none (-1)."""
    clock, said = FakeClock(), []
    for number, parent in enumerate(parents):
        clock.advance(1)
        before = said[parent % number] if number and parent >= 0 else None
        role = "assistant" if before and before.role == "user" else "user"
        said.append(
            Message(
                new_message_id(clock.now()),
                CONVERSATION,
                before.id if before else None,
                role,
                clock.now(),
                str(number),
                None,
            )
        )
    return said


@given(st.lists(st.integers(-1, 50), min_size=1, max_size=50), st.integers(0, 49))
def test_a_branch_is_the_path_to_its_head(parents: list[int], at: int):
    """It begins with a first message, each follows the one before, and it ends with the head."""
    said = grown(parents)
    head = said[at % len(said)]
    path = branch(said, head.id)
    assert path[-1] == head
    assert path[0].parent_id is None
    assert all(after.parent_id == before.id for before, after in itertools.pairwise(path))


@given(st.lists(st.integers(-1, 50), min_size=1, max_size=50))
def test_siblings_are_what_was_said_in_one_place(parents: list[int]):
    """Each is among its own, and all of them name the same list in the order they were said."""
    said = grown(parents)
    places = siblings(said)
    assert set(places) == {each.id for each in said}
    for each in said:
        assert each.id in places[each.id]
        assert list(places[each.id]) == sorted(places[each.id])
        assert all(places[other] == places[each.id] for other in places[each.id])


@given(st.lists(st.integers(-1, 50), min_size=1, max_size=50), st.integers(0, 49))
def test_the_tip_is_below_the_message_and_nothing_follows_it(parents: list[int], at: int):
    """Putting a branch in view leads to its end."""
    said = grown(parents)
    start = said[at % len(said)]
    end = tip(said, start.id)
    assert start in branch(said, end)
    assert all(each.parent_id != end for each in said)


def test_no_head_is_no_branch():
    """A conversation in which nothing was said."""
    assert branch([], None) == ()


def test_a_head_or_parent_that_is_not_there_is_said_so():
    """A head of another conversation, or rows that were tampered with."""
    said = grown([-1, 0, 1])
    with pytest.raises(ConversationNotFound):
        branch(said, MessageId("msg_elsewhere"))
    with pytest.raises(ConversationNotFound):
        branch(said[1:], said[2].id)


def test_a_circle_of_parents_ends():
    """Rows that a person with the file in hand could write."""
    first, second = grown([-1, 0])
    with pytest.raises(ConversationNotFound):
        branch([first._replace(parent_id=second.id), second], second.id)
