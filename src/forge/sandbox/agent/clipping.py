"""Bounds what one call may show: the rest is dropped here, on the host, with a mark."""

from forge.sandbox.output import Display, Output, Sink


class Clipped:
    """A sink that passes on up to `limit` bytes to another; 0: all.

    A piece of output is cut where the limit is; a display goes whole or not at all. The guest is
    not held up: what it prints beyond is taken and forgotten.
    """

    def __init__(self, sink: Sink, limit: int) -> None:
        self._sink = sink
        self._limit = limit
        self._left = limit
        self.dropped = 0

    async def __call__(self, item: Output | Display) -> None:
        """Take one item."""
        if not self._limit:
            await self._sink(item)
        elif isinstance(item, Output):
            await self._output(item)
        else:
            size = sum(len(text) for text in item.data.values())
            if self._take(size, whole=True) == size:
                await self._sink(item)

    async def _output(self, item: Output) -> None:
        fits = self._take(len(item.data), whole=False)
        if fits:
            await self._sink(Output(item.stream, item.data[:fits]))

    def _take(self, size: int, *, whole: bool) -> int:
        fits = 0 if self.dropped or (whole and size > self._left) else min(size, self._left)
        self._left -= fits
        self.dropped += size - fits
        return fits

    async def finish(self) -> None:
        """Say how much was dropped, if any was."""
        if self.dropped:
            mark = f"\n[output limit of {self._limit} bytes: {self.dropped} more were dropped]\n"
            await self._sink(Output("stderr", mark.encode()))
