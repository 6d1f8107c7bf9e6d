"""Is it alive, is it ready, and its counters: for whoever runs the server."""

from typing import Annotated

from fastapi import APIRouter, Response

from forge.accounts.principal import Principal
from forge.server.auth import may
from forge.server.measures import CONTENT_TYPE
from forge.server.state import State, state_of

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(state: Annotated[State, state_of]) -> dict[str, str]:
    """Whether the database answers too, and so runs can be started.

    Raises:
        LedgerError, HostUnfit: it does not.
    """
    await state.runs.list_runs(limit=1)
    return {"status": "ready"}


@router.get("/metrics", response_class=Response)
async def metrics(
    state: Annotated[State, state_of], _: Annotated[Principal, may("admin")]
) -> Response:
    """The server's counters, as Prometheus reads them."""
    return Response(state.measures.page(), media_type=CONTENT_TYPE)
