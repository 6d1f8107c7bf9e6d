"""Machines: what this server can do, and a conversation's own: its life, its use, its ports."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel

from forge.accounts.principal import Principal
from forge.ids import ConversationId
from forge.sandbox.base import Probe
from forge.server.auth import may
from forge.server.idempotency import Once
from forge.server.state import State, machine_of, preferred_of, state_of

router = APIRouter(prefix="/api/sandbox", tags=["sandbox"], route_class=Once)


class Tried(BaseModel):
    """An accelerator that was tried, and why it works or does not."""

    accelerator: str
    works: bool
    reason: str
    duration_ms: float


class Warm(BaseModel):
    """How many machines of a template are warm, ready in milliseconds."""

    template: str
    ready: int


class Pool(BaseModel):
    """The warm machines: how many of each kind are kept at most, and those there are."""

    keep: int
    ready: list[Warm]


class Ability(BaseModel):
    """What machines this server makes. `accelerator` is the best that booted a guest, null where
    none did, and `why` says so in words; `template` is what machines are made from unless another
    is asked for; `pool` is null where none is kept warm.
    """

    provider: str
    accelerator: str | None
    why: str
    attempts: list[Tried]
    version: str
    cached: bool
    template: str
    pool: Pool | None


class Usage(BaseModel):
    """What a machine uses, as the host measures it: the machine itself is not asked, nor woken.
    `cpu_percent` is of one processor since the reading before; memory is 0 while it is paused.
    """

    state: str
    uptime_s: float
    cpu_seconds: float
    cpu_percent: float
    memory_rss_bytes: int
    memory_pss_bytes: int
    memory_private_bytes: int
    memory_limit_bytes: int
    disk_used_bytes: int
    disk_limit_bytes: int
    sent_bytes: int
    received_bytes: int


METRICS = tuple(name for name in Usage.model_fields if name != "state")


class MachineLine(BaseModel):
    """A conversation's machine; `state` is `none` where it has none now."""

    conversation_id: ConversationId
    id: str | None
    state: str
    template: str | None


class PortLine(BaseModel):
    """A port something in the machine listens on."""

    port: int
    address: str


class Ports(BaseModel):
    """The ports that something listens on."""

    items: list[PortLine]


@router.get("")
async def status(
    state: Annotated[State, state_of], _: Annotated[Principal, may("read")]
) -> Ability:
    """What this server can do, as it was last found out."""
    return _ability(state, await state.provider.probe())


@router.post("/probe")
async def probe(state: Annotated[State, state_of], _: Annotated[Principal, may("run")]) -> Ability:
    """Find out now: a real guest is booted on each accelerator. Takes up to a minute."""
    return _ability(state, await state.provider.probe(fresh=True))


@router.get("/{conversation_id}")
async def machine(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
) -> MachineLine:
    """The conversation's machine."""
    await state.conversations.get(who.user_id, conversation_id)
    return _line(state, conversation_id)


@router.get("/{conversation_id}/metrics")
async def machine_metrics(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
) -> Usage:
    """What the conversation's machine uses now. Looking does not keep it awake."""
    await state.conversations.get(who.user_id, conversation_id)
    found = await state.machines.metrics(conversation_id)
    line = _line(state, conversation_id)
    return Usage.model_validate(
        {"state": line.state, **{name: getattr(found, name) for name in METRICS}}
    )


@router.post("/{conversation_id}/start")
async def start(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> MachineLine:
    """Make the machine where there is none, or resume it."""
    await machine_of(state, who.user_id, conversation_id)
    return _line(state, conversation_id)


@router.post("/{conversation_id}/restart")
async def restart(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> MachineLine:
    """A new machine in place of this one; what was in it and not kept is lost."""
    await state.conversations.get(who.user_id, conversation_id)
    await preferred_of(state, who.user_id)
    await state.machines.restart(conversation_id)
    return _line(state, conversation_id)


@router.post("/{conversation_id}/pause")
async def pause(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> MachineLine:
    """Save the machine and free its memory; its next use resumes it."""
    await state.conversations.get(who.user_id, conversation_id)
    await state.machines.pause(conversation_id)
    return _line(state, conversation_id)


@router.post("/{conversation_id}/stop")
async def stop(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> MachineLine:
    """End the machine."""
    await state.conversations.get(who.user_id, conversation_id)
    await state.machines.stop(conversation_id)
    return _line(state, conversation_id)


@router.get("/{conversation_id}/ports")
async def list_ports(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
) -> Ports:
    """The ports that something in the machine listens on."""
    sandbox = await machine_of(state, who.user_id, conversation_id)
    found = await sandbox.ports.list()
    return Ports(items=[PortLine(port=each.port, address=each.address) for each in found])


def _ability(state: State, found: Probe) -> Ability:
    keep = state.forge.settings.pool
    warm = state.forge.machines.warm()
    best = next((each for each in found.attempts if each.accelerator == found.accelerator), None)
    reasons = "; ".join(f"{each.accelerator}: {each.reason}" for each in found.attempts)
    return Ability(
        provider=found.provider,
        accelerator=found.accelerator,
        why=best.reason if best else reasons,
        attempts=[Tried.model_validate(each, from_attributes=True) for each in found.attempts],
        version=found.version,
        cached=found.cached,
        template=state.forge.settings.template,
        pool=None
        if warm is None
        else Pool(
            keep=keep, ready=[Warm(template=name, ready=n) for name, n in sorted(warm.items())]
        ),
    )


def _line(state: State, conversation_id: ConversationId) -> MachineLine:
    found = state.machines.status(conversation_id)
    if found is None:
        return MachineLine(conversation_id=conversation_id, id=None, state="none", template=None)
    return MachineLine(
        conversation_id=conversation_id, id=found.id, state=found.state, template=found.template
    )
