"""`sandbox.code` over the wire."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

from forge.errors import ContextNotFound, FileNotFound, InputRefused, PathRefused
from forge.sandbox.agent import answers, deadlines
from forge.sandbox.agent.call import Call, Line
from forge.sandbox.code import NO_VARIABLES, CodeResult, ContextInfo, Language
from forge.sandbox.files import HOME
from forge.sandbox.output import Display, Output, Sink

_MAX_FOLDER = 512


class AgentInterpreter:
    """See `forge.sandbox.code.Interpreter` for the contract."""

    def __init__(self, line: Line) -> None:
        self._line = line
        # The guest counts a cell's deadline from its start; waiting for a turn is not its fault.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(
        self,
        code: str,
        sink: Sink,
        *,
        deadline_s: float,
        context: str = "default",
        env: Mapping[str, str] = NO_VARIABLES,
    ) -> CodeResult:
        """See `forge.sandbox.code.Interpreter.run`."""
        _check_variables(env)
        request = {
            "verb": "code",
            "context": context,
            "deadline_s": deadline_s,
            "env": dict(env),
        }
        source = code.encode("utf-8", "surrogatepass")
        patience = deadline_s + deadlines.CONTEXT_S + deadlines.MARGIN_S
        async with (
            self._turns.setdefault(context, asyncio.Lock()),
            _naming(),
            Call(self._line, request, patience) as call,
            call.feeding(source),
        ):
            final = await call.follow(sink, answers.Records())
        return replace(call.checked(answers.code_result, final), dropped_bytes=call.dropped)

    async def rehearse(self, code: str, *, deadline_s: float) -> None:
        """Run a cell in the default context for what it warms: nothing of it is shown or left.

        Raises:
            GuestRefused: the template has no interpreter.
            SandboxError: the machine is not well.
        """
        request = {"verb": "code", "rehearsal": True, "deadline_s": deadline_s, "env": {}}
        patience = deadline_s + deadlines.CONTEXT_S + deadlines.MARGIN_S
        async with (
            self._turns.setdefault("default", asyncio.Lock()),
            Call(self._line, request, patience) as call,
            call.feeding(code.encode()),
        ):
            final = await call.follow(_unheard, answers.Records())
        call.checked(answers.code_result, final)

    async def contexts(self) -> tuple[ContextInfo, ...]:
        """See `forge.sandbox.code.Interpreter.contexts`."""
        async with Call(self._line, {"verb": "contexts"}, deadlines.QUICK_S, fin=True) as call:
            return call.checked(answers.contexts, await call.final())

    async def create(
        self, language: Language = "python", cwd: str = HOME, *, context: str | None = None
    ) -> ContextInfo:
        """See `forge.sandbox.code.Interpreter.create`."""
        if not cwd or "\0" in cwd or len(cwd.encode("utf-8", "surrogateescape")) > _MAX_FOLDER:
            raise PathRefused(f"A context's folder has 1 to {_MAX_FOLDER} bytes, and no NUL.")
        name = secrets.token_hex(8) if context is None else context
        request = {"verb": "create_context", "context": name, "language": language, "cwd": cwd}
        return await self._told(request)

    async def interrupt(self, context: str) -> bool:
        """See `forge.sandbox.code.Interpreter.interrupt`."""
        final = await self._ask({"verb": "interrupt_context", "context": context})
        return final.get("busy") is True

    async def restart(self, context: str) -> ContextInfo:
        """See `forge.sandbox.code.Interpreter.restart`."""
        return await self._told({"verb": "restart_context", "context": context})

    async def remove(self, context: str) -> None:
        """See `forge.sandbox.code.Interpreter.remove`."""
        await self._ask({"verb": "remove_context", "context": context})

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        patience = deadlines.CONTEXT_S + deadlines.MARGIN_S
        async with _naming(), Call(self._line, request, patience, fin=True) as call:
            return await call.final()

    async def _told(self, request: dict[str, Any]) -> ContextInfo:
        patience = deadlines.CONTEXT_S + deadlines.MARGIN_S
        async with _naming(), Call(self._line, request, patience, fin=True) as call:
            return call.checked(answers.context_info, await call.final())


async def _unheard(_: Output | Display) -> None:
    return None


def _check_variables(env: Mapping[str, str]) -> None:
    for name, value in env.items():
        if not name or "=" in name or "\0" in name + value:
            raise InputRefused(f"{name[:100]!r} cannot be a variable with that value.")


@contextlib.asynccontextmanager
async def _naming() -> AsyncIterator[None]:
    """What is not found by a verb of code is a context."""
    try:
        yield
    except FileNotFound as error:
        raise ContextNotFound(error.message) from error
