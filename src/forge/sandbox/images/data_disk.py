"""Empty disks: an ext4 file system in a sparse file, whose size is the quota.

A machine's own disk has no journal, because it never outlives its machine, and its inode tables
are left as holes (they read as zeroes), so an empty disk of a gibibyte occupies some kilobytes and
takes milliseconds to make. `mke2fs` writes into a plain file and needs no rights. A volume is the
same with a journal, because it does outlive its machine, and its top folder is the person's.
"""

import asyncio
import shutil
from pathlib import Path

from forge.errors import HostUnfit, NoSpace, ProgramMissing

LABEL, VOLUME_LABEL = "forge-data", "forge-volume"
_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEADLINE_S = 10.0  # it takes 10 ms; a host deep in swap may take a thousand times that
_BYTES_PER_INODE = 16384  # ext4's own default ratio


_FEATURES = "^resize_inode,^huge_file,sparse_super2"
_EXTENDED = "assume_storage_prezeroed=1,lazy_journal_init=1,nodiscard,num_backup_sb=0"
_PERSON = 1000  # the person's id in every machine


async def make_data_disk(path: Path, size_mib: int) -> None:
    """Make a machine's empty disk of `size_mib` MiB at `path`, which must not exist yet.

    Raises:
        ProgramMissing: mke2fs is not installed.
        NoSpace: the host's disk is full.
        HostUnfit: mke2fs failed; the message says why.
    """
    await _make(path, size_mib, f"^has_journal,{_FEATURES}", 0, LABEL)


async def make_volume_disk(path: Path, size_mib: int) -> None:
    """Make an empty volume of `size_mib` MiB at `path`, which must not exist yet.

    Raises:
        ProgramMissing, NoSpace, HostUnfit: as in `make_data_disk`.
    """
    await _make(path, size_mib, f"has_journal,{_FEATURES}", _PERSON, VOLUME_LABEL)


async def _make(path: Path, size_mib: int, features: str, owner: int, label: str) -> None:
    program = shutil.which("mke2fs", path=_SEARCH)
    if program is None:
        raise ProgramMissing("mke2fs is not installed (Debian package e2fsprogs)")
    child = await asyncio.create_subprocess_exec(
        program,
        *("-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0", "-O", features),
        *("-E", f"{_EXTENDED},root_owner={owner}:{owner}", "-L", label),
        *("-N", str((size_mib << 20) // _BYTES_PER_INODE), str(path), f"{size_mib}M"),
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
            raise NoSpace(f"no space for a disk at {path}")
        raise HostUnfit(f"mke2fs could not make {path}: {reason}")
