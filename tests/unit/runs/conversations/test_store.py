"""Conversations as they are kept: nobody's but their owner's, and nothing said is lost."""

import pytest
from sqlalchemy import insert, select

from forge.clock import stamp
from forge.errors import Conflict, ConversationNotFound, InputRefused, NotFound
from forge.ids import ConversationId, MessageId, RunId, UserId
from forge.runs.conversations.cursors import cursor_of, place_of
from forge.runs.conversations.shares import Shares
from forge.runs.conversations.store import Conversations
from forge.runs.conversations.tree import branch
from forge.store.database import Database
from forge.store.tables import MESSAGES, SHARES, USERS
from forge.testing.clock import FakeClock

ADA, EVE = UserId("usr_ada"), UserId("usr_eve")


class Desk:
    """Conversations of two people."""

    def __init__(self, database: Database) -> None:
        self.database, self.clock = database, FakeClock()
        self.conversations = Conversations(database, self.clock)
        self.shares = Shares(database, self.clock, self.conversations)

    async def talked(self, *texts: str, user: UserId = ADA) -> ConversationId:
        """A conversation in which each text was answered by a run."""
        conversation = await self.conversations.create(user)
        parent = None
        for number, text in enumerate(texts):
            self.clock.advance(1)
            asked = await self.conversations.ask(user, conversation.id, text, parent)
            self.clock.advance(1)
            run_id = RunId(f"run_{conversation.id}_{number}")
            parent = (await self.conversations.answer(conversation.id, asked.id, run_id)).id
            await self.conversations.settle(run_id, f"re: {text}")
        return conversation.id

    async def said(self, conversation_id: ConversationId, user: UserId = ADA) -> list[str]:
        """What is in view."""
        head = (await self.conversations.get(user, conversation_id)).head_id
        return [
            each.text
            for each in branch(await self.conversations.messages(user, conversation_id), head)
        ]


@pytest.fixture
async def desk(database: Database) -> Desk:
    async with database.writing() as connection:
        for user in (ADA, EVE):
            await connection.execute(
                insert(USERS).values(id=user, created_at="now", name=user, role="user")
            )
    return Desk(database)


async def test_what_was_said_is_in_view_and_titles_itself(desk: Desk):
    """The first message is the title until somebody gives another."""
    conversation = await desk.talked("first\n  message", "second")
    assert await desk.said(conversation) == [
        "first\n  message",
        "re: first\n  message",
        "second",
        "re: second",
    ]
    assert (await desk.conversations.get(ADA, conversation)).title == "first message"
    await desk.conversations.rename(ADA, conversation, " another\ttitle ")
    assert (await desk.conversations.get(ADA, conversation)).title == "another title"
    with pytest.raises(InputRefused):
        await desk.conversations.rename(ADA, conversation, " \n")


async def test_an_edited_message_is_a_sibling_and_the_old_branch_can_be_had_again(desk: Desk):
    """Nothing that was said is overwritten; any message of a branch puts all of it in view."""
    conversation = await desk.talked("first", "second")
    said = await desk.conversations.messages(ADA, conversation)
    head = (await desk.conversations.get(ADA, conversation)).head_id
    await desk.conversations.ask(ADA, conversation, "second, edited", said[1].id)
    assert await desk.said(conversation) == ["first", "re: first", "second, edited"]
    await desk.conversations.set_head(ADA, conversation, said[2].id)
    assert (await desk.said(conversation))[-2:] == ["second", "re: second"]
    assert (await desk.conversations.get(ADA, conversation)).head_id == head


async def test_a_message_follows_an_answer_of_the_same_conversation(desk: Desk):
    """Not a message, not another conversation's, not nothing that exists."""
    one, other = await desk.talked("first"), await desk.talked("elsewhere")
    said = await desk.conversations.messages(ADA, one)
    with pytest.raises(Conflict):
        await desk.conversations.ask(ADA, one, "again", said[0].id)
    foreign = (await desk.conversations.messages(ADA, other))[-1].id
    for parent in (foreign, MessageId("msg_none")):
        with pytest.raises(ConversationNotFound):
            await desk.conversations.ask(ADA, one, "again", parent)
    with pytest.raises(ConversationNotFound):
        await desk.conversations.set_head(ADA, one, foreign)


async def test_a_fork_says_the_same_and_goes_its_own_way(desk: Desk):
    """What is said in either is not in the other."""
    one = await desk.talked("first", "second")
    at = (await desk.conversations.messages(ADA, one))[1].id
    fork = await desk.conversations.fork(ADA, one, at)
    assert fork.forked_from == one
    assert await desk.said(fork.id) == ["first", "re: first"]
    await desk.conversations.ask(ADA, fork.id, "third", fork.head_id)
    assert "third" not in await desk.said(one)
    assert len(await desk.said(one)) == 4


async def test_another_persons_conversation_is_not_there(desk: Desk):
    """Through every question that takes one."""
    mine = await desk.talked("secret")
    head = (await desk.conversations.messages(ADA, mine))[-1].id
    asked = desk.conversations
    for call in (
        asked.get(EVE, mine),
        asked.messages(EVE, mine),
        asked.rename(EVE, mine, "taken"),
        asked.delete(EVE, mine),
        asked.ask(EVE, mine, "hello", head),
        asked.set_head(EVE, mine, head),
        asked.fork(EVE, mine, head),
        desk.shares.share(EVE, mine),
        desk.shares.list(EVE, mine),
        desk.shares.revoke(EVE, mine, "shr_1"),
    ):
        with pytest.raises(ConversationNotFound):
            await call
    assert (await asked.list(EVE, limit=10))[0] == ()
    assert await desk.said(mine) == ["secret", "re: secret"]


async def test_pages_show_each_conversation_once_the_last_used_first(desk: Desk):
    """However many are on a page, and where two were used at the same moment."""
    made = []
    for number in range(7):
        if number % 2:
            desk.clock.advance(1)
        made.append((await desk.conversations.create(ADA, str(number))).id)
    for limit in (1, 2, 3, 7, 10):
        seen, cursor = [], None
        while True:
            page, cursor = await desk.conversations.list(ADA, limit=limit, cursor=cursor)
            seen += [each.id for each in page]
            assert len(page) <= limit
            if cursor is None:
                break
        assert sorted(seen) == sorted(made)
        times = [(await desk.conversations.get(ADA, each)).updated_at for each in seen]
        assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    "cursor", ["", "x", "e30", cursor_of("one"), "é", "[" * 5000, cursor_of("a", "b") + "x"]
)
async def test_a_made_up_cursor_is_refused(desk: Desk, cursor: str):
    """With a reason, never a server error."""
    with pytest.raises(InputRefused):
        await desk.conversations.list(ADA, limit=1, cursor=cursor)


def test_a_cursor_is_the_place_it_was_made_of():
    """Whatever text is in it."""
    assert place_of(cursor_of("a/b+", "ü"), 2) == ("a/b+", "ü")


async def test_a_link_shows_what_was_in_view_until_it_is_revoked(desk: Desk):
    """What is said later is not shown; a guessed token shows nothing; only its hash is kept."""
    mine = await desk.talked("shown")
    link, token = await desk.shares.share(ADA, mine)
    head = (await desk.conversations.get(ADA, mine)).head_id
    await desk.conversations.ask(ADA, mine, "not shown", head)
    _, said = await desk.shares.shown(token)
    assert [each.text for each in said] == ["shown", "re: shown"]
    async with desk.database.reading() as connection:
        assert token not in repr((await connection.execute(select(SHARES))).all())
    with pytest.raises(ConversationNotFound):
        await desk.shares.shown(token[:-1])
    with pytest.raises(NotFound):
        await desk.shares.revoke(ADA, mine, "shr_none")
    await desk.shares.revoke(ADA, mine, link.id)
    assert [each.revoked for each in await desk.shares.list(ADA, mine)] == [True]
    with pytest.raises(ConversationNotFound):
        await desk.shares.shown(token)


async def test_what_is_deleted_is_gone_with_its_links(desk: Desk):
    """Messages and links too."""
    mine = await desk.talked("gone")
    _, token = await desk.shares.share(ADA, mine)
    await desk.conversations.delete(ADA, mine)
    for call in (desk.conversations.get(ADA, mine), desk.shares.shown(token)):
        with pytest.raises(ConversationNotFound):
            await call
    async with desk.database.reading() as connection:
        assert (await connection.execute(select(MESSAGES))).first() is None


async def test_what_no_database_keeps_is_replaced(desk: Desk):
    """NUL and half characters; the rest of the message is there."""
    mine = await desk.talked("a\x00b\ud800c", "d")
    assert (await desk.said(mine))[0] == "a\ufffdb\ufffdc"


async def test_a_full_conversation_takes_no_more(desk: Desk):
    """And says what to do."""
    mine = await desk.talked("first")
    rows = [
        {
            "id": f"msg_{number:06}",
            "conversation_id": mine,
            "parent_id": None,
            "role": "user",
            "created_at": stamp(desk.clock.now()),
            "text": "",
            "run_id": None,
        }
        for number in range(2_000)
    ]
    async with desk.database.writing() as connection:
        await connection.execute(insert(MESSAGES), rows)
    head = (await desk.conversations.get(ADA, mine)).head_id
    with pytest.raises(Conflict):
        await desk.conversations.ask(ADA, mine, "one more", head)


async def test_what_was_said_is_found_where_it_was_said(desk: Desk):
    """In messages, answers and titles; by its owner; until it is removed; a page at a time."""
    one, two = await desk.talked("Plot the whales"), await desk.talked("Count ravens", "and whales")
    await desk.talked("whales of Eve", user=EVE)
    talks = desk.conversations
    found, after = await talks.search(ADA, "whales", limit=10)
    assert {each.id for each, _ in found} == {one, two}
    assert after is None
    assert all("whales" in where.snippet.text for _, where in found)
    first, after = await talks.search(ADA, "whales", limit=1)
    rest, end = await talks.search(ADA, "whales", limit=1, cursor=after)
    assert {each.id for each, _ in (*first, *rest)} == {one, two}
    assert end is None
    await talks.rename(ADA, one, "Orcas")
    ((orca, where),) = (await talks.search(ADA, "orcas", limit=10))[0]
    assert (orca.id, where.message_id) == (one, "")
    copy = await talks.fork(ADA, one)
    assert len((await talks.search(ADA, "orcas", limit=10))[0]) == 2
    await talks.delete(ADA, one)
    await talks.delete(ADA, copy.id)
    assert (await talks.search(ADA, "orcas", limit=10))[0] == ()
    with pytest.raises(InputRefused):
        await talks.search(ADA, "whales", limit=1, cursor=cursor_of("search", "-1"))
