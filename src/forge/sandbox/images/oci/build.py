"""Makes a person's template: from its source to a root in the store, and nothing half-made.

    source ─► image (skopeo, buildah) ─► checked ─► layers over each other ─► finished ─► squashfs

One builder at a time per home. Builders that waited for one that made just what they want take what
it made. What is built is a candidate until whoever asked has seen it work (`shelf`).
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from forge.sandbox.images.build import Progress, Tell, check_space
from forge.sandbox.images.config import TemplateConfig
from forge.sandbox.images.debian import EPOCH
from forge.sandbox.images.key import root_key
from forge.sandbox.images.oci.container import MAX_FILE, Builder
from forge.sandbox.images.oci.finish import FINISH, Found, examine, finish
from forge.sandbox.images.oci.pulled import Pulled, read_pulled
from forge.sandbox.images.oci.shelf import Made, Shelf, boot_id, check_name
from forge.sandbox.images.oci.source import Source
from forge.sandbox.images.oci.tree import Bounds, Tree, flatten
from forge.sandbox.images.oci.writing import write
from forge.sandbox.images.process import Programs
from forge.sandbox.images.root_part import pack_tar
from forge.sandbox.images.store import ImageStore, Part
from forge.sandbox.images.workplace import locked, workplace

BOUNDS = Bounds(size=MAX_FILE, entries=500_000)
"""Of an image: twice the largest that people run code in."""

_TREES = Path("/var/tmp")  # noqa: S108  (mkdtemp makes a folder there, where a stranger may walk)
_PACK_S = 1800.0  # two minutes for 8 GiB here; a slow disk may need ten times that


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be built. `network` lets a Dockerfile's RUN lines use this host's network."""

    name: str
    source: Source
    config: TemplateConfig
    network: bool = False


async def build_template(store: ImageStore, order: Order, tell: Tell) -> Made:
    """Build a template's root, and propose the template.

    Raises:
        InputRefused: its name cannot be one.
        SourceRefused: its source cannot be built, fetched or used; the message says why.
        HostUnfit, ProgramMissing, NoSpace, ImageBuildFailed: this host cannot build it.
    """
    check_name(order.name)
    shelf = Shelf(store)
    stamp, begun = order.source.stamp(), time.monotonic_ns()
    async with locked(store.folder, lambda: tell(Progress("root", "waiting for another build"))):
        for there in (shelf.candidate(order.name), shelf.find(order.name)):
            if there is not None and _meanwhile(there, order, stamp, begun):
                return there
        for folder in (store.folder, _TREES):
            check_space(folder)
        log = store.logs / f"template-{order.name}.log"
        with workplace(store.work, log, _TREES) as place:
            builder = Builder(Programs(log), place.trees, network=order.network)
            folder = await _obtain(builder, order.source, tell)
            tell(Progress("root", "checking the image", 0.5))
            pulled = await asyncio.to_thread(read_pulled, folder)
            found, root = await _make_root(store, Programs(log), pulled, place.folder, tell)
        made = Made(
            name=order.name,
            kind=order.source.kind,
            source=order.source.words,
            stamp=stamp,
            built_at=datetime.now(UTC).isoformat(timespec="seconds"),
            built_ns=time.monotonic_ns(),
            boot=boot_id(),
            root=root,
            env={**pulled.env, "SHELL": found.shell},
            python=found.python,
            interpreter=found.interpreter,
            config=order.config,
        )
        shelf.propose(made)
    return made


def _meanwhile(made: Made, order: Order, stamp: str, begun: int) -> bool:
    """Whether another builder finished just this while we waited for it."""
    same = (made.stamp, made.config) == (stamp, order.config)
    return same and made.boot == boot_id() and made.built_ns >= begun


async def _obtain(builder: Builder, source: Source, tell: Tell) -> Path:
    if source.kind == "dockerfile":
        tell(Progress("root", "building the Dockerfile", 0.0))
        return await builder.build(source)
    tell(Progress("root", "fetching the image", 0.0))
    return await builder.fetch(source)


async def _make_root(
    store: ImageStore, programs: Programs, pulled: Pulled, work: Path, tell: Tell
) -> tuple[Found, Part]:
    tell(Progress("root", "laying its layers over each other", 0.6))
    tree = await asyncio.to_thread(flatten, pulled.layers, BOUNDS)
    found = examine(tree, pulled.env)
    key = root_key(pulled.diff_ids, FINISH)
    part = store.part("root", key)
    if part is not None:
        return found, part
    finish(tree, found)
    tell(Progress("root", "packing the root", 0.7))
    tar, image = work / "root.tar", work / "root.img"
    await asyncio.to_thread(_write, tree, tar)
    reading = ["dd", f"if={tar}", "bs=1M", "status=none"]
    await programs.pipe(reading, pack_tar(image), deadline_s=_PACK_S)
    return found, store.keep_part("root", key, {"img": image}, {})


def _write(tree: Tree, tar: Path) -> None:
    with tar.open("wb") as file:
        write(tree, file, EPOCH)
