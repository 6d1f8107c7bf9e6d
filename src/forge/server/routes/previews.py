"""Previews: what a program in the conversation's machine serves on a port, in a browser.

At its own address for whoever is logged in, and at a signed one for a frame: a page in a cage has
no origin, so its pictures and scripts are asked for without a login.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from forge.accounts.principal import Principal
from forge.ids import ConversationId, UserId
from forge.server.auth import may
from forge.server.idempotency import Once
from forge.server.preview import Bounds, previewed
from forge.server.routes.files import SignedAddress
from forge.server.signing import LONGEST_S
from forge.server.state import State, state_of

router = APIRouter(prefix="/api", tags=["previews"], route_class=Once)

Port = Annotated[int, Path(ge=1, le=65_535)]


@dataclass
class Signed:
    """The parts of a signed address."""

    user_id: str
    conversation_id: ConversationId
    port: Port
    expires: Annotated[int, Path(ge=0, le=10**11)]
    signature: Annotated[str, Path(max_length=64)]
    path: str


@router.post("/sandbox/{conversation_id}/ports/{port}/link", status_code=201)
async def sign_preview(
    conversation_id: ConversationId,
    port: Port,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
    seconds: Annotated[int, Query(ge=1, le=LONGEST_S)] = 3600,
) -> SignedAddress:
    """An address at which whoever has it sees what a port of the machine serves, for a while."""
    await state.conversations.get(who.user_id, conversation_id)
    place = f"/api/preview/{who.user_id}/{conversation_id}/{port}"
    signed = state.signer.signed(place, lifetime_s=seconds)
    expires, signature = (part.partition("=")[2] for part in signed.partition("?")[2].split("&"))
    return SignedAddress(url=f"{state.config.url}{place}/{expires}/{signature}/")


@router.api_route(
    "/sandbox/{conversation_id}/ports/{port}/{path:path}",
    methods=["GET"],
    response_class=Response,
    include_in_schema=False,
)
async def preview(
    conversation_id: ConversationId,
    port: Port,
    path: str,
    request: Request,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> Response:
    """What a port of the machine serves."""
    base = f"/api/sandbox/{conversation_id}/ports/{port}"
    return await _shown(state, who.user_id, conversation_id, request, (port, path, base))


@router.api_route(
    "/preview/{user_id}/{conversation_id}/{port}/{expires}/{signature}/{path:path}",
    methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
    response_class=Response,
    include_in_schema=False,
)
async def signed_preview(
    place: Annotated[Signed, Depends()], request: Request, state: Annotated[State, state_of]
) -> Response:
    """What a port of the machine serves, at a signed address; nobody needs to be logged in."""
    at = f"/api/preview/{place.user_id}/{place.conversation_id}/{place.port}"
    state.signer.check(at, place.expires, place.signature)
    base = f"{at}/{place.expires}/{place.signature}"
    asked = (place.port, place.path, base)
    user_id = UserId(place.user_id)
    answer = await _shown(state, user_id, place.conversation_id, request, asked)
    # The address is the right; a page without an origin is asked as another site.
    answer.headers["Access-Control-Allow-Origin"] = "*"
    return answer


async def _shown(
    state: State,
    user_id: UserId,
    conversation_id: ConversationId,
    request: Request,
    asked: tuple[int, str, str],
) -> Response:
    await state.conversations.get(user_id, conversation_id)
    sandbox = await state.machines.get(conversation_id, await state.spec())
    port, path, base = asked
    bounds = Bounds(state.config.preview_wait_s, state.config.preview_limit)
    return await previewed(sandbox, port, path, request, base, bounds)
