"""Answers the host: one task per stream, one verb per request."""

import asyncio
import os
import time
from collections.abc import AsyncIterator

from forge_guest import cgroups
from forge_guest.commands import Commands
from forge_guest.contexts import Interpreter
from forge_guest.facts import Facts
from forge_guest.files import Files
from forge_guest.ports import Ports
from forge_guest.processes import Reaper
from forge_guest.refusal import Refused, Verb
from forge_guest.volumes import Volumes
from forge_guest.wire.channel import Channel, ChannelClosed, Stream, StreamReset
from forge_guest.wire.transport import FdTransport

VERSION = 1
"""Of the verbs; the host refuses an agent with another."""

_SETTLE_S = 1.0


class Agent:
    """The machine's side of every verb."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        reaper = Reaper()
        self._env: dict[str, str] = {}
        self._prepared: dict[str, str] = {}
        self._facts = Facts()
        self._interpreter = Interpreter(reaper)
        commands, files = Commands(reaper, self._env), Files(reaper)
        ports = Ports()
        self._verbs = self.verbs()
        for room in (commands, files, self._interpreter, ports, Volumes()):
            self._verbs |= room.verbs()

    def verbs(self) -> dict[str, Verb]:
        """What is asked of the machine itself."""
        return {
            "ping": self._ping,
            "prepare": self._prepare,
            "restore": self._restore,
            "usage": self._usage,
        }

    def accept(self, stream: Stream) -> None:
        """Start answering a stream."""
        self._tasks.create_task(self._answer(stream))

    async def _answer(self, stream: Stream) -> None:
        verb = self._verbs.get(str(stream.request.get("verb")))
        try:
            if verb is None:
                raise Refused("refused", f"no verb {stream.request.get('verb')!r}")
            await verb(stream)
        except Refused as refusal:
            stream.reset(refusal.code, refusal.message)
        except (StreamReset, ChannelClosed):
            return
        except (OSError, ValueError, KeyError, TypeError, LookupError, TimeoutError) as error:
            stream.reset("refused", f"{type(error).__name__}: {error}")

    async def _ping(self, stream: Stream) -> None:
        await stream.message({"version": VERSION, "uptime_s": time.monotonic()}, fin=True)

    async def _usage(self, stream: Stream) -> None:
        """What the machine itself sees of its use; the host takes it as a claim."""
        usage = {"memory_available": cgroups.available(), "processes": cgroups.processes()}
        await stream.message(usage, fin=True)

    async def _prepare(self, stream: Stream) -> None:
        """Before a template is saved: load the interpreter, then say what people may use."""
        request = stream.request
        self._prepared = _variables(request["env"])
        self._env.update(self._prepared)
        failures = []
        if request["interpreter"]:
            failures = await self._interpreter.start(list(request["preload"]), self._env)
        cgroups.limit(int(request["processes"]))
        os.sync()
        # What the kernel still has to do now, every clone would do again after its restore.
        await asyncio.sleep(_SETTLE_S)
        await stream.message({"failures": failures}, fin=True)

    async def _restore(self, stream: Stream) -> None:
        variables = _variables(stream.request.get("env") or {})
        self._facts.apply(stream.request)
        # What the former owner's commands were given is not this one's.
        self._env.clear()
        self._env.update(self._prepared | variables)
        self._interpreter.restored(variables)
        await stream.message({"restored": True}, fin=True)


def _variables(value: dict[str, object]) -> dict[str, str]:
    return {str(name): str(text) for name, text in value.items()}


async def serve(connections: AsyncIterator[int]) -> None:
    """Answer the host until there are no more connections, or it breaks the wire's rules.

    Args:
        connections: connected descriptors, see `forge_guest.line`; each is owned from here on.
    """
    async with asyncio.TaskGroup() as tasks:
        agent = Agent(tasks)
        async for fd in connections:
            channel = Channel(FdTransport(fd), host=False, on_open=agent.accept)
            await channel.run()
