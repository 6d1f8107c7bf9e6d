"""The words of the ledger: everything that can happen in a run.

The agent loop yields these; the driver alone appends them; whatever a person sees is a fold of
them. An event body is a frozen value told apart by `type`. A `Record` is an event in its place:
numbered from 1 without gaps, stamped with the time, and chained by hash to the one before it.
Types and fields are only ever added, so every ledger written stays readable.
"""

from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_serializer

from forge.errors import ForgeError
from forge.ids import ConversationId, MessageId, RunId, SandboxId
from forge.messages import AssistantMessage
from forge.usage import Usage

RunStatus = Literal["done", "failed", "cancelled", "capped", "interrupted"]
ToolOutcome = Literal["ok", "error", "timeout", "crashed", "cancelled", "interrupted", "denied"]
StopReason = Literal["end", "tool_use", "max_tokens", "refusal"]


ROUTING = 0
"""The step of the call that asks which way a message goes; the steps of the answer count from 1."""


class Event(BaseModel):
    """What every event body is: frozen, and strict about its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Caps(Event):
    """The limits of a run; 0 means no limit. Seconds are wall time."""

    iterations: int = Field(16, ge=0)
    tokens: int = Field(0, ge=0)
    usd: Decimal = Field(Decimal(0), ge=0)
    wall_s: float = Field(0, ge=0)


class FileFact(Event):
    """A file's name, size in bytes and SHA-256 in hex."""

    name: str
    size: int
    sha256: str


class Fault(Event):
    """An error as the ledger keeps it: the fields of `forge.errors.ForgeError`."""

    code: str
    message: str
    hint: str
    fault: str
    retry: bool

    @classmethod
    def of(cls, error: ForgeError) -> "Fault":
        """An error's fields."""
        return cls(
            code=error.code,
            message=error.message,
            hint=error.hint,
            fault=error.fault,
            retry=error.retry,
        )


class Totals(Event):
    """What a run came to. `usd` is None where a price was unknown and no USD cap applied."""

    iterations: int = 0
    usage: Usage = Usage()
    usd: Decimal | None = Decimal(0)
    tool_calls: int = 0
    wall_s: float = 0
    model_s: float = 0
    sandbox_s: float = 0


class VolumeFact(Event):
    """A volume of a machine, and where it has it."""

    name: str
    path: str
    read_only: bool = False


class MachineFact(Event):
    """What machine a run was asked to be done in, besides its template: limits by name. `own`: one
    that ends with the run, though it belongs to a conversation.
    """

    limits: dict[str, int] = Field(default_factory=dict)
    volumes: tuple[VolumeFact, ...] = ()
    own: bool = False


class RunStarted(Event):
    """A person asked. All that carrying the run out takes is in here: another process can do it.

    `earlier` are the runs of the conversation before this one, oldest first; `approve` the tools
    whose calls wait for a person; `route` the way that the person chose, or `auto`; `small_model`
    who answers in words, where the person prefers one.
    """

    type: Literal["run.started"] = "run.started"
    prompt: str
    model: str
    template: str
    caps: Caps
    files: tuple[FileFact, ...] = ()
    machine: MachineFact = MachineFact()
    approve: tuple[str, ...] = ()
    route: str = "auto"
    small_model: str = ""
    conversation_id: ConversationId | None = None
    message_id: MessageId | None = None
    earlier: tuple[RunId, ...] = ()


class RunResumed(Event):
    """A run goes on after whoever carried it out was gone, or after a cap with new caps.

    Attempts count from 2, as the first one is the run's beginning.
    """

    type: Literal["run.resumed"] = "run.resumed"
    attempt: int
    why: Literal["interrupted", "asked"]
    caps: Caps | None = None
    by: str | None = None


class RunRouted(Event):
    """Which way of answering was chosen, why, and whether the person forced it.

    `path` is `chat`, `agent`, `pipeline` or `offline` (see `forge.agent.router`); `model` is who
    answers.
    """

    type: Literal["run.routed"] = "run.routed"
    path: str
    reason: str
    forced: bool = False
    model: str = ""


class MessageSteered(Event):
    """A person said something while the run went on; the model hears it with this step."""

    type: Literal["message.steered"] = "message.steered"
    step: int
    text: str
    by: str | None = None
    order_id: str = ""


class ApprovalRequested(Event):
    """A tool call waits for a person, until `expires_at`; then it counts as denied."""

    type: Literal["approval.requested"] = "approval.requested"
    step: int
    call_id: str
    name: str
    arguments: str
    expires_at: datetime


class ApprovalDecided(Event):
    """A person decided on a waiting call; `by` is None where the time ran out."""

    type: Literal["approval.decided"] = "approval.decided"
    step: int
    call_id: str
    approved: bool
    by: str | None = None
    why: str = ""
    order_id: str = ""


class SandboxCreated(Event):
    """A machine is ready. `duration_ms` is from the wish to the agent's first answer."""

    type: Literal["sandbox.created"] = "sandbox.created"
    sandbox_id: SandboxId
    provider: str
    accelerator: str
    template: str
    duration_ms: float


class FileUploaded(Event):
    """A person's file is in the machine, at `path`."""

    type: Literal["file.uploaded"] = "file.uploaded"
    path: str
    size: int
    sha256: str


class ModelRequested(Event):
    """A model call is about to be made; its budget was checked. Steps and attempts count from 1.

    `input_tokens` (estimated high), `max_tokens` and `worst_usd` are the most that it can come to:
    what it counts as where nobody hears of its end.
    """

    type: Literal["model.requested"] = "model.requested"
    step: int
    attempt: int
    model: str
    max_tokens: int
    input_tokens: int = 0
    worst_usd: Decimal | None = Decimal(0)


class ModelText(Event):
    """A piece of a model's words, as they arrive."""

    type: Literal["model.text"] = "model.text"
    step: int
    text: str


class ModelThinking(Event):
    """A piece of a model's reasoning, as it arrives."""

    type: Literal["model.thinking"] = "model.thinking"
    step: int
    text: str


class ModelToolInput(Event):
    """A piece of a tool call's JSON arguments, as a model writes them."""

    type: Literal["model.tool_input"] = "model.tool_input"
    step: int
    call_id: str
    name: str
    text: str


class ModelResponded(Event):
    """A model call is complete: the whole message, what it used, cost and took."""

    type: Literal["model.responded"] = "model.responded"
    step: int
    message: AssistantMessage
    stop_reason: StopReason
    usage: Usage
    usd: Decimal | None
    duration_ms: float
    first_token_ms: float | None = None


class ModelFailed(Event):
    """A model call failed. `retry_in_s` is None when no further attempt follows."""

    type: Literal["model.failed"] = "model.failed"
    step: int
    attempt: int
    error: Fault
    retry_in_s: float | None


class ToolStarted(Event):
    """A tool call begins. `arguments` is the model's JSON text."""

    type: Literal["tool.started"] = "tool.started"
    step: int
    call_id: str
    name: str
    arguments: str


class ToolOutput(Event):
    """What a tool printed, as it was printed."""

    type: Literal["tool.output"] = "tool.output"
    step: int
    call_id: str
    stream: Literal["stdout", "stderr"]
    text: str


class ToolDisplayed(Event):
    """A rich result: a Jupyter MIME bundle. Binary types are base64, JSON types are JSON text.

    `display_id` is the code's own name for it, or empty; with `update` it belongs in the place of
    the last one that has this name.
    """

    type: Literal["tool.displayed"] = "tool.displayed"
    step: int
    call_id: str
    data: dict[str, str]
    display_id: str = ""
    update: bool = False


class ToolFinished(Event):
    """A tool call is over. `content` is what the model is shown, clipped with a mark."""

    type: Literal["tool.finished"] = "tool.finished"
    step: int
    call_id: str
    name: str
    outcome: ToolOutcome
    content: str
    duration_ms: float


class ArtifactSaved(Event):
    """A file the run made is kept on the host under its digest."""

    type: Literal["artifact.saved"] = "artifact.saved"
    step: int
    name: str
    size: int
    sha256: str


class Notice(Event):
    """Something a person should know that is not an error, in words."""

    type: Literal["notice"] = "notice"
    text: str


class RunFinished(Event):
    """The last event of every run."""

    type: Literal["run.finished"] = "run.finished"
    status: RunStatus
    answer: str
    error: Fault | None = None
    totals: Totals


AnyEvent = Annotated[
    RunStarted
    | RunResumed
    | RunRouted
    | MessageSteered
    | ApprovalRequested
    | ApprovalDecided
    | SandboxCreated
    | FileUploaded
    | ModelRequested
    | ModelText
    | ModelThinking
    | ModelToolInput
    | ModelResponded
    | ModelFailed
    | ToolStarted
    | ToolOutput
    | ToolDisplayed
    | ToolFinished
    | ArtifactSaved
    | Notice
    | RunFinished,
    Field(discriminator="type"),
]

EVENT: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)


class Record(BaseModel):
    """An event in its place in a run's ledger. Hashes are SHA-256 in hex; the first has no prev."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: RunId
    seq: int
    at: datetime
    event: AnyEvent
    prev: str
    hash: str

    @cached_property
    def event_bytes(self) -> bytes:
        """The record as a Server-Sent Event whose id is its number; made once for all readers."""
        return b"id: %d\ndata: %s\n\n" % (self.seq, self.model_dump_json().encode())

    @field_serializer("at", when_used="json")
    def _at(self, at: datetime) -> str:
        """The time as it was hashed, so that whoever has the JSON can check the hash."""
        return at.astimezone(UTC).isoformat(timespec="microseconds")
