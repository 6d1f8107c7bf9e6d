"""Previews: what a program in the conversation's machine serves on a port, in a browser.

At its own address for whoever is logged in, and at a signed one for a frame: a page in a cage has
no origin, so its pictures and scripts are asked for without a login.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response, WebSocket

from forge.accounts.principal import Principal
from forge.errors import NotAllowed
from forge.ids import ConversationId, UserId
from forge.server.auth import admitted, may
from forge.server.idempotency import Once
from forge.server.preview import Bounds, previewed, target_of
from forge.server.preview_socket import Bounds as SocketBounds
from forge.server.preview_socket import relayed
from forge.server.routes.files import SignedAddress
from forge.server.routes.terminal import refusing
from forge.server.signing import LONGEST_S
from forge.server.state import State, machine_of, state_of

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

    def checked(self, state: State) -> str:
        """The part that is signed.

        Raises:
            NotAllowed: it was not signed here, or its time is over.
        """
        at = f"/api/preview/{self.user_id}/{self.conversation_id}/{self.port}"
        state.signer.check(at, self.expires, self.signature)
        return at


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


SHOWN: dict[int | str, dict[str, Any]] = {
    200: {"description": "What the program answered, caged.", "content": {"*/*": {}}},
    "default": {"description": "The program's own status, with its body."},
}


@router.get(
    "/sandbox/{conversation_id}/ports/{port}/{path:path}",
    response_class=Response,
    responses=SHOWN,
)
async def preview(
    conversation_id: ConversationId,
    port: Port,
    path: str,
    request: Request,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> Response:
    """What a port of the machine serves. A WebSocket can be opened at the same address."""
    base = f"/api/sandbox/{conversation_id}/ports/{port}"
    return await _shown(state, who.user_id, conversation_id, request, (port, path, base))


@router.websocket("/sandbox/{conversation_id}/ports/{port}/{path:path}")
async def preview_socket(
    socket: WebSocket,
    conversation_id: ConversationId,
    port: Port,
    path: str,
    state: Annotated[State, state_of],
) -> None:
    """A WebSocket that a port of the machine serves."""
    async with refusing(socket):
        who = await admitted(socket, "run")
        await _relayed(state, socket, who.user_id, conversation_id, (port, path, LONGEST_S))


ADDRESS = "/preview/{user_id}/{conversation_id}/{port}/{expires}/{signature}/{path:path}"


@router.api_route(
    ADDRESS,
    methods=["HEAD", "POST", "PUT", "PATCH", "DELETE"],
    response_class=Response,
    include_in_schema=False,
)
@router.get(ADDRESS, response_class=Response, responses=SHOWN)
async def signed_preview(
    place: Annotated[Signed, Depends()], request: Request, state: Annotated[State, state_of]
) -> Response:
    """What a port of the machine serves, at a signed address; nobody needs to be logged in. HEAD,
    POST, PUT, PATCH, DELETE and WebSockets go there as well.
    """
    at = place.checked(state)
    base = f"{at}/{place.expires}/{place.signature}"
    asked = (place.port, place.path, base)
    user_id = UserId(place.user_id)
    answer = await _shown(state, user_id, place.conversation_id, request, asked)
    # The address is the right; a page without an origin is asked as another site.
    answer.headers["Access-Control-Allow-Origin"] = "*"
    return answer


@router.websocket(ADDRESS)
async def signed_preview_socket(
    place: Annotated[Signed, Depends()], socket: WebSocket, state: Annotated[State, state_of]
) -> None:
    """The same, at a signed address, until that is no longer good."""
    async with refusing(socket):
        place.checked(state)
        left = place.expires - state.hosted.clock.now().timestamp()
        asked = (place.port, place.path, left)
        await _relayed(state, socket, UserId(place.user_id), place.conversation_id, asked)


async def _shown(
    state: State,
    user_id: UserId,
    conversation_id: ConversationId,
    request: Request,
    asked: tuple[int, str, str],
) -> Response:
    if request.headers.get("service-worker") is not None:
        # A page here has no origin to register one for; whoever asks so is none of its pages.
        raise NotAllowed("What a machine serves is no service worker.")
    sandbox = await machine_of(state, user_id, conversation_id)
    port, path, base = asked
    bounds = Bounds(state.config.preview_wait_s, state.config.preview_limit)
    return await previewed(sandbox, port, path, request, base, bounds)


async def _relayed(
    state: State,
    socket: WebSocket,
    user_id: UserId,
    conversation_id: ConversationId,
    asked: tuple[int, str, float],
) -> None:
    sandbox = await machine_of(state, user_id, conversation_id)
    port, path, left_s = asked
    said = state.config
    bounds = SocketBounds(said.preview_wait_s, said.preview_message, said.preview_limit, left_s)
    await relayed(socket, sandbox, port, target_of(path, socket.url.query), bounds)
