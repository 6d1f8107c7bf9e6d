"""Runs: which there were, what happened in one, and what may still be told to it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter
from starlette.responses import Response

from forge.accounts.principal import Principal
from forge.errors import FileUnknown, InputRefused
from forge.events import Caps, Totals
from forge.ids import ConversationId, RunId, UserId
from forge.ledger.fold import RunView, fold
from forge.ledger.read import RunFilter, RunSummary, ViewStatus
from forge.runs.bundles import bundle
from forge.server.auth import may
from forge.server.idempotency import Once
from forge.server.serving import begun, served
from forge.server.state import State, state_of
from forge.server.streams import EventStream, place

router = APIRouter(prefix="/api/runs", tags=["runs"], route_class=Once)

_VIEW: TypeAdapter[RunView] = TypeAdapter(RunView)


class RunLine(BaseModel):
    """A run in a list. Times are UTC."""

    id: RunId
    created_at: datetime
    finished_at: datetime | None
    model: str
    title: str
    status: str
    conversation_id: ConversationId | None


class RunPage(BaseModel):
    """Runs, the newest first; `next` is the cursor of the page after this one."""

    items: list[RunLine]
    next: str | None


class Verification(BaseModel):
    """Whether a run's chain is whole. `head` is the hash of its last record, which vouches for all;
    `broken_at` the number of the first record that is not right, and `why` in words.
    """

    run_id: RunId
    intact: bool
    records: int | None
    head: str | None
    broken_at: int | None
    why: str | None


class Cost(BaseModel):
    """What a run came to, so far or in all."""

    status: str
    totals: Totals


class Steps(BaseModel):
    """A run's steps, as the fold of its ledger has them."""

    items: list[dict[str, Any]]


class Words(BaseModel):
    """What a run is told while it goes on."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=100_000)


class Decision(BaseModel):
    """What a person decides about a call that waits."""

    model_config = ConfigDict(extra="forbid")

    call_id: str = Field(min_length=1, max_length=200)
    why: str = Field("", max_length=10_000)


class NewCaps(BaseModel):
    """The limits under which a run goes on."""

    model_config = ConfigDict(extra="forbid")

    caps: Caps


async def _own(
    run_id: RunId, state: Annotated[State, state_of], who: Annotated[Principal, may("read")]
) -> RunSummary:
    """The run, if it is one's own.

    Raises:
        RunNotFound: there is none, or it is another's.
    """
    return await state.runs.find(run_id, user_id=who.user_id)


Own = Annotated[RunSummary, Depends(_own)]


@dataclass(frozen=True)
class Narrowed:
    """Which of one's runs are wanted. Times are of their beginning, `until` not counted; `query` is
    in the title.
    """

    status: ViewStatus | None = None
    model: Annotated[str | None, Query(max_length=200)] = None
    conversation_id: ConversationId | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    query: Annotated[str, Query(max_length=200)] = ""

    def of(self, user_id: UserId) -> RunFilter:
        """The filter, for one's own runs."""
        return RunFilter(
            user_id=user_id,
            status=self.status,
            model=self.model,
            conversation_id=self.conversation_id,
            since=_in_utc(self.since),
            until=_in_utc(self.until),
            text=self.query,
        )


def _in_utc(at: datetime | None) -> datetime | None:
    """A time that any calendar has.

    Raises:
        InputRefused: in UTC it would be before the first year, or after the last.
    """
    try:
        return None if at is None else at.astimezone(UTC)
    except OverflowError as error:
        raise InputRefused(f"{at.isoformat() if at else at} is no time of this world.") from error


@router.get("")
async def list_runs(
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
    narrowed: Annotated[Narrowed, Depends()],
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: RunId | None = None,
) -> RunPage:
    """One's runs, all or those that are wanted."""
    wanted = narrowed.of(who.user_id)
    found = await state.runs.list_runs(limit=limit + 1, before=cursor, wanted=wanted)
    items = [RunLine.model_validate(run, from_attributes=True) for run in found[:limit]]
    return RunPage(items=items, next=items[-1].id if len(found) > limit else None)


@router.get("/{run_id}")
async def show_run(
    own: Own, state: Annotated[State, state_of], who: Annotated[Principal, may("read")]
) -> dict[str, Any]:
    """What a run came to so far: the fold of its ledger, its chain checked."""
    view = await state.runs.show(own.id, user_id=who.user_id)
    return {**_VIEW.dump_python(view, mode="json"), "totals": view.totals().model_dump(mode="json")}


@router.get("/{run_id}/verify")
async def verify_run(own: Own, state: Annotated[State, state_of]) -> Verification:
    """Whether the run's ledger is whole: every record's hash is made again, from the first on."""
    found = await state.runs.verdict(own.id)
    return Verification(run_id=own.id, **found._asdict())


@router.get("/{run_id}/export", response_class=Response)
async def export_run(
    own: Own, state: Annotated[State, state_of], who: Annotated[Principal, may("read")]
) -> Response:
    """The run to take away, as a zip archive: its ledger as JSON lines, what it made and was given,
    and a manifest with their digests. Of a run that goes on, what there is so far.
    """
    records = await state.runs.records(own.id, user_id=who.user_id)
    content = await begun(bundle(fold(records), records, state.blobs))
    return served(content, name=f"{own.id}.zip", media_type="application/zip", size=None)


@router.get("/{run_id}/cost")
async def run_cost(
    own: Own, state: Annotated[State, state_of], who: Annotated[Principal, may("read")]
) -> Cost:
    """What a run came to."""
    view = await state.runs.show(own.id, user_id=who.user_id)
    return Cost(status=view.status, totals=view.totals())


@router.get("/{run_id}/steps")
async def run_steps(
    own: Own, state: Annotated[State, state_of], who: Annotated[Principal, may("read")]
) -> Steps:
    """What a run did, step by step: each a call of its model and the tools that followed."""
    view = await state.runs.show(own.id, user_id=who.user_id)
    return Steps(items=_VIEW.dump_python(view, mode="json")["steps"])


@router.get("/{run_id}/events", response_class=EventStream)
async def follow_run(
    own: Own,
    after: Annotated[int, Depends(place)],
    state: Annotated[State, state_of],
    live: bool = True,
) -> Response:
    """A run's events from any place on, then live, to its end. With `live=false` those that there
    are now, then an event `end`.
    """
    return EventStream(state, own.id, after, live=live)


@router.get("/{run_id}/artifacts/{sha256}", response_class=Response)
async def read_artifact(
    own: Own,
    sha256: str,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("read")],
) -> Response:
    """The bytes of what a run made, by their digest; there as soon as the run's events say so."""
    view = await state.runs.show(own.id, user_id=who.user_id)
    made = next((each for each in view.artifacts if each.sha256 == sha256), None)
    if made is None:
        raise FileUnknown(f"The run {own.id} made nothing with this digest.")
    content = state.blobs.get(made.sha256)
    kind = "application/octet-stream"
    return served(content, name=made.name, media_type=kind, size=made.size)


@router.post("/{run_id}/stop", status_code=202)
async def stop_run(
    own: Own, state: Annotated[State, state_of], who: Annotated[Principal, may("run")]
) -> RunLine:
    """Stop a run; its last event follows within a second."""
    await state.runs.stop(own.id, by=who.user_id)
    return RunLine.model_validate(own, from_attributes=True)


@router.post("/{run_id}/steer", status_code=202)
async def steer_run(
    own: Own,
    wanted: Words,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> RunLine:
    """Tell a run something while it goes on; its model hears it at its next step."""
    await state.runs.steer(own.id, wanted.text, by=who.user_id)
    return RunLine.model_validate(own, from_attributes=True)


@router.post("/{run_id}/approve", status_code=202)
async def approve_call(
    own: Own,
    wanted: Decision,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> RunLine:
    """Let a call that waits be made. The first decision counts."""
    await state.runs.decide(own.id, wanted.call_id, True, by=who.user_id, why=wanted.why)
    return RunLine.model_validate(own, from_attributes=True)


@router.post("/{run_id}/deny", status_code=202)
async def deny_call(
    own: Own,
    wanted: Decision,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> RunLine:
    """Let a call that waits not be made; the model is told why."""
    await state.runs.decide(own.id, wanted.call_id, False, by=who.user_id, why=wanted.why)
    return RunLine.model_validate(own, from_attributes=True)


@router.post("/{run_id}/resume", status_code=202)
async def resume_run(
    own: Own,
    wanted: NewCaps,
    state: Annotated[State, state_of],
    who: Annotated[Principal, may("run")],
) -> RunLine:
    """Go on with a run that a cap stopped, or that was interrupted, under new limits."""
    async with state.allowance.run(who.user_id):
        await state.runs.resume(own.id, wanted.caps, by=who.user_id)
    return RunLine.model_validate(own, from_attributes=True)
