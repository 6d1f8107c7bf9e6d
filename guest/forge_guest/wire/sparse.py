"""The body of a sparse file in an archive: a map of its segments, then their bytes.

PAX format 1.0: decimal numbers, one a line, padded to a block: how many segments, then for each
where it begins and how long it is. Pure; keeps at most the map, which is bounded.
"""

from collections.abc import Iterator

from forge_guest.wire.tar import BLOCK, ArchiveError

MAX_SEGMENTS = 50_000
_LONGEST = 20
_LARGEST = 2**63 - 1


class SparseBody:
    """Turns a sparse body into pieces at their offsets.

    Args:
        real_size: how large the file is, holes and all.
    """

    def __init__(self, real_size: int) -> None:
        self._real_size = real_size
        self._pending = bytearray()
        self._read = 0
        self._numbers: list[int] = []
        self._mapped = False
        self._segments: list[tuple[int, int]] = []

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take some bytes of the body; yields each piece and where it belongs.

        Raises:
            ArchiveError: the map is malformed, or leads beyond the file.
        """
        self._pending += data
        if not self._mapped:
            self._map()
        while self._mapped and self._segments and self._pending:
            offset, length = self._segments[-1]
            piece = bytes(self._pending[:length])
            del self._pending[: len(piece)]
            self._segments.pop()
            if len(piece) < length:
                self._segments.append((offset + len(piece), length - len(piece)))
            yield offset, piece

    def close(self) -> None:
        """Say that the body is over.

        Raises:
            ArchiveError: it did not hold what its map said.
        """
        if not self._mapped or self._segments or self._pending:
            raise ArchiveError("a sparse file whose body is not what its map says")

    def _map(self) -> None:
        while not self._numbers or len(self._numbers) < 1 + 2 * self._numbers[0]:
            line, newline, rest = self._pending.partition(b"\n")
            if not newline and len(line) <= _LONGEST:
                return
            if not line.isdigit() or len(line) > _LONGEST:
                raise ArchiveError("a sparse file whose map is malformed")
            self._read += len(line) + 1
            self._pending = rest
            self._numbers.append(int(line))
            if self._numbers[0] > MAX_SEGMENTS:
                raise ArchiveError(f"a sparse file of more than {MAX_SEGMENTS} segments")
        fill = -self._read % BLOCK
        if len(self._pending) < fill:
            return
        del self._pending[:fill]
        pairs = list(zip(self._numbers[1::2], self._numbers[2::2], strict=True))
        end = 0
        for offset, length in pairs:
            if offset < end or length > _LARGEST or offset + length > self._real_size:
                raise ArchiveError("a sparse file whose map leads beyond it")
            end = offset + length
        self._segments = [pair for pair in reversed(pairs) if pair[1]]
        self._mapped = True
