"""Uploads and artifacts: in as a stream, kept by digest, out so that they can do no harm."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from forge.accounts.principal import Principal
from forge.errors import InputRefused
from forge.ids import ConversationId, FileId, RunId, UserId
from forge.runs.bundles import Packed, zipped
from forge.runs.conversations.files import File, NewFile
from forge.runs.conversations.media import HEAD, media_type
from forge.runs.wish import check_name
from forge.server.auth import may
from forge.server.idempotency import Once
from forge.server.serving import begun, served
from forge.server.signing import LONGEST_S
from forge.server.state import State, state_of

router = APIRouter(prefix="/api", tags=["files"], route_class=Once)


class FileLine(BaseModel):
    """A file; `sha256` is the digest of its bytes, in hex. Times are UTC, sizes bytes."""

    id: FileId
    conversation_id: ConversationId | None
    run_id: RunId | None
    kind: Literal["upload", "artifact"]
    name: str
    version: int
    sha256: str
    size: int
    media_type: str
    created_at: datetime


class FilePage(BaseModel):
    """Files, the newest first; `next` is the cursor of the page after this one."""

    items: list[FileLine]
    next: str | None


class SignedAddress(BaseModel):
    """An address that whoever has it can open for a while."""

    url: str


@router.post(
    "/upload",
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
async def upload(
    request: Request,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("write")],
    name: Annotated[str, Query(min_length=1, max_length=255)],
    conversation_id: ConversationId | None = None,
) -> FileLine:
    """Keep a file: the body is its bytes. The same name again is its next version."""
    check_name(name)  # before its bytes are kept
    if conversation_id is not None:
        await state.conversations.get(who.user_id, conversation_id)
    head = bytearray()

    async def content() -> AsyncIterator[bytes]:
        async for chunk in request.stream():
            if len(head) < HEAD:
                head.extend(chunk[: HEAD - len(head)])
            yield chunk

    most, room = state.config.upload_limit, await state.allowance.room(who.user_id)
    try:
        kept = await state.blobs.put(content(), limit=min(most, room or most))
    except InputRefused as error:
        if room is None or room >= most:
            raise
        raise state.allowance.full() from error
    new = NewFile(
        "upload", name, kept.sha256, kept.size, media_type(bytes(head), name), conversation_id
    )
    return _line(await state.files.add(who.user_id, new))


@router.get("/artifacts")
async def list_files(
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
    conversation_id: ConversationId | None = None,
) -> FilePage:
    """What one gave and what one's runs made."""
    if conversation_id is not None:
        await state.hosted.clerk.noted(conversation_id)
    page, after = await state.files.list(
        who.user_id, limit=limit, cursor=cursor, conversation_id=conversation_id
    )
    return FilePage(items=[_line(each) for each in page], next=after)


@router.get("/conversations/{conversation_id}/artifacts/archive", response_class=Response)
async def archive_artifacts(
    conversation_id: ConversationId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
) -> Response:
    """All that a conversation's runs made, the newest of each name, as a zip archive."""
    await state.conversations.get(who.user_id, conversation_id)
    await state.hosted.clerk.noted(conversation_id)
    files = [
        Packed(each.name, each.sha256, each.size, each.created_at.timestamp())
        for each in await state.files.newest(who.user_id, conversation_id)
        if each.kind == "artifact"
    ]
    content = await begun(zipped(files, state.blobs))
    name = f"{conversation_id}.zip"
    return served(content, name=name, media_type="application/zip", size=None)


@router.get("/artifacts/{file_id}")
async def show_file(
    file_id: FileId, state: Annotated[State, state_of], who: Annotated[Principal, may("read")]
) -> FileLine:
    """What is known of a file."""
    return _line(await state.files.get(who.user_id, file_id))


@router.get("/artifacts/{file_id}/content", response_class=Response)
async def read_file(
    file_id: FileId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
    shown: bool = False,
) -> Response:
    """A file's bytes; `shown` for a frame of the console, where they can do nothing."""
    return await _served(state, await state.files.get(who.user_id, file_id), shown=shown)


@router.post("/artifacts/{file_id}/link", status_code=201)
async def sign_file(
    file_id: FileId,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
    seconds: Annotated[int, Query(ge=1, le=LONGEST_S)] = 3600,
) -> SignedAddress:
    """An address at which whoever has it can download a file for a while."""
    file = await state.files.get(who.user_id, file_id)
    path = f"/api/download/{file.user_id}/{file.id}"
    return SignedAddress(url=state.config.url + state.signer.signed(path, lifetime_s=seconds))


@router.get("/download/{user_id}/{file_id}", response_class=Response)
async def download(
    request: Request,
    file_id: FileId,
    user_id: str,
    state: Annotated[State, state_of],
    expires: Annotated[int, Query(ge=0, le=10**11)],
    signature: Annotated[str, Field(max_length=64)],
) -> Response:
    """A file at a signed address; nobody needs to be logged in."""
    state.signer.check(request.url.path, expires, signature)
    return await _served(state, await state.files.get(UserId(user_id), file_id), shown=False)


async def _served(state: State, file: File, *, shown: bool) -> Response:
    return served(
        await begun(state.blobs.get(file.sha256)),
        name=file.name,
        media_type=file.media_type,
        size=file.size,
        shown=shown,
    )


def _line(file: File) -> FileLine:
    return FileLine.model_validate(file, from_attributes=True)
