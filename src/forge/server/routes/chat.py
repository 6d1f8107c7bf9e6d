"""Ask: one request starts a run and answers with what happens in it, as it happens."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from forge.accounts.principal import Principal
from forge.agent.router import Wanted
from forge.events import Caps, FileFact
from forge.ids import ConversationId, FileId, MessageId
from forge.runs.conversations.tree import Conversation, branch
from forge.runs.wish import LONGEST_PROMPT, RunWish
from forge.server.auth import may
from forge.server.beginning import Accepted, before, begun, told
from forge.server.idempotency import Once
from forge.server.state import State, state_of
from forge.server.streams import EventStream

router = APIRouter(prefix="/api", tags=["chat"], route_class=Once)


class Ask(BaseModel):
    """What is asked, where, and under which limits; what is left out is as the settings say.

    Without `conversation_id` it begins a conversation. `parent_id` is the answer that it follows;
    left out, the head of the branch in view; null with an id, the beginning: an edited first
    message. `files` are uploads. `route` is the way it is answered.
    """

    model_config = ConfigDict(extra="forbid")

    message: str = Field(min_length=1, max_length=LONGEST_PROMPT)
    conversation_id: ConversationId | None = None
    parent_id: MessageId | None = None
    model: str = Field("", max_length=200)
    caps: Caps | None = None
    files: list[FileId] = Field(default_factory=list, max_length=100)
    approve: list[str] = Field(default_factory=list, max_length=50)
    route: Wanted | None = None


async def _accepted(
    wanted: Ask,
    request: Request,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> Accepted:
    """Begin the run, unless the same request did. Everything that may be refused is refused here,
    before the stream begins.
    """
    if (earlier := before(request)) is not None:
        return earlier
    conversation = await _conversation(state, who, wanted)
    parent = _parent(conversation, wanted)
    said = await state.conversations.messages(who.user_id, conversation.id)
    path = branch(said, parent)
    given = [await state.files.get(who.user_id, each) for each in wanted.files]
    preferred = await state.preferences.of(who.user_id)
    asked = await state.conversations.ask(who.user_id, conversation.id, wanted.message, parent)
    wish = RunWish(
        prompt=wanted.message,
        files=tuple(FileFact(name=each.name, size=each.size, sha256=each.sha256) for each in given),
        caps=wanted.caps or state.forge.settings.caps,
        machine=await state.spec(preferred.template or ""),
        model=wanted.model or preferred.model or "",
        route=wanted.route or "",
        approve=frozenset(wanted.approve) | frozenset(preferred.approve or ()),
        conversation_id=conversation.id,
        message_id=asked.id,
        earlier=tuple(each.run_id for each in path if each.run_id is not None),
    )
    return await begun(request, state, who, wish, (conversation.id, asked.id))


@router.post("/chat", response_class=EventStream)
async def ask(
    accepted: Annotated[Accepted, Depends(_accepted)], state: Annotated[State, state_of]
) -> Response:
    """Start a run and follow it. Leaving does not end it: follow it again at its own address.

    The first event, `accepted`, says where; the others are the run's ledger, each with its number
    as `id`.
    """
    return told(accepted, state)


async def _conversation(state: State, who: Principal, wanted: Ask) -> Conversation:
    if wanted.conversation_id is None:
        return await state.conversations.create(who.user_id)
    return await state.conversations.get(who.user_id, wanted.conversation_id)


def _parent(conversation: Conversation, wanted: Ask) -> MessageId | None:
    if "parent_id" in wanted.model_fields_set:
        return wanted.parent_id
    return conversation.head_id
