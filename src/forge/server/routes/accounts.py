"""Come in, leave, one's own logins and keys, and what admins do with accounts."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from forge.accounts.principal import Principal, Role, Scope
from forge.accounts.service import NewUser
from forge.ids import UserId
from forge.server.auth import may
from forge.server.doors import origin_of
from forge.server.idempotency import Once
from forge.server.state import State, state_of

router = APIRouter(prefix="/api", tags=["accounts"], route_class=Once)

Text = Annotated[str, Field(max_length=2_000)]


class SignUp(BaseModel):
    """What somebody who comes in says. `invite` is the token of an invitation."""

    model_config = ConfigDict(extra="forbid")

    email: Text
    name: Text
    password: Text
    invite: Text = ""


class LogIn(BaseModel):
    """Who says so, and the proof."""

    model_config = ConfigDict(extra="forbid")

    email: Text
    password: Text


class NewPassword(BaseModel):
    """The old password, and the one that takes its place."""

    model_config = ConfigDict(extra="forbid")

    old: Text
    new: Text


class NewKey(BaseModel):
    """What a key is called, may do, and when it ends (never, where that is left out)."""

    model_config = ConfigDict(extra="forbid")

    name: Text
    scopes: list[Scope] = Field(max_length=10)
    expires_at: datetime | None = None


class NewInvite(BaseModel):
    """Whom the invitation makes."""

    model_config = ConfigDict(extra="forbid")

    role: Role = "user"


class Me(BaseModel):
    """Who asks. `via` says how that is known: in single-user mode nobody logs in."""

    id: UserId
    name: str
    email: str | None
    role: Role
    via: Literal["local", "session", "key", "token"]
    scopes: list[Scope]


class SessionLine(BaseModel):
    """A login. Times are UTC."""

    id: str
    created_at: datetime
    used_at: datetime
    address: str
    agent: str


class KeyLine(BaseModel):
    """A key; `hint` is how it begins. Times are UTC."""

    id: str
    name: str
    hint: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked: bool


class MadeKey(KeyLine):
    """A fresh key. `key` is its text, shown this once."""

    key: str


class MadeInvite(BaseModel):
    """A one-time link, shown this once."""

    url: str


class UserLine(BaseModel):
    """Somebody with an account. Times are UTC."""

    id: UserId
    created_at: datetime
    name: str
    email: str | None
    role: Role
    disabled: bool


class EventLine(BaseModel):
    """Something that happened to an account. Times are UTC."""

    id: str
    created_at: datetime
    user_id: str | None
    actor_id: str | None
    kind: str
    address: str
    facts: dict[str, str]


class Sessions(BaseModel):
    """One's own logins."""

    items: list[SessionLine]


class Keys(BaseModel):
    """One's own keys."""

    items: list[KeyLine]


class UserPage(BaseModel):
    """Accounts, the oldest first; `next` is the cursor of the page after this one."""

    items: list[UserLine]
    next: str | None


class EventPage(BaseModel):
    """Events, the newest first; `next` is the cursor of the page after this one."""

    items: list[EventLine]
    next: str | None


Limit = Annotated[int, Query(ge=1, le=200)]


@router.post("/auth/sign-up", status_code=204)
async def sign_up(
    wanted: SignUp, request: Request, response: Response, state: Annotated[State, state_of]
) -> None:
    """Make an account and log in."""
    new = NewUser(wanted.email, wanted.name, wanted.password)
    token = await state.accounts.sign_up(new, origin_of(request), wanted.invite)
    state.cookie.give(response, token)


@router.post("/auth/log-in", status_code=204)
async def log_in(
    wanted: LogIn, request: Request, response: Response, state: Annotated[State, state_of]
) -> None:
    """Log in with a password."""
    token = await state.accounts.log_in(wanted.email, wanted.password, origin_of(request))
    state.cookie.give(response, token)


@router.post("/auth/log-out", status_code=204)
async def log_out(
    request: Request,
    response: Response,
    state: Annotated[State, state_of],
    _: Annotated[Principal, may("read")],
) -> None:
    """End this login."""
    await state.accounts.log_out(state.cookie.read(request), origin_of(request))
    state.cookie.take(response)


@router.post("/auth/log-out-everywhere", status_code=204)
async def log_out_everywhere(
    request: Request,
    response: Response,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("write")],
) -> None:
    """End every login of one's own, this one too."""
    await state.care.log_out_everywhere(who, origin_of(request))
    state.cookie.take(response)


@router.get("/me")
async def me(state: Annotated[State, state_of], who: Annotated[Principal, may("read")]) -> Me:
    """Who asks."""
    user = await state.care.user(who.user_id)
    return Me(
        id=user.id,
        name=user.name,
        email=user.email,
        role=user.role,
        via=who.via,
        scopes=sorted(who.scopes),
    )


@router.put("/me/password", status_code=204)
async def change_password(
    wanted: NewPassword,
    request: Request,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("write")],
) -> None:
    """Change one's password; every other login ends."""
    await state.care.change_password(
        who,
        wanted.old,
        wanted.new,
        session=state.cookie.read(request),
        origin=origin_of(request),
    )


@router.get("/me/sessions")
async def list_sessions(
    state: Annotated[State, state_of], who: Annotated[Principal, may("read")]
) -> Sessions:
    """Where one is logged in."""
    found = await state.care.sessions(who)
    return Sessions(
        items=[SessionLine.model_validate(each, from_attributes=True) for each in found]
    )


@router.get("/me/keys")
async def list_keys(
    state: Annotated[State, state_of], who: Annotated[Principal, may("read")]
) -> Keys:
    """One's API keys, without their text."""
    found = await state.care.keys(who)
    return Keys(items=[KeyLine.model_validate(each, from_attributes=True) for each in found])


@router.post("/me/keys", status_code=201)
async def make_key(
    wanted: NewKey,
    request: Request,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("write")],
) -> MadeKey:
    """Make an API key. Its text is shown this once."""
    made, text = await state.care.make_key(
        who, wanted.name, wanted.scopes, wanted.expires_at, origin_of(request)
    )
    return MadeKey(**made._asdict(), key=text)


@router.delete("/me/keys/{key_id}", status_code=204)
async def revoke_key(
    key_id: str,
    request: Request,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("write")],
) -> None:
    """Let a key count no more."""
    await state.care.revoke_key(who, key_id, origin_of(request))


@router.get("/admin/users")
async def list_users(
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("admin")],
    limit: Limit = 50,
    cursor: str | None = None,
) -> UserPage:
    """Everybody with an account."""
    found = await state.care.users(who, limit=limit + 1, after=cursor)
    items = [UserLine.model_validate(each, from_attributes=True) for each in found[:limit]]
    return UserPage(items=items, next=items[-1].id if len(found) > limit else None)


@router.post("/admin/users/{user_id}/disable", status_code=204)
async def disable_user(
    user_id: UserId,
    request: Request,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("admin")],
) -> None:
    """Let somebody in no more, and end all their logins."""
    await state.care.disable(who, user_id, origin_of(request))


@router.post("/admin/users/{user_id}/enable", status_code=204)
async def enable_user(
    user_id: UserId,
    request: Request,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("admin")],
) -> None:
    """Let somebody in again."""
    await state.care.enable(who, user_id, origin_of(request))


@router.post("/admin/invites", status_code=201)
async def invite(
    wanted: NewInvite,
    request: Request,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("admin")],
) -> MadeInvite:
    """Make a one-time link to an account."""
    token = await state.care.invite(who, wanted.role, origin_of(request))
    # Behind the `#`, which no browser sends to a server or as a referrer.
    return MadeInvite(url=f"{state.config.url}/invite#{token}")


@router.get("/admin/events")
async def list_events(
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("admin")],
    limit: Limit = 50,
    cursor: str | None = None,
) -> EventPage:
    """What happened to accounts, the newest first."""
    found = await state.care.events(who, limit=limit + 1, before=cursor)
    items = [EventLine.model_validate(each, from_attributes=True) for each in found[:limit]]
    return EventPage(items=items, next=items[-1].id if len(found) > limit else None)
