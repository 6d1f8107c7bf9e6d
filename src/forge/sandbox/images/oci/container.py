"""Runs the builders, skopeo and buildah, so that what they run cannot hurt the host.

skopeo runs as whoever runs Forge: it fetches and checks, and runs nothing of an image. buildah runs
a Dockerfile's `RUN` lines, so it is shut in, alike with root and without (`namespace.sh`): user ids
that are nobody's on this host, no network unless the person asks for it, own processes, no devices,
a size for files, a deadline. Its storage lies in the build's own folder and goes with it.
"""

import asyncio
import contextlib
import os
import pwd
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from forge.errors import HostUnfit, ImageBuildFailed, NoSpace, SourceRefused
from forge.sandbox.images.debian import EPOCH
from forge.sandbox.images.oci.dockerfile import BASE, read_dockerfile
from forge.sandbox.images.oci.source import Source, find_base
from forge.sandbox.images.process import Programs, find_program
from forge.tasks import together

MAX_FILE = 8 << 30
"""Bytes of one file a builder may write: as much as a whole image may hold."""

_ROOTS_IDS = 1_878_982_656  # the last range that systemd sets aside for containers
_COUNT = 65536
_FETCH_S = 1800.0  # a slow line may need minutes for a gigabyte
_BUILD_S = 3600.0  # a Dockerfile may compile something large
_COPY_S = 600.0  # copying between folders of this host
_FLOOR = 1 << 30  # of free disk: below it a build is ended, before it hurts whatever else runs here
_LOOK_S = 0.5
_SCRIPT = Path(__file__).with_name("namespace.sh")


@dataclass(frozen=True, slots=True)
class Ids:
    """The range of the host's user and group ids that a namespace's own ones stand for."""

    uid: int
    gid: int


def free_ids(etc: Path = Path("/etc")) -> Ids:
    """A range of ids that are nobody's.

    Raises:
        HostUnfit: this person, or this container, has none.
    """
    if os.geteuid() == 0:
        total = sum(
            int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text().splitlines()
        )
        if total < _ROOTS_IDS + _COUNT:
            raise HostUnfit(
                "building a Dockerfile needs user ids that are nobody's, and this container has "
                f"only {total}",
                hint="Build on the host, or from an image instead of a Dockerfile.",
            )
        return Ids(_ROOTS_IDS, _ROOTS_IDS)
    return Ids(_range(etc / "subuid"), _range(etc / "subgid"))


def _range(path: Path) -> int:
    name = pwd.getpwuid(os.geteuid()).pw_name
    lines = path.read_text().splitlines() if path.is_file() else []
    for line in lines:
        who, _, rest = line.partition(":")
        first, _, count = rest.partition(":")
        if who in (name, str(os.geteuid())) and count.isdigit() and int(count) >= _COUNT:
            return int(first)
    raise HostUnfit(
        f"building a Dockerfile without root needs a range of subordinate ids, and {path} gives "
        f"{name} none",
        hint="Run, as root: "
        f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}",
    )


class Builder:
    """The builders of one build. `folder` is the build's own, and goes with it."""

    def __init__(self, programs: Programs, folder: Path, *, network: bool) -> None:
        self._programs = programs
        self._folder = folder
        self._network = network

    async def fetch(self, source: Source) -> Path:
        """Fetch an image as it is; returns the folder where it lies, its layers uncompressed.

        Raises:
            SourceRefused: it is not there, not reachable, or damaged.
            ProgramMissing, NoSpace: skopeo is not installed; the disk is too full.
        """
        out = self._folder / "image"
        await self._copy(source, f"dir:{out}", "--dest-decompress")
        return out

    async def build(self, source: Source) -> Path:
        """Build a Dockerfile; returns the folder where the image lies, its layers uncompressed.

        Raises:
            SourceRefused: an image it starts from cannot be fetched, or a line of it fails.
            HostUnfit, ProgramMissing, NoSpace: this host cannot build it.
        """
        ids = free_ids()
        try:
            text = source.place.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise SourceRefused(f"{source.place} is not text") from error
        dockerfile = read_dockerfile(text)
        bases = [find_base(image, source.context) for image in dockerfile.images]
        for number, base in enumerate(bases):
            await self._copy(base, f"oci:{self._folder / 'bases'}:{number}")
        (self._folder / "Dockerfile").write_text(dockerfile.text, encoding="utf-8")
        (self._folder / "Dockerfile").chmod(0o644)
        store = self._make_store(ids)
        inside = self._inside(ids, store)
        await self._bring(source.context, inside, store)
        for number in range(len(bases)):
            stored = f"containers-storage:[vfs@{store}/root+{store}/run]{BASE.format(number)}"
            fetched = f"oci:{self._folder / 'bases'}:{number}"
            copy = ["skopeo", "--insecure-policy", "copy", "--quiet", fetched, stored]
            async with _ample(self._folder):
                await self._programs.run([*inside, *copy], deadline_s=_COPY_S)
        await self._carry_out(inside, store)
        return store / "out"

    async def _carry_out(self, inside: Sequence[str], store: Path) -> None:
        build = [
            *(*inside, *_buildah(store), "build", "--isolation", "chroot", "--layers=false"),
            *("--pull-never", "--timestamp", str(EPOCH)),
            *("-f", str(self._folder / "Dockerfile"), "-t", _RESULT, str(store / "context")),
        ]
        push = [
            *(*inside, *_buildah(store), "push", "--disable-compression", "--format", "oci"),
            *(_RESULT, f"dir:{store / 'out'}"),
        ]
        try:
            async with _ample(self._folder):
                await self._programs.run(build, deadline_s=_BUILD_S)
                await self._programs.run(push, deadline_s=_COPY_S)
        except ImageBuildFailed as error:
            raise SourceRefused(
                f"the Dockerfile does not build: {error.message}",
                hint="Mend the line that failed. RUN has no network unless you build with "
                "--network.",
            ) from error

    async def _copy(self, source: Source, target: str, *options: str) -> None:
        argv = ["skopeo", "--insecure-policy", "copy", "--quiet", *options, source.skopeo, target]
        try:
            async with _ample(self._folder):
                await self._programs.run(_limited(argv), deadline_s=_FETCH_S)
        except ImageBuildFailed as error:
            hint = (
                "Check the image's name, and that its registry can be reached from here. A copy of "
                "it as an OCI layout in a folder needs no registry."
                if source.kind == "image"
                else "Check that the folder is a whole OCI layout, and that the tag is in it."
            )
            raise SourceRefused(
                f"the image {source.words[:200]!r} could not be fetched: {error.message}", hint=hint
            ) from error

    def _make_store(self, ids: Ids) -> Path:
        store = self._folder / "store"
        store.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(store, ids.uid, ids.gid)
        else:
            # The namespace's root is a stranger to this person's folders. It gets one to write to,
            # in a folder that no other person of this host can walk into by guessing.
            store = store.rename(self._folder / f"store-{os.urandom(16).hex()}")
            store.chmod(0o777)
            self._folder.chmod(0o711)
        return store

    def _inside(self, ids: Ids, store: Path) -> list[str]:
        network = "network" if self._network else "alone"
        return _limited(
            [
                *("env", f"TMPDIR={store}", f"HOME={store}", f"XDG_RUNTIME_DIR={store}/run"),
                *("_CONTAINERS_USERNS_CONFIGURED=1", "BUILDAH_ISOLATION=chroot"),
                *("sh", str(_SCRIPT), network, str(ids.uid), str(ids.gid), str(_COUNT)),
            ]
        )

    async def _bring(self, context: Path, inside: Sequence[str], store: Path) -> None:
        """Copy the Dockerfile's folder to where the namespace's root can read it, and owns it."""
        await self._programs.run([*inside, "mkdir", f"{store}/context"], deadline_s=_COPY_S)
        async with _ample(self._folder):
            await self._programs.pipe(
                ["tar", "--create", "--directory", str(context), "."],
                [*inside, "tar", "--extract", "--no-same-owner", f"--directory={store}/context"],
                deadline_s=_COPY_S,
            )


_RESULT = "localhost/forge-result:latest"


def _buildah(store: Path) -> list[str]:
    return [
        *("buildah", "--root", f"{store}/root", "--runroot", f"{store}/run"),
        *("--storage-driver", "vfs"),
    ]


def _limited(argv: Sequence[str]) -> list[str]:
    return [find_program("prlimit"), f"--fsize={MAX_FILE}", "--core=0", "--", *argv]


@contextlib.asynccontextmanager
async def _ample(folder: Path) -> AsyncIterator[None]:
    """End the block with `NoSpace` before the disk is full: what is fetched and run is anyone's."""

    async def watch() -> None:
        while shutil.disk_usage(folder).free > _FLOOR:  # noqa: ASYNC110  (nobody tells of it)
            await asyncio.sleep(_LOOK_S)
        raise NoSpace(
            f"building was ended because less than {_FLOOR >> 20} MiB are free in {folder}"
        )

    async with together() as tasks:
        watching = tasks.create_task(watch())
        yield
        watching.cancel()
