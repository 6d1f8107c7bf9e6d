"""Begin a run in a conversation, and tell whoever asked where everything is."""

from fastapi import Request
from pydantic import BaseModel

from forge.accounts.principal import Principal
from forge.ids import ConversationId, MessageId, RunId
from forge.runs.wish import RunWish
from forge.server.state import State
from forge.server.streams import EventStream, event


class Accepted(BaseModel):
    """The first event of the stream: where everything is from now on."""

    run_id: RunId
    conversation_id: ConversationId
    message_id: MessageId
    answer_id: MessageId


def before(request: Request) -> Accepted | None:
    """What the same request began when it was sent before (`idempotency`)."""
    earlier = getattr(request.state, "stream_again", None)
    return None if earlier is None else Accepted.model_validate_json(earlier)


async def begun(
    request: Request,
    state: State,
    who: Principal,
    wish: RunWish,
    place: tuple[ConversationId, MessageId],
) -> Accepted:
    """Submit a run whose answer belongs below a message of a conversation.

    Raises:
        ForgeError: as in `forge.runs.service.RunService.submit`.
    """
    conversation_id, message_id = place
    run_id = await state.runs.submit(wish, user_id=who.user_id)
    answer = await state.conversations.answer(conversation_id, message_id, run_id)
    state.hosted.clerk.watch(run_id, who.user_id, conversation_id)
    state.measures.runs.inc()
    accepted = Accepted(
        run_id=run_id,
        conversation_id=conversation_id,
        message_id=message_id,
        answer_id=answer.id,
    )
    request.state.stream_of = accepted.model_dump_json()
    return accepted


def told(accepted: Accepted, state: State) -> EventStream:
    """The stream of a run that was begun: where it is, then its ledger."""
    first = event("accepted", accepted.model_dump_json())
    return EventStream(state, accepted.run_id, 0, first)
