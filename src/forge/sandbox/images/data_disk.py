"""A machine's own disk: an empty ext4 file system in a sparse file, whose size is the quota.

It has no journal, because it never outlives its machine, and its inode tables are left as holes
(they read as zeroes), so an empty disk of a gibibyte occupies some kilobytes and takes
milliseconds to make. `mke2fs` writes into a plain file and needs no rights.
"""

import asyncio
import shutil
from pathlib import Path

from forge.errors import HostUnfit, NoSpace, ProgramMissing

LABEL = "forge-data"
_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEADLINE_S = 10.0  # it takes 10 ms; a host deep in swap may take a thousand times that
_BYTES_PER_INODE = 16384  # ext4's own default ratio


async def make_data_disk(path: Path, size_mib: int) -> None:
    """Make an empty disk of `size_mib` MiB at `path`, which must not exist yet.

    Raises:
        ProgramMissing: mke2fs is not installed.
        NoSpace: the host's disk is full.
        HostUnfit: mke2fs failed; the message says why.
    """
    program = shutil.which("mke2fs", path=_SEARCH)
    if program is None:
        raise ProgramMissing("mke2fs is not installed (Debian package e2fsprogs)")
    child = await asyncio.create_subprocess_exec(
        *_argv(program, path, size_mib),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_DEADLINE_S):
            _, said = await child.communicate()
    except TimeoutError as passed:
        raise HostUnfit(f"mke2fs did not make {path} within {_DEADLINE_S:.0f} s") from passed
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
        if child.returncode != 0:
            path.unlink(missing_ok=True)
    if child.returncode != 0:
        reason = said.decode(errors="replace").strip()
        if "No space left" in reason:
            raise NoSpace(f"no space for a machine's disk at {path}")
        raise HostUnfit(f"mke2fs could not make {path}: {reason}")


def _argv(program: str, path: Path, size_mib: int) -> list[str]:
    features = "^has_journal,^resize_inode,^huge_file,sparse_super2"
    extended = "assume_storage_prezeroed=1,nodiscard,num_backup_sb=0,root_owner=0:0"
    inodes = (size_mib << 20) // _BYTES_PER_INODE
    return [
        *(program, "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0"),
        *("-O", features, "-E", extended, "-N", str(inodes), "-L", LABEL),
        *(str(path), f"{size_mib}M"),
    ]
