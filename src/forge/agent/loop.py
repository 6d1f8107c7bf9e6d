"""The loop: ask the model, carry out what it wishes, tell it what came of it, until it answers.

    budget ─ model.requested ─ deltas … ─ model.responded ─┬─ no tool calls: the answer, the end
       ▲          ▲ model.failed: wait, try again          └─ tools, at once where they may be ─┐
       └──────────┴─────────────────────────────────────────────────────────────────────────────┘

The loop yields events and holds nothing else: no provider, database or clock that was not given to
it. Each event has been dealt with by the reader (made durable) before what follows from it happens.
The budget is asked before each model call, retries included, and alone bounds how often it turns.
A failed model call is tried again only where the error says that helps; each attempt is an event.

It can begin in the middle (`Place`): a run that was cut off goes on where its ledger ends. Between
two steps it hears what the person said meanwhile, also before it takes an answer for the last one;
a call of a tool in `approve` waits for the person, and one that is denied is told to the model.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Protocol

from forge.agent.context import Context, sendable
from forge.agent.deltas import Delta
from forge.agent.person import Nobody, Person, Waiting
from forge.agent.retries import Retries
from forge.agent.stream import streamed
from forge.agent.transcript import Place
from forge.clock import Clock
from forge.errors import ModelError, ModelStreamBroken
from forge.events import (
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    Fault,
    MessageSteered,
    ModelFailed,
    ModelRequested,
    ModelResponded,
    Notice,
    ToolFinished,
    Totals,
)
from forge.messages import Message, Text, ToolCall, ToolResult, UserMessage
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

    def worst(self, input_tokens: int, max_tokens: int) -> Decimal | None:
        """The most a call can cost in USD; None where its price is unknown."""

    def cost(self, usage: Usage) -> Decimal | None:
        """What a call cost in USD; None where its price is unknown."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the model is to do. `max_tokens` bounds one answer, `call_s` one call in seconds: long
    enough for the longest answers with reasoning, short enough that a dead provider is noticed.
    `approve` are the tools whose calls wait for the person, at most `approve_s` seconds each.
    `offered`: whether the model is told of the tools.
    """

    system: str
    messages: tuple[Message, ...]
    place: Place = field(default_factory=Place)
    person: Person = field(default_factory=Nobody)
    approve: frozenset[str] = frozenset()
    approve_s: float = 3600.0
    offered: bool = True
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
        offered = toolbox.specs if assignment.offered else ()
        self._context = Context(assignment.system, offered, assignment.messages)
        self._spent = assignment.place.spent
        self._approvals: dict[str, Waiting] = {
            waiting.call.id: waiting for waiting in assignment.place.calls
        }
        self._parallel = asyncio.Semaphore(PARALLEL)

    async def run(self, emit: Emit) -> None:
        place = self._given.place
        step, attempts, results = place.step, place.attempts, place.results
        calls = tuple(waiting.call for waiting in place.calls)
        while True:
            if not calls:
                response = await self._ask(step, attempts, emit)
                self._context.add(response.message)
                calls = response.message.tool_calls
                if not calls and not await self._hear(step + 1, (), emit):
                    await _say_how_it_ended(response, emit)
                    return
            if calls:
                results = (*results, *await self._use_tools(step, calls, emit))
                await self._hear(step + 1, results, emit)
            step, attempts, calls, results = step + 1, 0, (), ()

    async def _hear(self, step: int, results: tuple[ToolResult, ...], emit: Emit) -> bool:
        """Tell the model what tools and people said before this step; whether there is anything."""
        said = self._given.person.words()
        for words in said:
            await emit(
                MessageSteered(step=step, text=words.text, by=words.by, order_id=words.order_id)
            )
        parts = (*results, *(Text(text=words.text) for words in said))
        if parts:
            self._context.add(UserMessage(parts=parts))
        return bool(parts)

    async def _ask(self, step: int, before: int, emit: Emit) -> ModelResponse:
        """One answer, in as many attempts as it takes and are allowed; `before` were cut off."""
        attempt = before
        while True:
            attempt += 1
            allowed = self._budget.allow(
                self._spent,
                input_tokens=self._context.input_tokens,
                max_tokens=self._given.max_tokens,
            )
            await emit(
                ModelRequested(
                    step=step,
                    attempt=attempt,
                    model=self._model.name,
                    max_tokens=allowed,
                    input_tokens=self._context.input_tokens,
                    worst_usd=self._budget.worst(self._context.input_tokens, allowed),
                )
            )
            try:
                return await self._call(step, allowed, emit)
            except ModelError as error:
                wait = self._given.retries.wait(error, attempt - before)
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
            if (denied := await self._denied(call, step, emit)) is not None:
                over[place].set()
                return denied
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

    async def _denied(self, call: ToolCall, step: int, emit: Emit) -> ToolResult | None:
        """The result of a call that the person did not agree to; None where it may be made."""
        waiting = self._approvals.pop(call.id, None)
        if waiting is None:
            if call.name not in self._given.approve:
                return None
            waiting = Waiting(call)
        asked, decided = waiting.asked, waiting.decided
        if asked is None:
            asked = ApprovalRequested(
                step=step,
                call_id=call.id,
                name=call.name,
                arguments=call.arguments,
                expires_at=self._clock.now() + timedelta(seconds=self._given.approve_s),
            )
            await emit(asked)
        if decided is None:
            decided = await self._given.person.decision(asked)
            await emit(decided)
        if decided.approved:
            return None
        content = _denial(decided)
        await emit(
            ToolFinished(
                step=step,
                call_id=call.id,
                name=call.name,
                outcome="denied",
                content=content,
                duration_ms=0,
            )
        )
        return ToolResult(call_id=call.id, name=call.name, content=content, is_error=True)

    def _spend(self, usage: Usage, usd: Decimal | None) -> None:
        sum_usd = None if usd is None or self._spent.usd is None else self._spent.usd + usd
        self._spent = self._spent.model_copy(
            update={
                "iterations": self._spent.iterations + 1,
                "usage": self._spent.usage + usage,
                "usd": sum_usd,
            }
        )


def _denial(decided: ApprovalDecided) -> str:
    who = "The person" if decided.by else "Nobody agreed in time, so Forge"
    why = f" They said: {decided.why}" if decided.by and decided.why else ""
    return (
        f"{who} denied this call; it was not made.{why} Do not try to reach the same by another "
        "way; go on without it, or say what you would need."
    )


async def _say_how_it_ended(response: ModelResponse, emit: Emit) -> None:
    if response.stop_reason == "max_tokens":
        await emit(Notice(text="The answer was cut off: it reached the longest allowed length."))
    elif response.stop_reason == "refusal":
        await emit(Notice(text="The model declined to answer."))
    elif not response.message.text.strip():
        await emit(Notice(text="The model ended without an answer in words."))
