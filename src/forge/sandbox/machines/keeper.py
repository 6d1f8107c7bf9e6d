"""What is kept of machines on this host: named snapshots, and paused machines.

    <home>/snapshots/<name>/    see `saved`
    <home>/machines/<id>/       the same, of a machine that is paused

A snapshot is made in a folder of another name, which is renamed when it is whole. It says what it
was saved with, and is refused where anything of that is different here.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from forge.errors import ForgeError, InputRefused, NameUnknown, NoSpace, SnapshotForeign
from forge.sandbox import records, verdicts
from forge.sandbox.agent.connection import AGENT_VERSION
from forge.sandbox.base import Limits, SandboxSpec, Snapshot
from forge.sandbox.images.store import Image
from forge.sandbox.machines import saved
from forge.sandbox.machines.engine import DATA, Accelerator, Clone, Engine
from forge_guest.wire import frames

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Keeper:
    """Knows what was saved here, and whether it fits. It holds nothing open.

    Args:
        home: Forge's own folder.
        images: finds a template's image by name; raises NameUnknown or ImageMissing.
        engine: what it was saved with.
    """

    def __init__(self, home: Path, images: Callable[[str], Image], engine: Engine) -> None:
        self._snapshots = home / "snapshots"
        self._images = images
        self._engine = engine

    # -- what fits -------------------------------------------------------------------------------

    def shape(self, accelerator: Accelerator, limits: Limits) -> dict[str, str]:
        """What this host and program save a machine with."""
        return {
            "format": str(saved.FORMAT),
            **self._engine.shape(accelerator, limits),
            "wire": str(frames.VERSION),
            "agent": str(AGENT_VERSION),
            "host": saved.short(verdicts.host_cpu()),
        }

    def glance(self, folder: Path) -> saved.Manifest | None:
        """What a folder says it holds, unchecked but for its form; None where it holds nothing of
        this VMM.
        """
        manifest = saved.glance(folder)
        ours = manifest is not None and self._engine.name in manifest.shape
        return manifest if ours else None

    def manifest(self, clone: Clone, spec: SandboxSpec, folder: Path) -> saved.Manifest:
        """What to say of files that were just saved."""
        image, limits = clone.image, clone.limits
        return saved.Manifest(
            shape=self.shape(clone.accelerator, limits),
            accelerator=clone.accelerator,
            image=saved.ImageFact(
                name=image.name,
                key=image.key,
                agent=image.agent.name,
                root=image.root.name,
                root_kind=image.root_kind,
            ),
            wish=saved.Wish(
                template=spec.template,
                limits=limits,
                volumes=spec.volumes,
                idle_s=spec.idle_s,
                lifetime_s=spec.lifetime_s,
                on_timeout=spec.on_timeout,
            ),
            boot=records.boot_id(),
            sealed=False,
            files=saved.stamps(folder),
        )

    def load(self, folder: Path) -> Clone:
        """What was saved in a folder, checked. Runs in a thread.

        Raises:
            SnapshotCorrupt, SnapshotForeign: it cannot be used.
        """
        manifest, state = saved.load(
            folder, lambda said: self.shape(said.accelerator, said.wish.limits)
        )
        wish = manifest.wish
        return Clone(
            accelerator=manifest.accelerator,
            image=self._image(folder.name, manifest.image),
            limits=wish.limits,
            memory=folder / "memory",
            state=state,
            data=folder / DATA,
        )

    def _image(self, name: str, fact: saved.ImageFact) -> Image:
        now = self._images(fact.name)
        if now.key == fact.key:
            return now
        agent, root = now.agent.with_name(fact.agent), now.root.with_name(fact.root)
        if not (agent.is_file() and root.is_file()):
            raise SnapshotForeign(
                f"{name} was saved with an image of {fact.name!r} that is here no more: {fact.key}"
            )
        return Image(
            name=fact.name,
            key=fact.key,
            vmlinuz=now.vmlinuz,
            initrd=now.initrd,
            agent=agent,
            root=root,
            root_kind=fact.root_kind,
            preload=now.preload,
            env=now.env,
        )

    # -- named snapshots -------------------------------------------------------------------------

    def find(self, name: str) -> Path | None:
        """Where a snapshot is, if there is one of this name."""
        if not _NAME.fullmatch(name):
            return None
        folder = self._snapshots / name
        return folder if self.glance(folder) is not None else None

    def check_name(self, name: str) -> None:
        """Refuse a name that a snapshot cannot have.

        Raises:
            InputRefused: it is malformed, or taken.
        """
        if not _NAME.fullmatch(name):
            raise InputRefused(f"{name[:100]!r} cannot be a snapshot's name: a-z, 0-9 and ._- can")
        if (self._snapshots / name).exists() or self._is_template(name):
            raise InputRefused(f"there is a template or a snapshot of the name {name!r} already")

    def _is_template(self, name: str) -> bool:
        try:
            self._images(name)
        except NameUnknown:
            return False
        except ForgeError:
            return True
        return True

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for what is saved and not kept; it is gone afterwards.

        Raises:
            NoSpace: the host cannot make it.
        """
        folder = records.half_made(self._snapshots, os.urandom(6).hex())
        try:
            self._snapshots.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise NoSpace(f"the machine could not be saved: {error.strerror}") from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def keep(
        self, name: str, spec: SandboxSpec, save: Callable[[Path], Awaitable[Clone]]
    ) -> Snapshot:
        """Have `save` fill a folder, and keep it under a name.

        Raises:
            InputRefused: the name is malformed, or taken.
            NoSpace: the host cannot write it.
        """
        self.check_name(name)
        with self.scratch() as folder:
            clone = await save(folder)
            try:
                saved.write_manifest(folder, self.manifest(clone, spec, folder))
                folder.rename(self._snapshots / name)
            except FileExistsError as error:
                raise InputRefused(f"there is a snapshot {name!r} already") from error
            except OSError as error:
                raise NoSpace(f"the snapshot could not be kept: {error.strerror}") from error
        return self._fact(name, spec.template)

    def folder(self, name: str) -> Path:
        """Where a snapshot of this name is."""
        return self._snapshots / name

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Every snapshot, sorted by name."""
        found = []
        for folder in sorted(self._snapshots.glob("*")):
            manifest = self.glance(folder)
            if manifest is not None and _NAME.fullmatch(folder.name):
                found.append(self._fact(folder.name, manifest.wish.template))
        return tuple(found)

    def _fact(self, name: str, template: str) -> Snapshot:
        blocks = sum((self._snapshots / name / each).stat().st_blocks for each in saved.FILES)
        return Snapshot(name, template, blocks * 512)

    def remove_snapshot(self, name: str) -> None:
        """Remove a snapshot. What runs from it keeps its memory open and is not disturbed.

        Raises:
            NameUnknown: there is none of this name.
        """
        folder = self._snapshots / name
        if not _NAME.fullmatch(name) or folder.is_symlink() or not folder.is_dir():
            known = ", ".join(each.name for each in self.snapshots()) or "none"
            raise NameUnknown(f"there is no snapshot {name[:100]!r}; there are: {known}")
        (folder / saved.MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def remove_half_made(self) -> None:
        """Remove what processes that no longer live left half-made; what has a name is kept."""
        records.remove_half_made(self._snapshots)
