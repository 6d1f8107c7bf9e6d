"""Is it alive, is it ready, and its counters: for whoever runs the server."""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Response

from forge.accounts.principal import Principal
from forge.errors import ForgeError
from forge.server.auth import may
from forge.server.measures import CONTENT_TYPE
from forge.server.readiness import Readiness, readiness
from forge.server.state import State, state_of

router = APIRouter(tags=["operations"])

LIST_S = 2.0
"""How long machines may take to be listed: Prometheus waits ten seconds for the page."""


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"model": Readiness, "description": "Not all of it."}})
async def readyz(state: Annotated[State, state_of], response: Response) -> Readiness:
    """Whether database, storage, image and engine do their work, and what is wrong; 503 if any
    does not.
    """
    found = await readiness(state)
    response.status_code = 200 if found.status == "ready" else 503
    return found


@router.get("/metrics", response_class=Response)
async def metrics(
    state: Annotated[State, state_of], _: Annotated[Principal, may("admin")]
) -> Response:
    """The server's counters, as Prometheus reads them."""
    machines: Counter[str] = Counter()
    # A worker that does not answer is missing here, and all else is still counted.
    with suppress(ForgeError, TimeoutError):
        async with asyncio.timeout(LIST_S):
            machines.update(each.state for each in await state.provider.list())
    warm = state.forge.machines.warm() or {}
    state.measures.now(await state.runs.count_open(), machines, warm)
    return Response(state.measures.page(), media_type=CONTENT_TYPE)
