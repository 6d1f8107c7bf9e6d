"""What people and the server prefer, and secrets, which go in and never come out."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from forge.accounts.preferences import SERVER, Preferences, place_of
from forge.accounts.principal import Principal
from forge.server.auth import may
from forge.server.state import State, state_of

router = APIRouter(prefix="/api", tags=["settings"])

SecretName = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class Enforced(BaseModel):
    """What holds, whatever is preferred: which provider makes the machines and where, and what
    their programs reach: no network but the ports that people open into them.
    """

    provider: str
    place: Literal["local", "remote"]
    egress: Literal["none"] = "none"


class UsualModel(BaseModel):
    """The model that answers where nobody names one, as `provider:model`, and who chose it."""

    name: str
    why: str


class MySettings(BaseModel):
    """One's own settings, what counts with the server's below them, and what holds anyhow."""

    own: Preferences
    counts: Preferences
    enforced: Enforced
    model: UsualModel


class NewSecret(BaseModel):
    """A secret to keep."""

    model_config = ConfigDict(extra="forbid")

    value: str = Field(min_length=1, max_length=65_536)


class SecretNames(BaseModel):
    """Which secrets are kept; never what they are."""

    items: list[str]


@router.get("/settings")
async def my_settings(
    state: Annotated[State, state_of], who: Annotated[Principal, may("read")]
) -> MySettings:
    """One's own settings."""
    counts, usual = await state.preferences.of(who.user_id), state.forge.model
    if counts.model is not None:
        model = UsualModel(name=counts.model, why="chosen in the settings")
    else:
        model = UsualModel(name=usual.name, why=usual.why)
    return MySettings(
        own=await state.preferences.read(who.user_id),
        counts=counts,
        enforced=Enforced(provider=state.provider.name, place=place_of(state.provider.name)),
        model=model,
    )


@router.patch("/settings")
async def change_settings(
    wanted: Preferences,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("write")],
) -> MySettings:
    """Set what is named; null unsets it."""
    wanted.check_kept()
    await state.preferences.change(who.user_id, wanted)
    return await my_settings(state, who)


@router.get("/settings/secrets")
async def my_secrets(
    state: Annotated[State, state_of], who: Annotated[Principal, may("read")]
) -> SecretNames:
    """The names of one's own secrets."""
    return SecretNames(items=list(await state.vault.names(who.user_id)))


@router.put("/settings/secrets/{name}", status_code=204)
async def put_secret(
    name: SecretName,
    wanted: NewSecret,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("write")],
) -> None:
    """Keep a secret in place of the one before."""
    await state.vault.put(who.user_id, name, wanted.value)


@router.delete("/settings/secrets/{name}", status_code=204)
async def remove_secret(
    name: SecretName,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("write")],
) -> None:
    """Forget a secret."""
    await state.vault.remove(who.user_id, name)


@router.get("/admin/settings")
async def server_settings(
    state: Annotated[State, state_of], _: Annotated[Principal, may("admin")]
) -> Preferences:
    """What counts for everybody who has not set it themselves."""
    return await state.preferences.read(SERVER)


@router.patch("/admin/settings")
async def change_server_settings(
    wanted: Preferences,
    state: Annotated[State, state_of],
    _: Annotated[Principal, may("admin")],
) -> Preferences:
    """Set what is named for everybody; null unsets it."""
    wanted.check_kept()
    return await state.preferences.change(SERVER, wanted)
