"""Where a run's artifacts are put for a person: a folder, and never anything outside it.

Names came from a guest. Each part of a name is checked again here, every folder is opened without
following symlinks and below the one before, and every file is created, never opened: what is there
already is not touched, a name that is taken gets a number. The bytes are compared with their digest
on the way; a file that differs is removed again.
"""

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from forge.cli.harmless import harmless
from forge.errors import ForgeError, HostUnfit, LedgerCorrupt, NoSpace, PathRefused
from forge.events import ArtifactSaved

Kept = Callable[[str], Path]
"""Where Forge keeps the bytes of a digest, SHA-256 in hex."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20
_TRIES = 100
_LONGEST = 255


class Written(NamedTuple):
    """What became of an artifact: the path it was written to, or why it was not."""

    artifact: ArtifactSaved
    path: Path | None
    error: ForgeError | None


class OutFolder:
    """A folder to write into; it is made when the first artifact is written.

    Args:
        folder: where; its parents are the person's own and may be anything.
        inner: names below it that are part of the place, each refused if it is a symlink.
    """

    def __init__(self, folder: Path, inner: Sequence[str] = ()) -> None:
        self._folder, self._inner = folder, tuple(inner)
        self.path = folder.joinpath(*inner)

    def check(self) -> None:
        """Refuse at once what could not be written into later.

        Raises:
            PathRefused: a symlink or a file is where the folder should be.
        """
        if self._folder.is_symlink() or (self._folder.exists() and not self._folder.is_dir()):
            raise _refused(self._folder)

    def write(self, artifacts: Sequence[ArtifactSaved], kept: Kept) -> tuple[Written, ...]:
        """Write every artifact; one that cannot be written does not keep the others from it."""
        written: list[Written] = []
        for artifact in artifacts:
            try:
                path = self._write(artifact, kept)
            except ForgeError as error:
                written.append(Written(artifact, None, error))
            else:
                written.append(Written(artifact, path, None))
        return tuple(written)

    def _write(self, artifact: ArtifactSaved, kept: Kept) -> Path:
        parts = _checked(artifact.name)
        try:
            with contextlib.ExitStack() as opened:
                folder = self._open(opened)
                for part in parts[:-1]:
                    folder = _inside(opened, folder, part)
                descriptor, name = _create(folder, parts[-1])
                try:
                    with open(descriptor, "wb") as target:  # noqa: PTH123  (a descriptor, no path)
                        _copy(artifact, kept, target)
                except BaseException:
                    os.unlink(name, dir_fd=folder)
                    raise
        except OSError as error:
            raise _named(error, self.path / artifact.name) from error
        return self.path.joinpath(*parts[:-1], name)

    def _open(self, opened: contextlib.ExitStack) -> int:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self._folder.mkdir()
        folder = os.open(self._folder, _DIRECTORY)
        opened.callback(os.close, folder)
        for part in self._inner:
            folder = _inside(opened, folder, part)
        return folder


def _inside(opened: contextlib.ExitStack, folder: int, name: str) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
    inner = os.open(name, _DIRECTORY, dir_fd=folder)
    opened.callback(os.close, inner)
    return inner


def _create(folder: int, name: str) -> tuple[int, str]:
    """A new file's descriptor and name; a number is put before the ending of a name that is taken.

    Raises:
        OSError: it cannot be made; FileExistsError where a hundred names are taken.
    """
    for candidate in _candidates(name):
        with contextlib.suppress(FileExistsError):
            return os.open(candidate, _NEW, 0o666, dir_fd=folder), candidate
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def _candidates(name: str) -> Iterator[str]:
    yield name
    stem, dot, ending = name.rpartition(".")
    for number in range(2, _TRIES):
        yield f"{stem}-{number}.{ending}" if dot and stem else f"{name}-{number}"


def _copy(artifact: ArtifactSaved, kept: Kept, target: BinaryIO) -> None:
    digest = hashlib.sha256()
    with kept(artifact.sha256).open("rb") as source:
        while piece := source.read(_PIECE):
            digest.update(piece)
            target.write(piece)
    if digest.hexdigest() != artifact.sha256:
        raise LedgerCorrupt(f"The kept bytes of {artifact.name} are not those of its digest.")


def _checked(name: str) -> tuple[str, ...]:
    parts = tuple(name.split("/"))
    for part in parts:
        plain = part not in ("", ".", "..") and "\\" not in part and part.isprintable()
        if not plain or len(part.encode()) > _LONGEST:
            raise PathRefused(f"An artifact's name is unsafe: {harmless(name)[:200]!a}.")
    return parts


def _named(error: OSError, path: Path) -> ForgeError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"There is no space left to write {path}.")
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return _refused(path)
    return HostUnfit(
        f"{path} cannot be written: {error.strerror}.",
        hint="Choose a folder you may write to with --out; the run's files are kept either way.",
    )


def _refused(path: Path) -> PathRefused:
    return PathRefused(
        f"{path} cannot be written: a symlink, or a file, is where a folder should be.",
        hint="Choose another folder with --out.",
    )
