"""Machines: can they run here, and a conversation's own: its files, its terminal, its ports."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from forge.accounts.principal import Principal
from forge.ids import ConversationId
from forge.runs.conversations.media import UNKNOWN
from forge.sandbox.base import Sandbox
from forge.sandbox.files import HOME
from forge.server.auth import may
from forge.server.idempotency import Once
from forge.server.serving import begun, served
from forge.server.state import State, state_of

router = APIRouter(prefix="/api/sandbox", tags=["sandbox"], route_class=Once)

Path = Annotated[str, Query(min_length=1, max_length=4096)]
_MIB = 1 << 20


class MachineLine(BaseModel):
    """A conversation's machine; `state` is `none` where it has none now."""

    conversation_id: ConversationId
    id: str | None
    state: str
    template: str | None


class FileEntry(BaseModel):
    """A file in a machine. `modified` is seconds since 1970."""

    path: str
    kind: str
    size: int
    mode: int
    modified: float
    target: str | None


class Listing(BaseModel):
    """A folder of a machine."""

    path: str
    items: list[FileEntry]


class PortLine(BaseModel):
    """A port something in the machine listens on."""

    port: int
    address: str


class Ports(BaseModel):
    """The ports that something listens on."""

    items: list[PortLine]


class Written(BaseModel):
    """A file that was written."""

    path: str
    size: int


@router.get("")
async def status(state: Annotated[State, state_of], _: Annotated[Principal, may("read")]) -> Any:
    """What this server can do, as it was last found out."""
    return await state.provider.probe()


@router.post("/probe")
async def probe(state: Annotated[State, state_of], _: Annotated[Principal, may("run")]) -> Any:
    """Find out now: a real guest is booted on each accelerator. Takes up to a minute."""
    return await state.provider.probe(fresh=True)


@router.get("/{conversation_id}")
async def machine(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
) -> MachineLine:
    """The conversation's machine."""
    await state.conversations.get(who.user_id, conversation_id)
    return _line(state, conversation_id)


@router.post("/{conversation_id}/start")
async def start(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> MachineLine:
    """Make the machine where there is none, or resume it."""
    await _machine(state, who, conversation_id)
    return _line(state, conversation_id)


@router.post("/{conversation_id}/restart")
async def restart(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> MachineLine:
    """A new machine in place of this one; what was in it and not kept is lost."""
    await state.conversations.get(who.user_id, conversation_id)
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


@router.get("/{conversation_id}/files")
async def list_machine_files(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
    path: Path = HOME,
    depth: Annotated[int, Query(ge=1, le=10)] = 1,
) -> Listing:
    """A folder of the machine."""
    sandbox = await _machine(state, who, conversation_id)
    found = await sandbox.files.list(path, depth=depth)
    return Listing(
        path=path,
        items=[
            FileEntry(
                path=_shown(each.path),
                kind=each.kind,
                size=each.size,
                mode=each.mode,
                modified=each.modified,
                target=None if each.target is None else _shown(each.target),
            )
            for each in found
        ],
    )


@router.get("/{conversation_id}/files/content", response_class=Response)
async def read_machine_file(
    conversation_id: ConversationId,
    path: Path,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
) -> Response:
    """A file of the machine, as a download."""
    sandbox = await _machine(state, who, conversation_id)
    content = await begun(sandbox.files.read(path))
    return served(content, name=path, media_type=UNKNOWN, size=None)


@router.put(
    "/{conversation_id}/files/content",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
)
async def write_machine_file(
    conversation_id: ConversationId,
    path: Path,
    request: Request,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> Written:
    """Write a file in the machine: the body is its bytes."""
    sandbox = await _machine(state, who, conversation_id)
    return Written(path=path, size=await sandbox.files.write(path, request.stream()))


@router.get("/{conversation_id}/files/archive", response_class=Response)
async def archive(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
    path: Path = HOME,
) -> Response:
    """A folder of the machine as a tar archive."""
    sandbox = await _machine(state, who, conversation_id)
    await sandbox.files.stat(path)
    return StreamingResponse(
        await begun(sandbox.files.pack(path)),
        media_type="application/x-tar",
        headers={"Content-Disposition": f'attachment; filename="{conversation_id}.tar"'},
    )


@router.get("/{conversation_id}/ports")
async def list_ports(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
) -> Ports:
    """The ports that something in the machine listens on."""
    sandbox = await _machine(state, who, conversation_id)
    found = await sandbox.ports.list()
    return Ports(items=[PortLine(port=each.port, address=each.address) for each in found])


async def _machine(state: State, who: Principal, conversation_id: ConversationId) -> Sandbox:
    await state.conversations.get(who.user_id, conversation_id)
    return await state.machines.get(conversation_id, await state.spec())


def _line(state: State, conversation_id: ConversationId) -> MachineLine:
    found = state.machines.status(conversation_id)
    if found is None:
        return MachineLine(conversation_id=conversation_id, id=None, state="none", template=None)
    return MachineLine(
        conversation_id=conversation_id, id=found.id, state=found.state, template=found.template
    )


def _shown(path: str) -> str:
    """A path as JSON can hold it: bytes that are not UTF-8 are shown as U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
