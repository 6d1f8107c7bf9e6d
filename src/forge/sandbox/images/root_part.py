"""The root part: what a person's commands and code see as `/`.

Everything that is not a Debian package goes in as one overlay, packed here with the ownership it
shall have; a script beside this file finishes the tree from within mmdebstrap. The tree never lies
on the host's disk under its own owners: it leaves mmdebstrap as a tar, whose entries say who owns
what, and goes straight into the image. So the same steps work with and without root.
"""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from forge.sandbox.images.agent_part import pack_tree
from forge.sandbox.images.debian import EPOCH, mmdebstrap
from forge.sandbox.images.key import read_script
from forge.sandbox.images.process import Programs
from forge.sandbox.images.recipe import Recipe
from forge.sandbox.images.wheels import fetch_wheels

_SITE = "usr/local/lib/python3.11/dist-packages"
_MAKE_S = 2400.0  # takes 100 s here; a slow line may need half an hour for 150 MB


async def lay_out_overlay(programs: Programs, recipe: Recipe, overlay: Path) -> None:
    """Lay out what goes over Debian's packages: wheels, environment, and notes for `finish.sh`.

    Raises:
        ProgramMissing, NoSpace, ImageBuildFailed: the wheels could not be fetched.
    """
    if recipe.requirements:
        lock = overlay.with_suffix(".lock")
        lock.write_text(recipe.requirements, encoding="utf-8")
        await fetch_wheels(programs, lock, overlay / _SITE)
    notes = overlay / ".forge"
    notes.mkdir(parents=True)
    declared = recipe.declared
    _write_lines(notes / "remove", declared.remove)
    _write_lines(notes / "caches", declared.python.caches)
    (overlay / "etc").mkdir()
    _write_lines(
        overlay / "etc/environment",
        [f'{name}="{value}"' for name, value in declared.environment.items()],
    )


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


async def make_root(programs: Programs, recipe: Recipe, work: Path, temporary: Path) -> Path:
    """Make the image of the template's root from its overlay in `work`; returns its path. dpkg's
    status is left beside it as `status`.

    Raises:
        ProgramMissing, NoSpace, ImageBuildFailed: a step failed.
    """
    overlay, image, finish = work / "overlay.tar", work / "root.img", temporary / "finish.sh"
    await pack_tree(programs, work / "overlay", overlay)
    finish.write_text(read_script("finish.sh"))
    finish.chmod(0o755)
    hooks = (
        f"tar-in {shlex.quote(str(overlay))} /",
        f'sh {shlex.quote(str(finish))} "$1"',
        f"download /var/lib/dpkg/status {shlex.quote(str(work / 'status'))}",
    )
    declared = recipe.declared.debian
    # The base files and an unprivileged user's tools; essential packages come with the variant.
    tree = mmdebstrap(declared.suite, "essential", declared.packages, temporary, hooks)
    await programs.pipe(tree, pack_tar(image), deadline_s=_MAKE_S)
    return image


def pack_tar(image: Path) -> list[str]:
    """The command that makes a root's image of a tar on its standard input."""
    # It gives the topmost folder to whoever runs it, whatever the tar says (4.5.1 ignores
    # -root-uid), so without root it runs as the root of a namespace that holds only us.
    become_root = [] if os.geteuid() == 0 else ["unshare", "--map-root-user"]
    return [
        *("env", f"SOURCE_DATE_EPOCH={EPOCH}", *become_root),
        *("sqfstar", "-no-progress", "-quiet", "-comp", "lz4", "-Xhc", "-b", "128K"),
        *("-no-xattrs", "-root-mode", "755", str(image)),
    ]
