"""Everything the terminal asks a server for, by name. Made by `open_client`.

What comes back is checked before it is believed: ids are ids, records are this run's, files have
the size and digest that the ledger says.
"""

import errno
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import httpx2
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from forge.client.follow import Following, Notify, messages
from forge.client.wire import Find, Wire, open_wire
from forge.errors import HostUnfit, InputRefused, NoSpace, ServerForeign, ServerUnreachable
from forge.events import Record
from forge.ids import ConversationId, FileId, MessageId, RunId, is_id

T = TypeVar("T", bound=BaseModel)

_DIGEST = re.compile(r"[0-9a-f]{64}")


def _of(prefix: str) -> AfterValidator:
    def checked(text: Any) -> Any:
        if not is_id(text, prefix):
            raise ValueError(f"not an id that begins with {prefix}_")
        return text

    return AfterValidator(checked)


ARun = Annotated[RunId, _of("run")]
AConversation = Annotated[ConversationId, _of("conv")]
AMessage = Annotated[MessageId, _of("msg")]
AFile = Annotated[FileId, _of("file")]


class _Said(BaseModel):
    """What a server says: a newer one may say more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Accepted(_Said):
    """Where everything is that a question began."""

    run_id: ARun
    conversation_id: AConversation


class Kept(_Said):
    """An upload as the server keeps it."""

    id: AFile
    sha256: str
    size: int


class RunLine(_Said):
    """A run in a list."""

    id: ARun
    created_at: datetime
    finished_at: datetime | None
    model: str
    title: str
    status: str


class TalkLine(_Said):
    """A conversation in a list."""

    id: AConversation
    title: str
    created_at: datetime
    updated_at: datetime


class Word(_Said):
    """What was said in a conversation."""

    role: str
    text: str
    run_id: ARun | None


class Talk(TalkLine):
    """A conversation with the branch in view."""

    messages: list[Word]


class _Runs(_Said):
    items: list[RunLine]
    next: str | None


class _Talks(_Said):
    items: list[TalkLine]
    next: str | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A run that was begun, and its records as they happen."""

    run_id: RunId
    conversation_id: ConversationId
    records: AsyncGenerator[Record, None]


class Client:
    """Asks one server."""

    def __init__(self, wire: Wire, notify: Notify) -> None:
        self._wire, self._notify = wire, notify

    @asynccontextmanager
    async def ask(self, wanted: Mapping[str, Any]) -> AsyncIterator[Asked]:
        """Begin a run and follow it; leaving the block does not end it. `wanted` is the body of
        `POST /api/chat`.

        Raises:
            ServerUnreachable: the server does not answer; whether the run began is not known.
            ServerForeign: it answers as no server of Forge does.
            ForgeError: what the server says is wrong.
        """
        async with (
            self._wire.stream("POST", "/api/chat", body=wanted) as pieces,
            aclosing(messages(pieces)) as stream,
        ):
            try:
                first = await anext(stream)
            except StopAsyncIteration:
                raise ServerUnreachable("The server ended the stream before it began.") from None
            if first.name != "accepted":
                raise ServerForeign("The server did not say which run it began.")
            begun = _checked(Accepted, first.data)
            following = Following(self._wire, begun.run_id, self._notify)
            async with aclosing(following.records(stream)) as records:
                yield Asked(begun.run_id, begun.conversation_id, records)

    def follow(self, run_id: RunId) -> AsyncGenerator[Record, None]:
        """A run's records from its beginning to its end. The caller closes it.

        Raises:
            ForgeError: as in `forge.client.follow.Following.records`.
        """
        return Following(self._wire, run_id, self._notify).records()

    async def stop(self, run_id: RunId) -> None:
        """End a run; its last record follows.

        Raises:
            ForgeError: the server refuses, or cannot be reached.
        """
        await self._wire.ask("POST", f"/api/runs/{run_id}/stop")

    async def tell(self, run_id: RunId, what: str, body: Mapping[str, Any]) -> None:
        """Tell a run something: `steer`, `approve`, `deny` or `resume`, with its body.

        Raises:
            ForgeError: the server refuses, or cannot be reached.
        """
        await self._wire.ask("POST", f"/api/runs/{run_id}/{what}", body=body)

    async def runs(self, limit: int) -> list[RunLine]:
        """The newest runs.

        Raises:
            ForgeError: the server refuses, or cannot be reached.
        """
        found: list[RunLine] = []
        cursor: str | None = ""
        while cursor is not None and len(found) < limit:
            query = {
                "limit": min(100, limit - len(found)),
                **({"cursor": cursor} if cursor else {}),
            }
            page = _checked(_Runs, await self._wire.text("GET", "/api/runs", query=query))
            found += page.items
            cursor = page.next if page.items else None
        return found[:limit]

    async def talks(self, limit: int, search: str = "") -> list[TalkLine]:
        """The conversations used last; with `search` those in which it was said.

        Raises:
            ForgeError: the server refuses, or cannot be reached.
        """
        query = {"limit": min(100, limit), **({"query": search} if search else {})}
        return _checked(
            _Talks, await self._wire.text("GET", "/api/conversations", query=query)
        ).items

    async def talk(self, conversation_id: str) -> Talk:
        """A conversation and what was said in it.

        Raises:
            ForgeError: the server refuses, or cannot be reached.
        """
        path = f"/api/conversations/{_id(conversation_id, 'conv')}"
        return _checked(Talk, await self._wire.text("GET", path))

    async def export(self, conversation_id: str, form: str) -> bytes:
        """A conversation as a file.

        Raises:
            ForgeError: the server refuses, or cannot be reached.
        """
        path = f"/api/conversations/{_id(conversation_id, 'conv')}/export"
        return await self._wire.text("GET", path, query={"format": form})

    async def end_machine(self, conversation_id: str) -> None:
        """Stop a conversation's machine, if it has one.

        Raises:
            ForgeError: the server refuses, or cannot be reached.
        """
        await self._wire.text("POST", f"/api/sandbox/{_id(conversation_id, 'conv')}/stop")

    async def upload(self, name: str, content: AsyncIterator[bytes]) -> Kept:
        """Give the server a file.

        Raises:
            ServerForeign: it kept other bytes than it was given.
            ForgeError: the server refuses, or cannot be reached.
        """
        digest, size = hashlib.sha256(), 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for piece in content:
                digest.update(piece)
                size += len(piece)
                yield piece

        raw = await self._wire.text("POST", "/api/upload", query={"name": name}, content=counted())
        kept = _checked(Kept, raw)
        if (kept.sha256, kept.size) != (digest.hexdigest(), size):
            raise ServerForeign(f"The server kept other bytes of {name} than it was given.")
        return kept

    async def download(self, run_id: RunId, sha256: str, size: int, target: Path) -> None:
        """What a run made, into a new file; at most `size` bytes are taken. The digest is the
        caller's to compare.

        Raises:
            ServerForeign: there are more, or that is no digest.
            NoSpace, HostUnfit: the file cannot be written.
            ForgeError: the server refuses, or cannot be reached.
        """
        if not _DIGEST.fullmatch(sha256):
            raise ServerForeign(f"{sha256[:80]!r} is not a digest.")
        left = size
        async with self._wire.stream("GET", f"/api/runs/{run_id}/artifacts/{sha256}") as pieces:
            try:
                with target.open("xb") as file:
                    async for piece in pieces:
                        left -= len(piece)
                        if left < 0:
                            raise ServerForeign("The server sent more than the file has.")
                        file.write(piece)
            except OSError as error:
                kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else HostUnfit
                raise kind(f"{target} cannot be written: {error.strerror}.") from error


@asynccontextmanager
async def open_client(
    find: Find,
    notify: Notify,
    transport: httpx2.AsyncBaseTransport | None = None,
    *,
    local: bool = False,
) -> AsyncIterator[Client]:
    """A client until the block is left.

    Args:
        find: where the server is, asked before each request.
        notify: told, in words, when a server was lost.
        transport: leads into an app of this process; None for the network.
        local: nothing is between here and the server: no proxy of the environment is asked.
    """
    async with open_wire(find, transport, local=local) as wire:
        yield Client(wire, notify)


def only(found: Sequence[RunLine], prefix: str) -> RunLine:
    """The run whose id begins so.

    Raises:
        InputRefused: there is none, or more than one.
    """
    fitting = [each for each in found if each.id.startswith(prefix)]
    if len(fitting) != 1:
        many = "More than one run begins" if fitting else "There is no run that begins"
        raise InputRefused(f"{many} with {prefix[:80]!r}.", hint="`forge runs list` lists them.")
    return fitting[0]


def _checked(kind: type[T], text: str | bytes) -> T:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise ServerForeign(
            f"The server's answer is no {kind.__name__.strip('_').lower()} of Forge's."
        ) from error


def _id(text: str, prefix: str) -> str:
    if not is_id(text, prefix):
        raise InputRefused(f"{text[:80]!r} is not an id that begins with {prefix}_.")
    return text
