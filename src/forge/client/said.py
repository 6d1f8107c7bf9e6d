"""What a server says, as values: read out of JSON, checked, and no more believed than that.

A newer server may say more, which is left aside. Ids are checked by their form, so that one can be
part of an address or a file's name.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from forge.errors import InputRefused, RunNotFound, ServerForeign
from forge.events import Totals
from forge.ids import ConversationId, FileId, MessageId, RunId, is_id

T = TypeVar("T", bound=BaseModel)

DIGEST = re.compile(r"[0-9a-f]{64}")
_RUN = re.compile(r"(run_)?[0-9a-hjkmnp-tv-z]{1,26}")


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
AShare = Annotated[str, _of("shr")]


class Said(BaseModel):
    """What a server says: a newer one may say more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Accepted(Said):
    """Where everything is that a question began."""

    run_id: ARun
    conversation_id: AConversation


class RunLine(Said):
    """A run in a list."""

    id: ARun
    created_at: datetime
    finished_at: datetime | None
    model: str
    title: str
    status: str
    conversation_id: AConversation | None = None


class Side(Said):
    """One of two runs that are compared."""

    id: ARun
    model: str
    status: str
    totals: Totals
    artifacts: list[str]


class Diff(Said):
    """How a run differs from another: unified diffs, and what each came to."""

    one: Side
    other: Side
    code: str
    result: str
    answer: str
    clipped: bool


class Found(Said):
    """Where it was said, in a search."""

    text: str


class TalkLine(Said):
    """A conversation in a list; `found` says where, in a search."""

    id: AConversation
    title: str
    created_at: datetime
    updated_at: datetime
    found: Found | None = None


class Word(Said):
    """What was said in a conversation."""

    id: AMessage
    role: str
    created_at: datetime
    text: str
    run_id: ARun | None


class Talk(TalkLine):
    """A conversation with the branch in view."""

    messages: list[Word]


class ShareLine(Said):
    """A link to a conversation; `url` is there when it was made, this once."""

    id: AShare
    created_at: datetime
    revoked: bool
    url: str | None = None


class FileLine(Said):
    """A file as the server keeps it."""

    id: AFile
    conversation_id: AConversation | None
    run_id: ARun | None
    kind: str
    name: str
    version: int
    sha256: str
    size: int
    media_type: str
    created_at: datetime


class RunPage(Said):
    """Some runs, and where the next are."""

    items: list[RunLine]
    next: str | None


class TalkPage(Said):
    """Some conversations, and where the next are."""

    items: list[TalkLine]
    next: str | None


class FilePage(Said):
    """Some files, and where the next are."""

    items: list[FileLine]
    next: str | None


class ShareList(Said):
    """A conversation's links."""

    items: list[ShareLine]


def checked(kind: type[T], text: str | bytes) -> T:
    """What was said, as a value.

    Raises:
        ServerForeign: it is something else.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise ServerForeign(f"The server's answer is no {kind.__name__} of Forge's.") from error


def the_id(text: str, prefix: str) -> str:
    """An id that a person gave.

    Raises:
        InputRefused: it is none.
    """
    if not is_id(text, prefix):
        raise InputRefused(f"{text[:80]!r} is not an id that begins with {prefix}_.")
    return text


def run_part(text: str) -> str:
    """A run's id or the beginning of one, as a part of an address.

    Raises:
        RunNotFound: no run's id begins so.
    """
    if not _RUN.fullmatch(text):
        raise RunNotFound(f"There is no run {text[:80]!r}.")
    return text


def beginning(found: Sequence[Any], text: str, prefix: str, where: str) -> Any:
    """The one of these whose id is, or begins with, `text`.

    Raises:
        InputRefused: there is none, or more than one.
    """
    wanted = text if text.startswith(f"{prefix}_") else f"{prefix}_{text}"
    fitting = [each for each in found if each.id.startswith(wanted)]
    if len(fitting) != 1 or wanted == f"{prefix}_":
        many = "More than one id begins" if fitting else "There is none whose id begins"
        raise InputRefused(f"{many} with {text[:80]!r}.", hint=f"`{where}` lists them.")
    return fitting[0]
