"""Conversations: list, search, read, branch, share and take away."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from forge.accounts.principal import Principal
from forge.errors import ForgeError, NotAllowed
from forge.ids import ConversationId, MessageId, RunId, UserId
from forge.ledger.fold import RunView
from forge.runs.conversations import export
from forge.runs.conversations.tree import Conversation, Message, branch, siblings
from forge.server.auth import may
from forge.server.idempotency import Once
from forge.server.state import State, state_of

router = APIRouter(prefix="/api", tags=["conversations"], route_class=Once)

Title = Annotated[str, Field(max_length=1_000)]

EXPORTS = {
    "json": (export.as_json, "application/json", "json"),
    "markdown": (export.as_markdown, "text/markdown; charset=utf-8", "md"),
    "ipynb": (export.as_notebook, "application/x-ipynb+json", "ipynb"),
}


class NewConversation(BaseModel):
    """A title, if it is known already."""

    model_config = ConfigDict(extra="forbid")

    title: Title = ""


class Changes(BaseModel):
    """What to change: the title, the branch in view, or both."""

    model_config = ConfigDict(extra="forbid")

    title: Title | None = None
    head_id: MessageId | None = None


class ForkAt(BaseModel):
    """Up to which message; the head, where it is left out. `machine`: with a copy of its machine as
    it is now, running programs and all.
    """

    model_config = ConfigDict(extra="forbid")

    head_id: MessageId | None = None
    machine: bool = False


class ConversationLine(BaseModel):
    """A conversation in a list. Times are UTC."""

    id: ConversationId
    title: str
    created_at: datetime
    updated_at: datetime
    head_id: MessageId | None
    forked_from: ConversationId | None


class FoundIn(BaseModel):
    """Where it was said: in a message, or in the title, where `message_id` is null. `marks` are the
    places (start, end) of words in `text`.
    """

    message_id: MessageId | None
    text: str
    marks: list[tuple[int, int]]


class FoundLine(ConversationLine):
    """A conversation in a list; `found` says where, in a search."""

    found: FoundIn | None = None


class MessageLine(BaseModel):
    """What was said. `siblings` are all that were said in its place; times are UTC."""

    id: MessageId
    parent_id: MessageId | None
    role: Literal["user", "assistant"]
    created_at: datetime
    text: str
    run_id: RunId | None
    siblings: list[MessageId]


class Talk(ConversationLine):
    """A conversation with the branch in view."""

    messages: list[MessageLine]


class ConversationPage(BaseModel):
    """Conversations, the last used first, in a search the best; `next` is the cursor of the page
    after this one.
    """

    items: list[FoundLine]
    next: str | None


class ShareLine(BaseModel):
    """A link to a conversation. Times are UTC."""

    id: str
    head_id: MessageId | None
    created_at: datetime
    revoked: bool


class MadeShare(ShareLine):
    """A fresh link, shown this once."""

    url: str


class SharePage(BaseModel):
    """A conversation's links."""

    items: list[ShareLine]


class Shown(BaseModel):
    """What a link shows."""

    title: str
    created_at: datetime
    messages: list[MessageLine]


@router.get("/conversations")
async def list_conversations(
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: str | None = None,
    query: Annotated[str | None, Query(max_length=1_000)] = None,
) -> ConversationPage:
    """One's conversations; with `query`, those in which all its words were said."""
    if query is not None:
        return await _search(state, who, query, limit, cursor)
    page, after = await state.conversations.list(who.user_id, limit=limit, cursor=cursor)
    return ConversationPage(
        items=[FoundLine.model_validate(each, from_attributes=True) for each in page], next=after
    )


@router.post("/conversations", status_code=201)
async def create_conversation(
    wanted: NewConversation,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("write")],
) -> ConversationLine:
    """Begin one. Asking in none begins one too."""
    return _line(await state.conversations.create(who.user_id, wanted.title))


@router.get("/conversations/{conversation_id}")
async def show_conversation(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
) -> Talk:
    """A conversation and the branch in view."""
    found = await state.conversations.get(who.user_id, conversation_id)
    said = await state.conversations.messages(who.user_id, conversation_id)
    return Talk(
        **_line(found).model_dump(),
        messages=_lines(said, await _so_far(state, branch(said, found.head_id), who.user_id)),
    )


@router.patch("/conversations/{conversation_id}")
async def change_conversation(
    conversation_id: ConversationId,
    wanted: Changes,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("write")],
) -> ConversationLine:
    """Rename it, or put another branch in view."""
    if wanted.title is not None:
        await state.conversations.rename(who.user_id, conversation_id, wanted.title)
    if wanted.head_id is not None:
        await state.conversations.set_head(who.user_id, conversation_id, wanted.head_id)
    return _line(await state.conversations.get(who.user_id, conversation_id))


@router.delete("/conversations/{conversation_id}", status_code=204)
async def delete_conversation(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("write")],
) -> None:
    """Remove it with its messages and links. Its runs stay on the ledger."""
    await state.conversations.delete(who.user_id, conversation_id)


@router.post("/conversations/{conversation_id}/fork", status_code=201)
async def fork_conversation(
    conversation_id: ConversationId,
    wanted: ForkAt,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("write")],
) -> ConversationLine:
    """Begin one that has said the same up to a message."""
    if wanted.machine and not who.may("run"):
        raise NotAllowed("A copy of the machine needs the scope 'run'.")
    new = await state.conversations.fork(who.user_id, conversation_id, wanted.head_id)
    if wanted.machine:
        try:
            await state.machines.fork(conversation_id, new.id)
        except ForgeError:
            await state.conversations.delete(who.user_id, new.id)
            raise
    return _line(new)


@router.get("/conversations/{conversation_id}/export", response_class=Response)
async def export_conversation(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
    format: Annotated[Literal["json", "markdown", "ipynb"], Query()] = "json",  # noqa: A002 - the API's word
) -> Response:
    """The branch in view as a file."""
    found = await state.conversations.get(who.user_id, conversation_id)
    said = await state.conversations.messages(who.user_id, conversation_id)
    shown = branch(said, found.head_id)
    write, kind, ending = EXPORTS[format]
    text = write(found, shown, await _runs(state, shown, who.user_id))
    return Response(
        text.encode("utf-8", "replace"),
        media_type=kind,
        headers={"Content-Disposition": f'attachment; filename="{conversation_id}.{ending}"'},
    )


@router.get("/conversations/{conversation_id}/shares")
async def list_shares(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
) -> SharePage:
    """The links to a conversation, without their tokens."""
    found = await state.shares.list(who.user_id, conversation_id)
    return SharePage(items=[ShareLine.model_validate(each, from_attributes=True) for each in found])


@router.post("/conversations/{conversation_id}/shares", status_code=201)
async def share_conversation(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("write")],
) -> MadeShare:
    """Make a link that shows the branch in view, read-only, to whoever has it."""
    made, token = await state.shares.share(who.user_id, conversation_id)
    line = ShareLine.model_validate(made, from_attributes=True)
    return MadeShare(**line.model_dump(), url=f"{state.config.url}/shared#{token}")


@router.delete("/conversations/{conversation_id}/shares/{share_id}", status_code=204)
async def revoke_share(
    conversation_id: ConversationId,
    share_id: str,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("write")],
) -> None:
    """Let a link show nothing any more."""
    await state.shares.revoke(who.user_id, conversation_id, share_id)


@router.get("/shared/{token}")
async def shared(token: str, state: Annotated[State, state_of]) -> Shown:
    """What a link shows; nobody needs to be logged in."""
    conversation, said = await state.shares.shown(token)
    return Shown(
        title=conversation.title,
        created_at=conversation.created_at,
        messages=_lines(said, said),
    )


async def _search(
    state: State, who: Principal, query: str, limit: int, cursor: str | None
) -> ConversationPage:
    found, after = await state.conversations.search(who.user_id, query, limit=limit, cursor=cursor)
    items = [
        FoundLine(
            **each._asdict(),
            found=FoundIn(
                message_id=MessageId(where.message_id) if where.message_id else None,
                text=where.snippet.text,
                marks=list(where.snippet.marks),
            ),
        )
        for each, where in found
    ]
    return ConversationPage(items=items, next=after)


async def _so_far(state: State, said: tuple[Message, ...], user_id: UserId) -> tuple[Message, ...]:
    """What was said, with what runs that go on have said so far."""
    return tuple(
        [
            each._replace(text=(await state.runs.show(each.run_id, user_id=user_id)).answer)
            if each.run_id is not None and not each.text
            else each
            for each in said
        ]
    )


async def _runs(state: State, said: tuple[Message, ...], user_id: UserId) -> dict[RunId, RunView]:
    return {
        each.run_id: await state.runs.show(each.run_id, user_id=user_id)
        for each in said
        if each.run_id is not None
    }


def _line(conversation: Conversation) -> ConversationLine:
    return ConversationLine.model_validate(conversation, from_attributes=True)


def _lines(said: tuple[Message, ...], shown: tuple[Message, ...]) -> list[MessageLine]:
    places = siblings(said)
    return [
        MessageLine(
            id=each.id,
            parent_id=each.parent_id,
            role=each.role,
            created_at=each.created_at,
            text=each.text,
            run_id=each.run_id,
            siblings=list(places[each.id]),
        )
        for each in shown
    ]
