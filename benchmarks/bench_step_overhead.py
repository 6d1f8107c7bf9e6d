"""What a step costs beside its model and its guest: one JSON line per figure.

A run of many steps, each one tool call with a line of output, on a model and a machine that answer
at once, with the real ledger on disk: all the time it takes is Forge's own.

    uv run python benchmarks/bench_step_overhead.py
"""

import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import cast

from forge.budget.prices import PriceTable
from forge.clock import SystemClock
from forge.events import Caps, ModelRequested, Notice, RunStarted
from forge.ids import new_run_id
from forge.ledger.append import LedgerWriter
from forge.ledger.read import LedgerReader
from forge.messages import AssistantMessage, Text, ToolCall
from forge.models.base import ModelEvent, ModelRequest, ModelResponse, TextDelta, ToolInputDelta
from forge.runs.driver import RunDriver
from forge.runs.machines import ConversationMachines
from forge.runs.orders import Orders
from forge.runs.owner import this_process
from forge.runs.service import open_runs
from forge.runs.wish import RunWish
from forge.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from forge.sandbox.code import CodeResult
from forge.sandbox.output import Output, Sink
from forge.store.blobs import BlobStore
from forge.store.database import Database
from forge.testing.sandbox import LocalInterpreter, LocalProvider
from forge.usage import Usage

STEPS = 200


class InstantModel:
    """Asks for code a number of times, at once, then answers."""

    name = "offline:instant"
    priced = False
    uses_tools = True

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Some deltas and the whole."""
        step = len(request.messages) // 2 + 1
        yield TextDelta("Let me look. ")
        usage = Usage(input_tokens=100 * step, output_tokens=20)
        if step > STEPS:
            yield ModelResponse(AssistantMessage(parts=(Text(text="Done."),)), "end", usage)
            return
        call = ToolCall(id=f"call_{step}", name="run_python", arguments='{"code": "print(1)"}')
        yield ToolInputDelta(call.id, call.name, call.arguments)
        message = AssistantMessage(parts=(Text(text="Let me look. "), call))
        yield ModelResponse(message, "tool_use", usage)

    async def close(self) -> None:
        """Nothing to free."""


class InstantInterpreter(LocalInterpreter):
    """Every call is over at once."""

    async def run(
        self,
        code: str,
        sink: Sink,
        *,
        deadline_s: float,
        context: str = "default",
    ) -> CodeResult:
        """One line of output."""
        assert code
        assert deadline_s > 0
        assert context
        await sink(Output("stdout", b"1\n"))
        return CodeResult("ok", 0)


class InstantProvider(LocalProvider):
    """Machines that are an empty folder, in which code is over at once."""

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """A machine."""
        machine = await super().create(spec)
        local = self.made[-1]
        local.code = InstantInterpreter(local)
        return machine


def say(name: str, value: float, n: int) -> None:
    print(json.dumps({"name": name, "value": round(value, 3), "unit": "ms", "n": n}))


async def steps(folder: Path, database: Database) -> list[float]:
    """Milliseconds from one model request to the next."""
    clock = SystemClock()
    model = InstantModel()
    driver = RunDriver(
        machines=ConversationMachines(cast("SandboxProvider", InstantProvider())),
        model_of=lambda _: model,
        ledger=LedgerWriter(database, clock),
        reader=LedgerReader(database),
        blobs=BlobStore(folder / "blobs"),
        prices=PriceTable(None),
        clock=clock,
        owner=this_process(),
    )
    wish = RunWish("go", caps=Caps(iterations=STEPS + 1))
    async with open_runs(driver, Orders(database, clock)) as service, service.start(wish) as run:
        marks = [
            time.perf_counter() * 1000
            async for record in run
            if isinstance(record.event, ModelRequested)
        ]
    return [after - before for before, after in itertools.pairwise(marks)]


async def appends(database: Database) -> list[float]:
    """Milliseconds of single appends."""
    clock = SystemClock()
    started = RunStarted(prompt="p", model="m", template="base", caps=Caps())
    appender, _ = await LedgerWriter(database, clock).begin(
        new_run_id(clock.now()), this_process(), started
    )
    times: list[float] = []
    for number in range(300):
        begun = time.perf_counter()
        await appender.append(Notice(text=f"{number} " * 50))
        times.append((time.perf_counter() - begun) * 1000)
    return times


async def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with Database.open(folder / "forge.db") as database:
            for what, times in (
                ("agent_step_overhead", await steps(folder, database)),
                ("ledger_append", await appends(database)),
            ):
                say(f"{what}_p50", statistics.median(times), len(times))
                say(f"{what}_p95", statistics.quantiles(times, n=20)[-1], len(times))


if __name__ == "__main__":
    asyncio.run(main())
