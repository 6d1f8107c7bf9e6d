"""Which way a run goes: what its ledger says, else the person, the rules, or the small model.

    ledger has it ─ else offline ─ else forced ─ else rules ─┬─ sure ────────────┐
                                                             └─ the small model ─┴─ run.routed

The small model's call is budgeted and on the ledger as any other, in the step `ROUTING`; only its
words are not, as nobody is meant to read them. It is made once, never again after a failure, and
only where the caps leave room for an answer after it. A run that is gone on with keeps its way.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from forge.agent.loop import Assignment, run_loop
from forge.agent.retries import Retries
from forge.agent.router import (
    ANSWER_S,
    ANSWER_TOKENS,
    PATHS,
    QUESTION,
    Decision,
    forced,
    question,
    route,
    understood,
)
from forge.agent.transcript import Place
from forge.budget.prices import PriceTable
from forge.clock import Clock
from forge.errors import BudgetError, ModelError
from forge.events import (
    ROUTING,
    AnyEvent,
    ModelFailed,
    ModelRequested,
    ModelResponded,
    RunRouted,
)
from forge.ledger.fold import RunView
from forge.models.base import Model
from forge.runs.allowance import Allowance
from forge.tools.toolbox import Toolbox
from forge.usage import Usage

Record = Callable[[AnyEvent], Awaitable[None]]

_OFFLINE = "no model is configured, so the message's own code blocks are run"
_BEFORE = "it began before there were ways to choose from"


def is_offline(model: Model) -> bool:
    """Whether this is no model but the offline mode, which goes a way of its own."""
    return model.name.startswith("offline:")


class Router:
    """Chooses the ways of runs. `small` is asked where the rules do not decide, and answers what
    words can answer.
    """

    def __init__(self, model: Model, small: Model, prices: PriceTable, clock: Clock) -> None:
        self._model, self._small = model, small
        self._prices, self._clock = prices, clock

    async def way(self, view: RunView, earlier: Sequence[RunView], record: Record) -> RunRouted:
        """A run's way; put on its ledger where that does not have it.

        Raises:
            LedgerUnwritable: it is not durable.
        """
        if view.routed is not None:
            return view.routed
        if view.steps:
            return RunRouted(path="agent", reason=_BEFORE, model=self._model.name)
        routed = await self._chosen(view, [_way(each) for each in earlier], record)
        await record(routed)
        return routed

    async def _chosen(self, view: RunView, earlier: Sequence[str], record: Record) -> RunRouted:
        started = view.started
        if is_offline(self._model):
            return RunRouted(path="offline", reason=_OFFLINE, model=self._model.name)
        if started.route in PATHS:
            return self._routed(forced(started.route), by_person=True)
        said = route(
            started.prompt,
            has_files=bool(started.files),
            earlier=earlier,
            model_uses_tools=self._model.uses_tools,
        )
        return self._routed(said if said.sure else await self._asked(said, view, earlier, record))

    def _routed(self, said: Decision, *, by_person: bool = False) -> RunRouted:
        answers = self._small if said.path == "chat" else self._model
        return RunRouted(path=said.path, reason=said.reason, forced=by_person, model=answers.name)

    async def _asked(
        self, said: Decision, view: RunView, earlier: Sequence[str], record: Record
    ) -> Decision:
        """What the small model says; what the rules say where it cannot be asked or understood."""
        await load_prices(self._small, self._prices)
        answer = ""
        try:
            async with aclosing(self._question(view, earlier)) as events:
                async for event in events:
                    if isinstance(event, ModelRequested | ModelResponded | ModelFailed):
                        await record(event)
                    if isinstance(event, ModelResponded):
                        answer = event.message.text
                        break
        except BudgetError:
            return replace(said, reason=f"{said.reason}, and the caps leave no room to ask")
        except ModelError as error:
            return replace(said, reason=f"{said.reason}, and asking failed ({error.code})")
        decided = understood(answer, model_uses_tools=self._model.uses_tools)
        return decided or replace(said, reason=f"{said.reason}, and the small model did not say")

    def _question(self, view: RunView, earlier: Sequence[str]) -> AsyncGenerator[AnyEvent, None]:
        spent = view.totals()
        room = spent.model_copy(update={"iterations": spent.iterations + 1})
        assignment = Assignment(
            system=QUESTION,
            messages=(question(view.started.prompt, earlier),),
            place=Place(step=ROUTING, spent=room),
            max_tokens=ANSWER_TOKENS,
            call_s=ANSWER_S,
            retries=Retries(attempts=1),
        )
        allowance = Allowance(
            view.caps, self._prices, self._small, self._clock, passed_s=spent.wall_s
        )
        toolbox = Toolbox(None, (), self._clock)
        return run_loop(self._small, toolbox, allowance, self._clock, assignment)


async def load_prices(model: Model, prices: PriceTable) -> None:
    """Read the price table, which is slow to load, in another thread."""
    if model.priced:
        await asyncio.to_thread(prices.cost, model.name, Usage())


def _way(view: RunView) -> str:
    return view.routed.path if view.routed else "agent"
