"""Starts what a template keeps running, and waits until it is ready: once, before it is saved.

The start command is a process in the background; every clone finds it alive, as it was. How it
ended, if it does, is noted beside its output, so that a failure is told at once and in its own
words instead of after the ready check's deadline.
"""

import asyncio

from forge.errors import TemplateNotReady
from forge.sandbox.commands import Command, Commands, ExecResult
from forge.sandbox.images.config import Warming
from forge.sandbox.output import Display, Output

OUTPUT = "/tmp/forge-start.log"  # noqa: S108  (in the machine, which has one person)
"""Where the start command's output is in the machine."""

_ENDED = "/tmp/forge-start.ended"  # noqa: S108  (as above)
_START = f"""\
exec < /dev/null > {OUTPUT} 2>&1
rm -f {_ENDED}
( /bin/sh -c "$1"; code=$?; echo "$code" > {_ENDED}; exit "$code" ) &
"""
_STATE = f"if [ -e {_ENDED} ]; then cat {_ENDED}; tail -c 2000 {OUTPUT} >&2; fi"
_QUICK_S = 30.0  # to start a shell, on a slow host
_ASK_S = 20.0  # one ready check; one that hangs is asked again
_POLL_S = 0.2
_LOOK_S = 1.0  # what a start command without a ready check gets to fail in
_KEPT = 2000


async def start_and_wait(commands: Commands, warming: Warming) -> None:
    """Run a template's start command and ask its ready check until it succeeds.

    Raises:
        TemplateNotReady: the start command failed, or the check did not succeed in time; the
            message holds what they printed.
        SandboxError: the machine failed.
    """
    start = _Shell(commands, root=warming.as_root)
    if warming.start:
        await start.run(_START, warming.start, deadline_s=_QUICK_S)
    if warming.ready:
        await _until_ready(start, warming)
    elif warming.start:
        await asyncio.sleep(_LOOK_S)
        await _check_alive(start)


async def _until_ready(shell: "_Shell", warming: Warming) -> None:
    said = ""
    try:
        async with asyncio.timeout(warming.ready_deadline_s):
            while True:
                result, out, err = await shell.run(warming.ready, deadline_s=_ASK_S)
                if result.ok:
                    return
                said = f"{out}{err}" or said
                if warming.start:
                    await _check_alive(shell)
                await asyncio.sleep(_POLL_S)
    except TimeoutError as passed:
        raise TemplateNotReady(
            f"the ready check did not succeed within {warming.ready_deadline_s:g} s"
            + (f"; it said: {said[-_KEPT:].strip()}" if said.strip() else "; it printed nothing")
            + await _start_said(shell, warming)
        ) from passed


async def _start_said(shell: "_Shell", warming: Warming) -> str:
    if not warming.start:
        return ""
    _, out, _ = await shell.run(f"tail -c {_KEPT} {OUTPUT}", deadline_s=_QUICK_S)
    return f". The start command printed: {out.strip()}" if out.strip() else ""


async def _check_alive(shell: "_Shell") -> None:
    """A start command may put itself in the background and end well; it may not fail."""
    _, out, err = await shell.run(_STATE, deadline_s=_QUICK_S)
    code = out.strip()
    if code and code != "0":
        raise TemplateNotReady(
            f"the start command ended with exit code {code[:20]}"
            + (f": {err.strip()}" if err.strip() else " and printed nothing")
        )


class _Shell:
    """Runs lines of shell in the machine, and keeps the end of what they print."""

    def __init__(self, commands: Commands, *, root: bool) -> None:
        self._commands = commands
        self._user = "root" if root else "user"

    async def run(
        self, script: str, *arguments: str, deadline_s: float
    ) -> tuple[ExecResult, str, str]:
        kept = {"stdout": b"", "stderr": b""}

        async def keep(item: Output | Display) -> None:
            if isinstance(item, Output):
                kept[item.stream] = (kept[item.stream] + item.data)[-_KEPT:]

        command = Command(
            ("/bin/sh", "-c", script, "sh", *arguments),
            deadline_s=deadline_s,
            user="root" if self._user == "root" else "user",
        )
        result = await self._commands.run(command, keep)
        return result, _text(kept["stdout"]), _text(kept["stderr"])


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
