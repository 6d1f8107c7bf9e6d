"""What a crash left between a run and its answer, and who mends it."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from forge.clock import SystemClock
from forge.ids import ConversationId
from forge.runs.conversations.clerk import open_clerk
from forge.runs.conversations.files import Files
from forge.runs.conversations.mending import unanswered
from forge.runs.conversations.store import Conversations
from forge.store.database import Database
from forge.store.tables import CONVERSATIONS, MESSAGES
from running import house

pytestmark = pytest.mark.usefixtures("either_database")

TESTS = Path(__file__).parents[3]


async def messages(database: Database):
    async with database.reading() as connection:
        return (await connection.execute(select(MESSAGES).order_by(MESSAGES.c.id))).all()


async def killed_between(folder: Path) -> None:
    """Have a server killed when it has begun a run and not placed its answer."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "dying.py", str(folder), cwd=TESTS
    )
    assert await program.wait() == -signal.SIGKILL


async def test_an_answer_without_its_place_gets_it_at_the_next_start(tmp_path: Path):
    """The run goes on, its answer is where it belongs, once, and the conversation can go on."""
    await killed_between(tmp_path)
    async with house(tmp_path) as home:
        (asked,) = await messages(home.database)
        (resumed,), _ = await home.service.recover(resume=True)
        talks = Conversations(home.database, SystemClock())
        async with open_clerk(
            home.service, talks, Files(home.database, SystemClock()), home.blobs
        ) as clerk:
            async for _ in home.service.follow(resumed):
                pass
            await clerk.noted(ConversationId(asked.conversation_id))
        first, answer = await messages(home.database)
        assert first == asked
        assert (answer.role, answer.run_id, answer.parent_id) == ("assistant", resumed, asked.id)
        assert "offline mode" in answer.text
        async with home.database.reading() as connection:
            head = await connection.scalar(select(CONVERSATIONS.c.head_id))
        assert head == answer.id
        assert await talks.mend() == 0


async def test_what_was_deleted_meanwhile_stays_deleted(tmp_path: Path):
    """A run whose conversation or message is gone is no run that lacks an answer."""
    await killed_between(tmp_path)
    async with house(tmp_path) as home:
        assert len(await unanswered(home.database)) == 1
        async with home.database.writing() as connection:
            await connection.execute(delete(MESSAGES))
        assert await unanswered(home.database) == ()


async def test_an_answer_is_placed_once(tmp_path: Path):
    """Whoever mends while a server is about to place it does no harm."""
    await killed_between(tmp_path)
    async with house(tmp_path) as home:
        ((run_id, conversation_id, message_id),) = await unanswered(home.database)
        talks = Conversations(home.database, SystemClock())
        async with asyncio.TaskGroup() as group:
            both = [
                group.create_task(talks.answer(conversation_id, message_id, run_id))
                for _ in range(2)
            ]
        assert both[0].result() == both[1].result()
        assert len(await messages(home.database)) == 2
