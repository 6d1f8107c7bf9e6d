"""Ask the same again: another answer beside the first, on another model if wanted; and compare."""

import asyncio
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from forge.accounts.principal import Principal
from forge.errors import Conflict, ConversationNotFound
from forge.events import Caps, RunStarted, Totals
from forge.ids import ConversationId, MessageId, RunId
from forge.runs.again import diff, wish_again
from forge.runs.conversations.tree import Message
from forge.runs.wish import RunWish
from forge.server.auth import may
from forge.server.beginning import Accepted, before, begun, told
from forge.server.idempotency import Once
from forge.server.state import State, preferred_of, state_of
from forge.server.streams import EventStream

router = APIRouter(prefix="/api", tags=["again"], route_class=Once)


class Again(BaseModel):
    """What is to be different; what is left out is as it was, but for the model: that is one's
    usual one.
    """

    model_config = ConfigDict(extra="forbid")

    model: str = Field("", max_length=200)
    caps: Caps | None = None


class SideLine(BaseModel):
    """One of two runs; `artifacts` are the names of the files that it made."""

    id: RunId
    model: str
    status: str
    totals: Totals
    artifacts: list[str]


class DiffLine(BaseModel):
    """How a run differs from another: unified diffs of the code that ran, what it
    came to, and the answer.
    `clipped`: one was too long to be compared whole.
    """

    one: SideLine
    other: SideLine
    code: str
    result: str
    answer: str
    clipped: bool


async def _of_run(
    run_id: RunId,
    wanted: Again,
    request: Request,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> Accepted:
    """Begin the run again, as another answer to its message."""
    if (earlier := before(request)) is not None:
        return earlier
    first = await _first(state, who, run_id)
    if first.conversation_id is None or first.message_id is None:
        raise Conflict("This run was asked outside a conversation; ask it as a new message.")
    await _said(state, who, first.conversation_id, first.message_id)
    wish = await _wish(state, who, first, wanted)
    async with state.allowance.run(who.user_id):
        return await begun(request, state, who, wish, (first.conversation_id, first.message_id))


async def _of_message(
    conversation_id: ConversationId,
    message_id: MessageId,
    wanted: Again,
    request: Request,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> Accepted:
    """Begin the last run that answered a message again."""
    if (earlier := before(request)) is not None:
        return earlier
    said = await _said(state, who, conversation_id, message_id)
    runs = [each.run_id for each in said if each.parent_id == message_id and each.run_id]
    if not runs:
        raise Conflict("This is no message that a run has answered.")
    wish = await _wish(state, who, await _first(state, who, runs[-1]), wanted)
    # A forked conversation shows runs of the one that it comes from.
    here = replace(wish, conversation_id=conversation_id, message_id=message_id)
    async with state.allowance.run(who.user_id):
        return await begun(request, state, who, here, (conversation_id, message_id))


async def _first(state: State, who: Principal, run_id: RunId) -> RunStarted:
    first = (await state.runs.records(run_id, user_id=who.user_id))[0].event
    assert isinstance(first, RunStarted)
    return first


async def _said(
    state: State, who: Principal, conversation_id: ConversationId, message_id: MessageId
) -> tuple[Message, ...]:
    said = await state.conversations.messages(who.user_id, conversation_id)
    if not any(each.id == message_id for each in said):
        raise ConversationNotFound(f"There is no message {message_id[:60]!r} in it.")
    return said


async def _wish(state: State, who: Principal, first: RunStarted, wanted: Again) -> RunWish:
    preferred = await preferred_of(state, who.user_id)
    again = wish_again(first, model=wanted.model or preferred.model or "", caps=wanted.caps)
    return replace(again, small_model=preferred.small_model or "")


@router.post("/runs/{run_id}/rerun", response_class=EventStream)
async def rerun(
    accepted: Annotated[Accepted, Depends(_of_run)], state: Annotated[State, state_of]
) -> Response:
    """Ask what this run was asked once more, as another answer to the same message. The machine is
    the conversation's as it is now. The stream is that of a chat.
    """
    return told(accepted, state)


@router.post(
    "/conversations/{conversation_id}/messages/{message_id}/regenerate",
    response_class=EventStream,
)
async def regenerate(
    accepted: Annotated[Accepted, Depends(_of_message)], state: Annotated[State, state_of]
) -> Response:
    """Answer this message of a person's once more, beside the answers that it has."""
    return told(accepted, state)


@router.get("/runs/{run_id}/diff/{other_id}")
async def diff_runs(
    run_id: RunId,
    other_id: RunId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
) -> DiffLine:
    """How the other run differs from this one in cost, code and answer."""
    one = await state.runs.show(run_id, user_id=who.user_id)
    other = await state.runs.show(other_id, user_id=who.user_id)
    # Comparing long texts takes a while, in which others are served.
    found = await asyncio.to_thread(diff, one, other)
    return DiffLine.model_validate(found, from_attributes=True)
