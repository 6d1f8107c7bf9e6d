"""The files of a conversation's machine: looked at, changed, and taken away while nothing runs."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from forge.accounts.principal import Principal
from forge.ids import ConversationId
from forge.runs.conversations.media import UNKNOWN
from forge.sandbox.files import HOME
from forge.sandbox.rezip import rezipped
from forge.server.auth import may
from forge.server.idempotency import Once
from forge.server.serving import begun, served
from forge.server.state import State, machine_of, state_of
from forge.tools.closing import closing

router = APIRouter(prefix="/api/sandbox", tags=["sandbox"], route_class=Once)

Path = Annotated[str, Query(min_length=1, max_length=4096)]

ARCHIVES = {"tar": "application/x-tar", "zip": "application/zip"}
"""What kinds of archive a folder can be had as."""


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


class Written(BaseModel):
    """A file that was written."""

    path: str
    size: int


class Removed(BaseModel):
    """What was to be removed; `removed` is false where there was nothing."""

    path: str
    removed: bool


class Move(BaseModel):
    """A file, folder or link, and the name it is to have."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(min_length=1, max_length=4096)
    target: str = Field(min_length=1, max_length=4096)


class Moved(BaseModel):
    """What has another name now."""

    source: str
    target: str


class Folder(BaseModel):
    """A folder that is wanted."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(min_length=1, max_length=4096)


class Made(BaseModel):
    """A folder that is there now; `made` is false where it was."""

    path: str
    made: bool


@router.get("/{conversation_id}/files")
async def list_machine_files(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
    path: Path = HOME,
    depth: Annotated[int, Query(ge=1, le=10)] = 1,
) -> Listing:
    """A folder of the machine."""
    sandbox = await machine_of(state, who.user_id, conversation_id)
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
    sandbox = await machine_of(state, who.user_id, conversation_id)
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
    sandbox = await machine_of(state, who.user_id, conversation_id)
    return Written(path=path, size=await sandbox.files.write(path, request.stream()))


@router.get("/{conversation_id}/files/archive", response_class=Response)
async def archive(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
    path: Path = HOME,
    format: Literal["tar", "zip"] = "tar",  # noqa: A002 - as a person calls it
) -> Response:
    """A folder of the machine as an archive. A zip has no links, and names what was left out."""
    sandbox = await machine_of(state, who.user_id, conversation_id)
    await sandbox.files.stat(path)
    content: AsyncIterator[bytes] = sandbox.files.pack(path)
    if format == "zip":
        content = _zipped(content)
    return served(
        await begun(content),
        name=f"{conversation_id}.{format}",
        media_type=ARCHIVES[format],
        size=None,
    )


@router.delete("/{conversation_id}/files")
async def remove_machine_file(
    conversation_id: ConversationId,
    path: Path,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> Removed:
    """Remove a file, a link, or a folder with all that is in it."""
    sandbox = await machine_of(state, who.user_id, conversation_id)
    return Removed(path=path, removed=await sandbox.files.remove(path))


@router.post("/{conversation_id}/files/move")
async def move_machine_file(
    conversation_id: ConversationId,
    wanted: Move,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> Moved:
    """Give a file, folder or link another name or place. A file that is there is replaced."""
    sandbox = await machine_of(state, who.user_id, conversation_id)
    await sandbox.files.move(wanted.source, wanted.target)
    return Moved(source=wanted.source, target=wanted.target)


@router.post("/{conversation_id}/files/folder", status_code=201)
async def make_machine_folder(
    conversation_id: ConversationId,
    wanted: Folder,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> Made:
    """Make a folder, and those it needs."""
    sandbox = await machine_of(state, who.user_id, conversation_id)
    return Made(path=wanted.path, made=await sandbox.files.make(wanted.path))


async def _zipped(tar: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async with closing(tar) as archive, aclosing(rezipped(archive)) as pieces:
        async for piece in pieces:
            yield piece


def _shown(path: str) -> str:
    """A path as JSON can hold it: bytes that are not UTF-8 are shown as U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
