"""Ask: one request starts a run and answers with what happens in it, as it happens."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from forge.accounts.principal import Principal
from forge.agent.router import Wanted
from forge.errors import NotAllowed
from forge.events import Caps, FileFact
from forge.ids import ConversationId, FileId, MessageId
from forge.runs.conversations.tree import Conversation, branch
from forge.runs.wish import LONGEST_PROMPT, RunWish, check
from forge.sandbox.base import SandboxSpec
from forge.sandbox.volumes import VolumeMount
from forge.server.auth import may
from forge.server.beginning import Accepted, before, begun, told
from forge.server.idempotency import Once
from forge.server.state import State, preferred_of, state_of
from forge.server.streams import EventStream

router = APIRouter(prefix="/api", tags=["chat"], route_class=Once)

SIZES = ("memory_mib", "disk_mib", "processes", "cpus")


class WantedVolume(BaseModel):
    """A volume for the machine, and where it has it."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=63)
    path: str = Field(min_length=1, max_length=4096)
    read_only: bool = False


class WantedMachine(BaseModel):
    """The machine to do it in. `template` is a template's name or a snapshot's; the sizes (MiB but
    for counts) and `volumes` are an admin's to choose: they are the host's, not one person's.
    With `own` the machine ends with the run, else the conversation keeps it.
    """

    model_config = ConfigDict(extra="forbid")

    template: str = Field("", max_length=100)
    memory_mib: int | None = Field(None, ge=256, le=65536)
    disk_mib: int | None = Field(None, ge=64, le=65536)
    processes: int | None = Field(None, ge=16, le=32768)
    cpus: int | None = Field(None, ge=1, le=256)
    volumes: list[WantedVolume] = Field(default_factory=list, max_length=4)
    own: bool = False


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
    machine: WantedMachine = Field(default_factory=WantedMachine)


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
    async with state.allowance.run(who.user_id):
        return await _begun(request, state, who, wanted)


async def _begun(request: Request, state: State, who: Principal, wanted: Ask) -> Accepted:
    wish = await _wish(state, who, wanted)
    check(wish)
    conversation = await _conversation(state, who, wanted)
    await state.files.place(who.user_id, wanted.files, conversation.id)
    parent = _parent(conversation, wanted)
    said = await state.conversations.messages(who.user_id, conversation.id)
    path = branch(said, parent)
    asked = await state.conversations.ask(who.user_id, conversation.id, wanted.message, parent)
    wish = replace(
        wish,
        conversation_id=conversation.id,
        message_id=asked.id,
        earlier=tuple(each.run_id for each in path if each.run_id is not None),
    )
    return await begun(request, state, who, wish, (conversation.id, asked.id))


async def _wish(state: State, who: Principal, wanted: Ask) -> RunWish:
    """What is asked, before it has its place in a conversation."""
    given = [await state.files.get(who.user_id, each) for each in wanted.files]
    preferred = await preferred_of(state, who.user_id)
    caps = (
        {}
        if wanted.caps is None
        else {name: getattr(wanted.caps, name) for name in wanted.caps.model_fields_set}
    )
    return RunWish(
        prompt=wanted.message,
        files=tuple(FileFact(name=each.name, size=each.size, sha256=each.sha256) for each in given),
        caps=preferred.caps(state.forge.settings.caps).model_copy(update=caps),
        machine=await _machine(state, who, wanted.machine, preferred.template or ""),
        own_machine=wanted.machine.own,
        model=wanted.model or preferred.model or "",
        small_model=preferred.small_model or "",
        route=wanted.route or "",
        approve=frozenset(wanted.approve) | frozenset(preferred.approve or ()),
    )


async def _machine(
    state: State, who: Principal, wanted: WantedMachine, preferred: str
) -> SandboxSpec:
    """The machine to do it in.

    Raises:
        NotAllowed: a size or a volume is asked for by someone who is no admin.
        NameUnknown, ImageMissing: there is no such template.
    """
    sizes = {name: size for name in SIZES if (size := getattr(wanted, name)) is not None}
    if (sizes or wanted.volumes) and not who.may("admin"):
        raise NotAllowed("The sizes and volumes of a machine need the scope 'admin'.")
    spec = await state.spec(wanted.template or preferred)
    return replace(
        spec,
        limits=replace(spec.limits, **sizes),
        volumes=tuple(VolumeMount(each.name, each.path, each.read_only) for each in wanted.volumes),
    )


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
