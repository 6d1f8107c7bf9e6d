"""Makes an image: only the parts that are missing, and nothing that a crash could leave half-made.

    recipe, guest ─► key ─► there? ─► found
                             │ no
                             ▼
              lock ─► kernel ─► interpreter ─► agent ─► root ─► manifest

One builder at a time per home. Parts are made in a work folder and moved into the store when they
are whole; the work folder is removed however the build ends, and what a killed build left is
removed by the next one. The log of a failed build is kept, that of a good one is not.
"""

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from forge.errors import NoSpace
from forge.sandbox.images import agent_part, kernel
from forge.sandbox.images.debian import installed_versions, mmdebstrap
from forge.sandbox.images.key import Plan, guest_sources, plan_image
from forge.sandbox.images.process import Programs
from forge.sandbox.images.recipe import Recipe, read_recipe
from forge.sandbox.images.root_part import lay_out_overlay, make_root
from forge.sandbox.images.store import Image, ImageStore, Part
from forge.sandbox.images.workplace import Workplace, locked, workplace

_PACKAGES_S = 1800.0  # takes 10 s here; a slow line may need minutes for 40 MB
_NEEDED_BYTES = 3 << 30  # a tree of 700 MB, its parts on their way, and the image


@dataclass(frozen=True, slots=True)
class Progress:
    """What a build is doing. `fraction` is how much of the part is done, where that is known."""

    part: str
    step: str
    fraction: float | None = None


Tell = Callable[[Progress], None]


async def build(
    store: ImageStore,
    name: str,
    recipe_dir: Path,
    guest_dir: Path,
    progress: Tell,
    work_dir: Path | None = None,
) -> Image:
    """Make an image where it is missing; `work_dir` is where its trees may grow (3 GiB), else the
    store's own folder.

    Raises:
        InputRefused: the recipe or the guest's folder cannot be used.
        ProgramMissing: a program that building needs is not installed.
        NoSpace: the disk is, or became, too full.
        ImageBuildFailed: a step failed, or another build did not end in time.
    """
    recipe = read_recipe(name, recipe_dir)
    sources = guest_sources(guest_dir)
    plan = plan_image(recipe, sources)
    found = store.load(recipe, plan)
    if found is not None:
        return found
    async with locked(store.folder, lambda: progress(Progress("image", "waiting for a build"))):
        found = store.load(recipe, plan)
        if found is not None:
            return found
        check_space(work_dir or store.folder)
        log = store.logs / f"{name}-{plan.image}.log"
        with workplace(store.work, log, work_dir) as place:
            job = _Job(store, place, Programs(log), progress, recipe.declared.debian.suite)
            return await _make_image(job, recipe, sources, plan)


async def build_frame(
    store: ImageStore, name: str, recipe_dir: Path, guest_dir: Path, progress: Tell
) -> Plan:
    """Make the kernel and the agent where they are missing: what a template of a person's own needs
    beside its root. They are those of a recipe; returns its plan.

    Raises:
        InputRefused, ProgramMissing, NoSpace, ImageBuildFailed: as in `build`.
    """
    recipe = read_recipe(name, recipe_dir)
    sources = guest_sources(guest_dir)
    plan = plan_image(recipe, sources)
    if store.part("kernel", plan.kernel) and store.part("agent", plan.agent):
        return plan
    async with locked(store.folder, lambda: progress(Progress("image", "waiting for a build"))):
        check_space(store.folder)
        log = store.logs / f"{name}-{plan.image}.log"
        with workplace(store.work, log, None) as place:
            job = _Job(store, place, Programs(log), progress, recipe.declared.debian.suite)
            await _make_frame(job, sources, plan)
    return plan


@dataclass(frozen=True, slots=True)
class _Job:
    """One build, holding the lock and its workplace."""

    store: ImageStore
    place: Workplace
    programs: Programs
    tell: Tell
    suite: str

    def says(self, part: str, step: str, fraction: float | None = None) -> None:
        self.tell(Progress(part, step, fraction))

    def folder(self, part: str) -> Path:
        path = self.place.folder / part
        path.mkdir()
        return path


def check_space(folder: Path) -> None:
    """See to it that a build has room.

    Raises:
        NoSpace: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < _NEEDED_BYTES:
        raise NoSpace(
            f"building an image needs {_NEEDED_BYTES >> 20} MiB in {folder}, where "
            f"{free >> 20} MiB are free"
        )


async def _make_image(job: _Job, recipe: Recipe, sources: Mapping[str, bytes], plan: Plan) -> Image:
    kernel_part, agent = await _make_frame(job, sources, plan)
    root = job.store.part("root", plan.root) or await _make_root(job, recipe, plan)
    return job.store.keep_image(recipe, plan, (kernel_part, agent, root))


async def _make_frame(job: _Job, sources: Mapping[str, bytes], plan: Plan) -> tuple[Part, Part]:
    store = job.store
    kernel_part = store.part("kernel", plan.kernel) or await _make_kernel(job, plan)
    agent = store.part("agent", plan.agent)
    if agent is None:
        interpreter = store.part("interpreter", plan.interpreter)
        if interpreter is None:
            interpreter = await _make_interpreter(job, plan)
        agent = await _make_agent(job, sources, plan)
    return kernel_part, agent


async def _fetch_packages(job: _Job, packages: Sequence[str], tar: Path) -> None:
    argv = mmdebstrap(job.suite, "extract", packages, job.place.trees)
    # Through a pipe, because only this process may write into the work folder.
    await job.programs.pipe(
        argv, ["dd", f"of={tar}", "bs=1M", "status=none"], deadline_s=_PACKAGES_S
    )


async def _make_kernel(job: _Job, plan: Plan) -> Part:
    folder = job.folder("kernel")
    tar, vmlinuz, initrd = folder / "packages.tar", folder / "vmlinuz", folder / "initrd"
    job.says("kernel", "fetching Debian's kernel", 0.0)
    await _fetch_packages(job, kernel.PACKAGES, tar)
    job.says("kernel", "making the initrd", 0.9)
    files = await asyncio.to_thread(kernel.read_packages, tar)
    vmlinuz.write_bytes(files.vmlinuz)
    initrd.write_bytes(await asyncio.to_thread(kernel.make_initrd, files))
    return job.store.keep_part(
        "kernel", plan.kernel, {"vmlinuz": vmlinuz, "initrd": initrd}, {"linux": files.release}
    )


async def _make_interpreter(job: _Job, plan: Plan) -> Part:
    folder = job.folder("interpreter")
    packages, tree, tar = folder / "packages.tar", folder / "tree", folder / "tree.tar"
    job.says("agent", "fetching Debian's Python for the agent", 0.0)
    await _fetch_packages(job, agent_part.PACKAGES, packages)
    tree.mkdir()
    await asyncio.to_thread(agent_part.lay_out_interpreter, packages, tree)
    job.says("agent", "compiling its library", 0.5)
    await agent_part.compile_below(job.programs, tree, f"usr/lib/{agent_part.PYTHON}")
    await agent_part.pack_tree(job.programs, tree, tar)
    return job.store.keep_part("interpreter", plan.interpreter, {"tar": tar}, {})


async def _make_agent(job: _Job, sources: Mapping[str, bytes], plan: Plan) -> Part:
    folder = job.folder("agent")
    tree, image = folder / "tree", folder / "agent.img"
    job.says("agent", "adding the agent", 0.7)
    kept = job.store.path("interpreter", plan.interpreter, "tar")
    await agent_part.unpack_tree(job.programs, kept, tree)
    agent_part.lay_out_guest(sources, tree)
    await agent_part.compile_below(job.programs, tree, "opt/forge/forge_guest")
    await agent_part.pack_image(job.programs, tree, image)
    return job.store.keep_part("agent", plan.agent, {"img": image}, {})


async def _make_root(job: _Job, recipe: Recipe, plan: Plan) -> Part:
    folder = job.folder("root")
    if recipe.requirements:
        job.says("root", "fetching Python packages", 0.0)
    await lay_out_overlay(job.programs, recipe, folder / "overlay")
    job.says("root", "installing Debian and packing the root", 0.2)
    image = await make_root(job.programs, recipe, folder, job.place.trees)
    versions = installed_versions((folder / "status").read_text(encoding="utf-8"))
    return job.store.keep_part("root", plan.root, {"img": image}, versions)
