"""What every place for blobs must do: a list of checks, each given an empty one.

A check raises AssertionError where the place fails it. What a place does when it is broken is its
own, and is tested beside it.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

from forge.errors import FileNotFound, InputRefused
from forge.store.blobs import Blobs

_ABSENT = "0" * 64
_MIB = 1 << 20


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    """Content in pieces."""
    for chunk in chunks:
        yield chunk


async def whole(blobs: Blobs, sha256: str, *, start: int = 0, length: int | None = None) -> bytes:
    """What `get` gives, in one."""
    return b"".join([piece async for piece in blobs.get(sha256, start=start, length=length)])


async def what_is_put_is_got_by_its_digest(blobs: Blobs) -> None:
    """Empty, small, and of many megabytes; put twice it is the same."""
    for content in (b"", b"abc", bytes(range(256)) * 4096 * 12):
        digest = hashlib.sha256(content).hexdigest()
        assert await blobs.size(digest) is None
        for size in (_MIB, 7_777_777):
            cut = [content[at : at + size] for at in range(0, len(content), size)]
            assert await blobs.put(pieces(*cut), limit=len(content)) == (digest, len(content))
        assert await blobs.size(digest) == await blobs.verify(digest) == len(content)
        assert await whole(blobs, digest) == content


async def a_range_is_that_part(blobs: Blobs) -> None:
    """From the middle, to the end, beyond the end, and nothing."""
    blob = await blobs.put(pieces(b"0123456789"), limit=10)
    for start, length in ((0, 3), (4, None), (8, 5), (10, None), (11, 2), (3, 0), (0, 10)):
        end = 10 if length is None else start + length
        part = await whole(blobs, blob.sha256, start=start, length=length)
        assert part == b"0123456789"[start:end], (start, length)


async def too_much_is_refused_and_not_kept(blobs: Blobs) -> None:
    """The limit holds for what comes, whatever was promised."""
    try:
        await blobs.put(pieces(b"abc", b"de"), limit=4)
    except InputRefused:
        assert await blobs.size(hashlib.sha256(b"abcde").hexdigest()) is None
    else:
        raise AssertionError("five bytes were kept where four may be")


async def a_source_that_breaks_leaves_nothing(blobs: Blobs) -> None:
    """Its exception comes through."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"abc"
        raise ZeroDivisionError

    try:
        await blobs.put(broken(), limit=10)
    except ZeroDivisionError:
        assert await blobs.size(hashlib.sha256(b"abc").hexdigest()) is None
    else:
        raise AssertionError("a source broke unseen")


async def what_is_not_there_is_not_found(blobs: Blobs) -> None:
    """Reading and verifying say so; removing is content."""
    for use in (whole(blobs, _ABSENT), whole(blobs, _ABSENT, start=1), blobs.verify(_ABSENT)):
        try:
            await use
        except FileNotFound:
            continue
        raise AssertionError("what is not there was found")
    await blobs.delete(_ABSENT)


async def what_is_removed_is_gone(blobs: Blobs) -> None:
    """And can be put again."""
    for _ in range(2):
        blob = await blobs.put(pieces(b"abc"), limit=3)
        await blobs.delete(blob.sha256)
        assert await blobs.size(blob.sha256) is None


async def only_a_digest_is_a_name(blobs: Blobs) -> None:
    """Traversal, upper case and what else is no digest are refused by every method."""
    for name in ("", "../" * 20 + "etc", "A" * 64, "0" * 63 + "\n", "\u0660" * 64, "0" * 63):
        for use in (whole(blobs, name), blobs.size(name), blobs.verify(name), blobs.delete(name)):
            try:
                await use
            except InputRefused:
                continue
            raise AssertionError(f"{name!r} was taken for a digest")


async def a_look_whether_it_works_keeps_nothing(blobs: Blobs) -> None:
    """Asked again and again by whoever watches a server, it leaves nothing behind."""
    await blobs.check()
    await blobs.check()
    assert await blobs.size(hashlib.sha256(b"?").hexdigest()) is None


CHECKS: tuple[Callable[[Blobs], Awaitable[None]], ...] = (
    what_is_put_is_got_by_its_digest,
    a_range_is_that_part,
    too_much_is_refused_and_not_kept,
    a_source_that_breaks_leaves_nothing,
    what_is_not_there_is_not_found,
    what_is_removed_is_gone,
    only_a_digest_is_a_name,
    a_look_whether_it_works_keeps_nothing,
)
"""Every check, each with a fresh place."""
