"""Which ways in there are, and the way by another provider.

The browser is sent away and comes back to these two addresses alone; where it goes after that is
the start page, whatever the request says.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel
from starlette.responses import HTMLResponse, RedirectResponse

from forge.accounts.flows import OidcAnswer
from forge.errors import NotFound
from forge.server.doors import FlowCookie, origin_of
from forge.server.state import State, state_of

if TYPE_CHECKING:
    from forge.accounts.oidc import OidcLogin

router = APIRouter(prefix="/api/auth", tags=["accounts"])

_COME_IN = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">'
"""Not a redirect: after one from another site, a browser would leave out a `Strict` cookie."""

Part = Annotated[str, Query(max_length=4096)]


class Elsewhere(BaseModel):
    """Another provider: its name, and where a browser goes to log in there."""

    name: str
    url: str


class Project(BaseModel):
    """A Supabase project whose tokens are taken as `Authorization: Bearer`."""

    url: str


class Ways(BaseModel):
    """How to come in. Where nobody logs in (`single_user`) there are no other ways."""

    single_user: bool
    password: bool
    sign_up: Literal["open", "invite", "closed"]
    oidc: Elsewhere | None
    supabase: Project | None


@router.get("/ways")
async def ways(state: Annotated[State, state_of]) -> Ways:
    """How to come in."""
    single, logins = state.config.single_user, state.logins
    return Ways(
        single_user=single,
        password=not single,
        sign_up=state.config.sign_up,
        oidc=Elsewhere(name=logins.oidc.name, url="/api/auth/oidc/start")
        if logins.oidc and not single
        else None,
        supabase=Project(url=logins.supabase.url) if logins.supabase and not single else None,
    )


@router.get("/oidc/start", status_code=303, response_class=RedirectResponse)
async def start_oidc(state: Annotated[State, state_of]) -> Response:
    """Go to the other provider to log in."""
    started = await _oidc(state).start()
    response = RedirectResponse(started.url, 303)
    FlowCookie(state.config).give(response, started.cookie)
    return response


@router.get("/oidc/callback", response_class=HTMLResponse)
async def finish_oidc(
    request: Request,
    state: Annotated[State, state_of],
    code: Part = "",
    state_: Annotated[str, Query(alias="state", max_length=4096)] = "",
    error: Part = "",
    iss: Part = "",
) -> Response:
    """Come back from there, logged in."""
    flow, origin = FlowCookie(state.config), origin_of(request)
    answer = OidcAnswer(code, state_, error, iss)
    who, claims = await _oidc(state).finish(flow.read(request), answer, origin)
    token = await state.accounts.log_in_as(who, claims, origin)
    response = HTMLResponse(_COME_IN)
    flow.take(response)
    state.cookie.give(response, token)
    return response


def _oidc(state: State) -> "OidcLogin":
    if state.logins.oidc is None or state.config.single_user:
        raise NotFound(
            "There is no other provider to log in at.", hint="/api/auth/ways says how to come in."
        )
    return state.logins.oidc
