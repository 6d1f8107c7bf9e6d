"""One call passed on: a client's stream to a worker joined to a stream to a machine's agent.

Each piece is received once there is credit for it at the other side, so nothing is buffered here
but what is under way, and who does not read holds up that call and no other.
"""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from forge.sandbox.agent.call import Line
from forge.sandbox.worker import protocol
from forge.tasks import together
from forge_guest.wire.channel import ChannelClosed, Stream, StreamReset
from forge_guest.wire.session import Data, Message


async def pass_on(
    stream: Stream,
    line: Line,
    request: dict[str, Any],
    before_last: Callable[[], Awaitable[None]],
) -> None:
    """Carry one call: everything from the client to the machine, and back.

    Args:
        stream: the client's.
        line: to the machine's agent.
        request: what is asked of it.
        before_last: awaited before the last that the client hears of the call.

    Raises:
        ForgeError: the line's error, where the call could not be carried to its end.
    """
    inner = await line.open(request, fin=False)
    try:
        async with together() as both:
            # Each way ends by itself; a client that wants no more of either gives its stream up.
            both.create_task(_upward(stream, inner))
            await _downward(inner, stream, line, before_last)
    finally:
        inner.reset("cancelled", "the client gave up")


async def _upward(stream: Stream, inner: Stream) -> None:
    while (item := await stream.receive()) is not None:
        # A machine that takes no more says why on its way down.
        with contextlib.suppress(StreamReset, ChannelClosed):
            if await _copy(item, inner):
                return
    with contextlib.suppress(StreamReset, ChannelClosed):
        await inner.finish()


async def _downward(
    inner: Stream, stream: Stream, line: Line, before_last: Callable[[], Awaitable[None]]
) -> None:
    try:
        while (item := await _heard(inner, line)) is not None:
            if item.fin:
                await before_last()
            if await _copied(item, stream, line):
                return
        await before_last()
        await stream.finish()
    except _GivenUp as given_up:
        await before_last()
        # A machine's own code must not pass for ours.
        code = "refused" if given_up.code.startswith(protocol.OWN) else given_up.code
        stream.reset(code, given_up.message)


class _GivenUp(StreamReset):
    """The machine, and not the client, gave the call up."""


async def _heard(inner: Stream, line: Line) -> Data | Message | None:
    try:
        item = await inner.receive()
    except StreamReset as reset:
        raise _GivenUp(reset.code, reset.message) from None
    except ChannelClosed as error:
        raise line.gone() from error
    if isinstance(item, Data) and not item.data and not item.fin:
        raise line.violated("an empty piece")
    return item


async def _copied(item: Data | Message, stream: Stream, line: Line) -> bool:
    try:
        return await _copy(item, stream)
    except ValueError as error:  # an agent writes JSON as we do: its messages fit as they did
        raise line.violated(f"a message that cannot be passed on: {error}") from error


async def _copy(item: Data | Message, to: Stream) -> bool:
    """Send on what was received; returns whether that ended the direction."""
    if isinstance(item, Message):
        await to.message(item.value, fin=item.fin)
    else:
        await to.send(item.lane, item.data)
        if item.fin:
            await to.finish()
    return item.fin
