"""The loop: ask the model, carry out what it wishes, tell it what came of it, until it answers.

    budget ─ model.requested ─ deltas … ─ model.responded ─┬─ no tool calls: the answer, the end
       ▲          ▲ model.failed: wait, try again          └─ tools, at once where they may be ─┐
       └──────────┴─────────────────────────────────────────────────────────────────────────────┘

The loop yields events and holds nothing else: no provider, database or clock that was not given to
it. Each event has been dealt with by the reader (made durable) before what follows from it happens.
The budget is asked before each model call, retries included, and alone bounds how often it turns.
A failed model call is tried again only where the error says that helps; each attempt is an event.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Protocol

from forge.agent.context import Context, sendable
from forge.agent.deltas import Delta
from forge.agent.retries import Retries
from forge.agent.stream import streamed
from forge.clock import Clock
from forge.errors import ModelError, ModelStreamBroken
from forge.events import (
    AnyEvent,
    Fault,
    ModelFailed,
    ModelRequested,
    ModelResponded,
    Notice,
    Totals,
)
from forge.messages import Message, ToolCall, ToolResult, UserMessage
from forge.models.base import (
    Model,
    ModelRequest,
    ModelResponse,
    ToolInputDelta,
)
from forge.tasks import together
from forge.tools.coalesce import Coalescer
from forge.tools.output import Emit
from forge.tools.toolbox import Toolbox
from forge.usage import Usage

PARALLEL = 8
"""How many tool calls of one answer run at once; the machine has few cores."""


class Budget(Protocol):
    """What a run may still spend."""

    def allow(self, spent: Totals, *, input_tokens: int, max_tokens: int) -> int:
        """How long an answer, in tokens and at most `max_tokens`, the next call may have.

        Raises:
            CapReached: the call may not be made.
            PriceUnknown: there is a USD cap and no price to hold against it.
        """

    def cost(self, usage: Usage) -> Decimal | None:
        """What a call cost in USD; None where its price is unknown."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the model is to do. `max_tokens` bounds one answer, `call_s` one call in seconds: long
    enough for the longest answers with reasoning, short enough that a dead provider is noticed.
    """

    system: str
    messages: tuple[Message, ...]
    max_tokens: int = 8192
    call_s: float = 600.0
    delta_s: float = 0.05
    retries: Retries = field(default_factory=Retries)


def run_loop(
    model: Model, toolbox: Toolbox, budget: Budget, clock: Clock, assignment: Assignment
) -> AsyncGenerator[AnyEvent, None]:
    """Yield what happens until the model answers without a tool call. The caller closes it.

    Raises:
        CapReached, PriceUnknown: the budget does not allow another call.
        ModelError: a call failed, and no further attempt is made.
        SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: the machine is gone.
    """
    return streamed(_Loop(model, toolbox, budget, clock, assignment).run)


class _Loop:
    """One run of the loop: the transcript so far and what it cost."""

    def __init__(
        self, model: Model, toolbox: Toolbox, budget: Budget, clock: Clock, assignment: Assignment
    ) -> None:
        self._model, self._toolbox, self._budget = model, toolbox, budget
        self._clock, self._given = clock, assignment
        self._context = Context(assignment.system, toolbox.specs, assignment.messages)
        self._spent = Totals()
        self._parallel = asyncio.Semaphore(PARALLEL)

    async def run(self, emit: Emit) -> None:
        step = 0
        while True:
            step += 1
            response = await self._ask(step, emit)
            self._context.add(response.message)
            if not response.message.tool_calls:
                await _say_how_it_ended(response, emit)
                return
            results = await self._use_tools(step, response.message.tool_calls, emit)
            self._context.add(UserMessage(parts=results))

    async def _ask(self, step: int, emit: Emit) -> ModelResponse:
        """One answer, in as many attempts as it takes and are allowed."""
        attempt = 0
        while True:
            attempt += 1
            allowed = self._budget.allow(
                self._spent,
                input_tokens=self._context.input_tokens,
                max_tokens=self._given.max_tokens,
            )
            await emit(
                ModelRequested(
                    step=step, attempt=attempt, model=self._model.name, max_tokens=allowed
                )
            )
            try:
                return await self._call(step, allowed, emit)
            except ModelError as error:
                wait = self._given.retries.wait(error, attempt)
                await emit(
                    ModelFailed(step=step, attempt=attempt, error=Fault.of(error), retry_in_s=wait)
                )
                if wait is None:
                    raise self._given.retries.given_up(error) from error
            await self._clock.sleep(wait)

    async def _call(self, step: int, max_tokens: int, emit: Emit) -> ModelResponse:
        begun, first_ms, response = self._clock.monotonic(), None, None
        request = ModelRequest(
            system=self._context.system,
            messages=self._context.messages,
            tools=self._context.tools,
            max_tokens=max_tokens,
            deadline_s=self._given.call_s,
        )

        async def hand_over(kind: Delta, text: str) -> None:
            await emit(kind.event(step, text))

        async with (
            Coalescer(hand_over, self._clock, delay_s=self._given.delta_s) as gathered,
            aclosing(self._model.stream(request)) as stream,
        ):
            async for item in stream:
                if first_ms is None:
                    first_ms = (self._clock.monotonic() - begun) * 1000
                if isinstance(item, ModelResponse):
                    response = replace(item, message=sendable(item.message))
                elif isinstance(item, ToolInputDelta):
                    await gathered.add(Delta(type(item), item.call_id, item.name), item.text)
                else:
                    await gathered.add(Delta(type(item)), item.text)
        if response is None:
            raise ModelStreamBroken("The model's answer ended without being complete.")
        usd = self._budget.cost(response.usage)
        self._spend(response.usage, usd)
        await emit(
            ModelResponded(
                step=step,
                message=response.message,
                stop_reason=response.stop_reason,
                usage=response.usage,
                usd=usd,
                duration_ms=(self._clock.monotonic() - begun) * 1000,
                first_token_ms=first_ms,
            )
        )
        return response

    async def _use_tools(
        self, step: int, calls: tuple[ToolCall, ...], emit: Emit
    ) -> tuple[ToolResult, ...]:
        """Make the calls at once, but each after those whose work it builds on; answers in
        the order of the calls.
        """
        over = [asyncio.Event() for _ in calls]

        async def use(place: int) -> ToolResult:
            call = calls[place]
            before = self._toolbox.waits_for(call.name)
            for earlier in range(place):
                if calls[earlier].name in before:
                    await over[earlier].wait()
            async with self._parallel:
                answer = await self._toolbox.call(call, step, emit)
            over[place].set()
            return answer.result

        async with together() as group:
            tasks = [group.create_task(use(place)) for place in range(len(calls))]
        return tuple(task.result() for task in tasks)

    def _spend(self, usage: Usage, usd: Decimal | None) -> None:
        sum_usd = None if usd is None or self._spent.usd is None else self._spent.usd + usd
        self._spent = self._spent.model_copy(
            update={
                "iterations": self._spent.iterations + 1,
                "usage": self._spent.usage + usage,
                "usd": sum_usd,
            }
        )


async def _say_how_it_ended(response: ModelResponse, emit: Emit) -> None:
    if response.stop_reason == "max_tokens":
        await emit(Notice(text="The answer was cut off: it reached the longest allowed length."))
    elif response.stop_reason == "refusal":
        await emit(Notice(text="The model declined to answer."))
    elif not response.message.text.strip():
        await emit(Notice(text="The model ended without an answer in words."))
