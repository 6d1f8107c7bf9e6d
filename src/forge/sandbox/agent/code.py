"""`sandbox.code` over the wire."""

import asyncio
from dataclasses import replace
from weakref import WeakValueDictionary

from forge.sandbox.agent import answers, deadlines
from forge.sandbox.agent.call import Call, Line
from forge.sandbox.code import CodeResult
from forge.sandbox.output import Sink


class AgentInterpreter:
    """See `forge.sandbox.code.Interpreter` for the contract."""

    def __init__(self, line: Line) -> None:
        self._line = line
        # The guest counts a cell's deadline from its start; waiting for a turn is not its fault.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(
        self, code: str, sink: Sink, *, deadline_s: float, context: str = "default"
    ) -> CodeResult:
        """See `forge.sandbox.code.Interpreter.run`."""
        request = {"verb": "code", "context": context, "deadline_s": deadline_s}
        source = code.encode("utf-8", "surrogatepass")
        async with (
            self._turns.setdefault(context, asyncio.Lock()),
            Call(self._line, request, deadline_s + deadlines.MARGIN_S) as call,
            call.feeding(source),
        ):
            final = await call.follow(sink, answers.Records())
        return replace(call.checked(answers.code_result, final), dropped_bytes=call.dropped)
