"""A shell in the conversation's machine, over a WebSocket.

    client ─ binary: what was typed      server ─ binary: what the terminal shows
           ─ text: {"columns": …, "rows": …}     ─ close: the shell has ended, or why not

The shell goes with the connection: leaving ends it and all that it started in its group. While a
client does not take what is shown, the shell waits.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from signal import SIGKILL
from typing import Annotated

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forge.errors import ForgeError, InputRefused, ProcessNotFound
from forge.ids import ConversationId
from forge.runs.unbroken import unbroken
from forge.sandbox.base import Sandbox
from forge.sandbox.commands import NO_DEADLINE, Command, Size
from forge.sandbox.output import Display, Output
from forge.server.auth import admitted
from forge.server.state import State, machine_of, state_of

router = APIRouter(prefix="/api/sandbox", tags=["sandbox"])

MOST_TYPED = 64 * 1024
"""How much one message may hold, in bytes: a large paste."""

_POLICY, _DONE = 1008, 1000


class Window(BaseModel):
    """A terminal's size in characters."""

    model_config = ConfigDict(extra="forbid")

    columns: int = Field(ge=1, le=1000)
    rows: int = Field(ge=1, le=1000)


@router.websocket("/{conversation_id}/terminal")
async def terminal(
    socket: WebSocket, conversation_id: ConversationId, state: Annotated[State, state_of]
) -> None:
    """Type in a shell of the conversation's machine."""
    async with refusing(socket):
        who = await admitted(socket, "run")
        sandbox = await machine_of(state, who.user_id, conversation_id)
        await socket.accept()
        await _shell(socket, sandbox)


@asynccontextmanager
async def refusing(socket: WebSocket) -> AsyncIterator[None]:
    """Close the WebSocket with the reason where the block ends with one of Forge's errors."""
    try:
        yield
    except ForgeError as error:
        await _close(socket, _POLICY, error.message)
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
        if not isinstance(first, ForgeError | WebSocketDisconnect):
            raise
        await _close(socket, _POLICY, str(first))


async def _shell(socket: WebSocket, sandbox: Sandbox) -> None:
    pid = await sandbox.commands.start(
        Command(("bash", "-l"), NO_DEADLINE, pty=Size(), tag="terminal")
    )

    async def show(item: Output | Display) -> None:
        if isinstance(item, Output):
            await socket.send_bytes(item.data)

    try:
        async with asyncio.TaskGroup() as tasks:
            typing = tasks.create_task(_typed(socket, sandbox, pid))
            await sandbox.commands.attach(pid, show)
            typing.cancel()
        await _close(socket, _DONE, "The shell has ended.")
    finally:
        await unbroken(_end(sandbox, pid))


async def _typed(socket: WebSocket, sandbox: Sandbox, pid: int) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", _DONE))
        if (data := message.get("bytes")) is not None:
            if len(data) > MOST_TYPED:
                raise InputRefused(f"A message has at most {MOST_TYPED} bytes.")
            await sandbox.commands.send(pid, data)
        else:
            await sandbox.commands.resize(pid, _size(message.get("text") or ""))


def _size(text: str) -> Size:
    try:
        window = Window.model_validate(json.loads(text))
    except (ValueError, RecursionError, ValidationError):
        raise InputRefused("A text message is the terminal's size in columns and rows.") from None
    return Size(window.columns, window.rows)


async def _end(sandbox: Sandbox, pid: int) -> None:
    with suppress(ProcessNotFound):
        await sandbox.commands.signal(pid, SIGKILL)


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    # What a close frame says is at most 123 bytes.
    with suppress(RuntimeError, WebSocketDisconnect):
        await socket.close(code, reason.encode()[:120].decode(errors="ignore"))
