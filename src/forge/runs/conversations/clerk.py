"""Notes in conversations what runs came to: the answer in its place, the files among the files.

One task for each run that goes on, owned by the block of `open_clerk`. What a crash kept from being
noted is noted by the next start: noting it twice changes nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from forge.errors import ForgeError, SlowReader
from forge.events import ArtifactSaved, RunFinished
from forge.ids import ConversationId, RunId, UserId
from forge.runs.artifacts import Blobs
from forge.runs.conversations.files import Files, NewFile
from forge.runs.conversations.media import HEAD, media_type
from forge.runs.conversations.store import Conversations
from forge.runs.service import RunService
from forge.tasks import together
from forge.tools.closing import closing

LOG = logging.getLogger(__name__)

NOTED_S = 2.0
"""How long a list waits for what was just made: noting it takes milliseconds."""


class Clerk:
    """Follows runs and writes down what they came to."""

    def __init__(
        self,
        runs: RunService,
        conversations: Conversations,
        files: Files,
        blobs: Blobs,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._runs, self._blobs, self._tasks = runs, blobs, tasks
        self._conversations, self._files = conversations, files
        self._watching: dict[asyncio.Task[None], tuple[RunId, ConversationId]] = {}

    def watch(self, run_id: RunId, user_id: UserId, conversation_id: ConversationId) -> None:
        """Note what this run comes to, as it does."""
        task = self._tasks.create_task(self._note(run_id, user_id, conversation_id))
        self._watching[task] = (run_id, conversation_id)
        task.add_done_callback(self._watching.pop)

    async def noted(self, conversation_id: ConversationId) -> None:
        """Wait until what the runs of a conversation that are over came to is noted: whoever saw
        a run's end finds what it made. Not for long, and not for runs that go on.
        """
        for task, (run_id, where) in tuple(self._watching.items()):
            if where == conversation_id and (await self._runs.find(run_id)).status != "running":
                await asyncio.wait({task}, timeout=NOTED_S)

    def leave(self) -> None:
        """Watch no more; what goes on is noted by whoever comes next."""
        for task in self._watching:
            task.cancel()

    async def catch_up(self) -> None:
        """Watch every run whose answer was not noted yet, or has no place yet."""
        if mended := await self._conversations.mend():
            LOG.info("answers that a crash left without their places: %d", mended)
        for run_id, user_id, conversation_id in await self._conversations.unsettled():
            self.watch(run_id, user_id, conversation_id)

    async def _note(self, run_id: RunId, user_id: UserId, conversation_id: ConversationId) -> None:
        try:
            after: int | None = 0
            while after is not None:
                after = await self._follow(run_id, user_id, conversation_id, after)
        except ForgeError as error:
            LOG.warning("what the run %s came to was not noted: %s", run_id, error.message)

    async def _follow(
        self, run_id: RunId, user_id: UserId, conversation_id: ConversationId, after: int
    ) -> int | None:
        """Where to go on from; None at the run's end."""
        try:
            async with aclosing(self._runs.follow(run_id, after=after)) as records:
                async for record in records:
                    if isinstance(record.event, ArtifactSaved):
                        await self._keep(record.event, run_id, user_id, conversation_id)
                    elif isinstance(record.event, RunFinished):
                        await self._conversations.settle(run_id, record.event.answer)
                    after = record.seq
        except SlowReader:
            return after
        return None

    async def _keep(
        self,
        made: ArtifactSaved,
        run_id: RunId,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> None:
        head = b""
        async with closing(self._blobs.get(made.sha256)) as chunks:
            async for chunk in chunks:
                head += chunk
                if len(head) >= HEAD:
                    break
        kind = media_type(head[:HEAD], made.name)
        await self._files.add_once(
            user_id,
            NewFile("artifact", made.name, made.sha256, made.size, kind, conversation_id, run_id),
        )


@asynccontextmanager
async def open_clerk(
    runs: RunService, conversations: Conversations, files: Files, blobs: Blobs
) -> AsyncIterator[Clerk]:
    """A clerk until the block is left; what goes on then is noted by the next one."""
    async with together() as tasks:
        clerk = Clerk(runs, conversations, files, blobs, tasks)
        try:
            await clerk.catch_up()
            yield clerk
        finally:
            clerk.leave()
