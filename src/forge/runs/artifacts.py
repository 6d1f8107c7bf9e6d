"""What a run made: the files under the machine's home that are new or changed, kept as blobs.

Names come from the guest and are hostile: only plain relative paths of printable text are kept, so
whoever writes them out on a host cannot be led elsewhere. What is hidden is left alone, and what
is too large or too much is left with a notice, never silently.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol

from forge.errors import FileNotFound, GuestRefused, InputRefused
from forge.events import ArtifactSaved, Notice
from forge.sandbox.base import Sandbox
from forge.sandbox.files import HOME, FileInfo
from forge.tools.closing import closing

_MIB = 1 << 20


class Kept(Protocol):
    """A blob that was kept: its SHA-256 in hex and its size in bytes."""

    @property
    def sha256(self) -> str:
        """The digest in hex."""

    @property
    def size(self) -> int:
        """How many bytes."""


class Blobs(Protocol):
    """Where files are kept; `forge.store.blobs` is one."""

    def get(self, sha256: str) -> AsyncIterator[bytes]:
        """The bytes of a blob.

        Raises:
            FileNotFound: no blob of this digest is kept.
            HostUnfit: it cannot be read.
        """

    async def put(self, content: AsyncIterator[bytes], *, limit: int) -> Kept:
        """Keep `content`.

        Raises:
            InputRefused: it is larger than `limit` bytes.
            NoSpace, HostUnfit: the host cannot keep it.
        """


@dataclass(frozen=True, slots=True)
class ArtifactLimits:
    """What one run may leave on the host, in bytes and files, and how deep it is looked for."""

    file: int = 128 * _MIB
    total: int = 512 * _MIB
    count: int = 200
    depth: int = 8


class _Trace(NamedTuple):
    """By what a change of a file is seen."""

    size: int
    modified: float


class Artifacts:
    """Looks after one machine's home. It holds nothing open between calls; `before` are those that
    the run has kept already.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        blobs: Blobs,
        limits: ArtifactLimits,
        before: Sequence[ArtifactSaved] = (),
    ) -> None:
        self._sandbox, self._blobs, self._limits = sandbox, blobs, limits
        self._seen: dict[str, _Trace] = {}
        self._kept = {artifact.name: artifact.sha256 for artifact in before}
        self._bytes = sum(artifact.size for artifact in before)
        self._files = len(before)
        self._told: set[str] = set()

    async def look(self) -> None:
        """Take what is there now as not made by the run."""
        self._seen = {info.path: _Trace(info.size, info.modified) for info in await self._list()}

    async def collect(self, step: int) -> AsyncGenerator[ArtifactSaved | Notice, None]:
        """Keep what is new or changed since the last look; yields each as it is kept.

        Raises:
            NoSpace, HostUnfit: the host cannot keep it.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: the machine is gone.
        """
        try:
            entries = await self._list()
        except GuestRefused as error:
            if notice := self._once("list", f"The files were not looked through: {error.message}"):
                yield notice
            return
        for info in entries:
            trace = _Trace(info.size, info.modified)
            if self._seen.get(info.path) == trace:
                continue
            self._seen[info.path] = trace
            if (event := await self._keep(info, step)) is not None:
                yield event

    async def _list(self) -> tuple[FileInfo, ...]:
        try:
            found = await self._sandbox.files.list(HOME, depth=self._limits.depth)
        except FileNotFound:
            return ()  # the home itself was removed or renamed in the machine
        return tuple(info for info in found if info.kind == "file" and not _hidden(info.path))

    async def _keep(self, info: FileInfo, step: int) -> ArtifactSaved | Notice | None:
        name = artifact_name(info.path)
        if name is None:
            return self._once("name", f"A file of an unsafe name was not kept: {info.path!a:.120}")
        limits = self._limits
        if info.size > limits.file:
            return Notice(
                text=f"{name} was not kept: its {info.size} bytes are more than {limits.file}."
            )
        if self._files >= limits.count or self._bytes + info.size > limits.total:
            return self._once(
                "total",
                f"{name}, and what follows it, was not kept: a run leaves at most {limits.count} "
                f"files and {limits.total} bytes.",
            )
        return await self._save(name, info.path, step)

    async def _save(self, name: str, path: str, step: int) -> ArtifactSaved | Notice | None:
        try:
            async with closing(self._sandbox.files.read(path, limit=self._limits.file)) as content:
                kept = await self._blobs.put(content, limit=self._limits.file)
        except (FileNotFound, GuestRefused, InputRefused) as error:
            return Notice(text=f"{name} was not kept: {error.message}")
        if self._kept.get(name) == kept.sha256:
            return None  # written again with the same content
        self._kept[name] = kept.sha256
        self._bytes += kept.size
        self._files += 1
        return ArtifactSaved(step=step, name=name, size=kept.size, sha256=kept.sha256)

    def _once(self, about: str, text: str) -> Notice | None:
        if about in self._told:
            return None
        self._told.add(about)
        return Notice(text=text)


def artifact_name(path: str) -> str | None:
    """The name of an artifact at this path in the machine, relative to its home; None if unsafe."""
    if not path.startswith(f"{HOME}/") or not path.isprintable() or "\\" in path:
        return None
    name = path.removeprefix(f"{HOME}/")
    parts = name.split("/")
    safe = all(part not in ("", ".", "..") and len(part.encode()) <= 255 for part in parts)
    return name if safe else None


def _hidden(path: str) -> bool:
    parts = PurePosixPath(path.removeprefix(f"{HOME}/")).parts
    return any(part.startswith(".") and part not in (".", "..") for part in parts)
