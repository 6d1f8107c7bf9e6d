"""One confined process: limited, unprivileged, watched, and killed with its owner."""

import asyncio
import os
from pathlib import Path

import pytest

from forge.errors import ProgramMissing
from forge.sandbox import records, vmm
from forge.sandbox.vmm import Start


def _start(folder: Path, *argv: str, disk_mib: int = 64) -> vmm.Vmm:
    return vmm.start(Start(argv, (), folder, 256, disk_mib), vmm.identity("tcg"))


async def test_a_missing_program_is_named() -> None:
    """The error says which program, and its hint how to get it."""
    with pytest.raises(ProgramMissing, match="qemu-system-nowhere") as caught:
        vmm.find_program("qemu-system-nowhere")
    assert "setup-debian.sh" in caught.value.hint


async def test_a_process_is_limited_and_takes_no_privileges(tmp_path: Path) -> None:
    """Files, core dumps and descriptors are bounded; new privileges are ruled out; the parent's
    death is its own.
    """
    tmp_path.chmod(0o755)
    process = _start(
        tmp_path, "/bin/sh", "-c", "cat /proc/self/limits /proc/self/status; ulimit -f"
    )
    async with asyncio.timeout(60):
        await process.ended.wait()
    said = (tmp_path / "vmm.log").read_text()
    limits = {line[:26].strip(): line[26:].split() for line in said.splitlines() if "Max" in line}
    assert limits["Max core file size"][0] == "0"
    assert limits["Max file size"][0] == str(80 << 20)
    assert limits["Max open files"][0] == "256"
    assert "NoNewPrivs:\t1" in said
    if os.geteuid() == 0:
        uid = next(line.split()[1] for line in said.splitlines() if line.startswith("Uid:"))
        assert int(uid) > 1_000_000_000
        assert "CapEff:\t0000000000000000" in said
        assert "CapBnd:\t0000000000000000" in said


async def test_a_process_has_no_huge_pages_and_its_owner_keeps_them(tmp_path: Path) -> None:
    """QEMU would hold 2 MiB where it uses a little."""
    own = Path("/proc/self/status").read_text()
    process = _start(tmp_path, "/bin/cat", "/proc/self/status")
    async with asyncio.timeout(60):
        await process.ended.wait()
    assert "THP_enabled:\t0" in (tmp_path / "vmm.log").read_text()
    assert "THP_enabled:\t1" in own
    assert "THP_enabled:\t1" in Path("/proc/self/status").read_text()


async def test_a_process_has_a_network_with_nothing_in_it(tmp_path: Path) -> None:
    """A VMM that a guest took over reaches neither the network nor the host's loopback."""
    process = _start(
        tmp_path, "/bin/sh", "-c", "readlink /proc/self/ns/net; cat /proc/self/net/dev"
    )
    async with asyncio.timeout(60):
        await process.ended.wait()
    said = (tmp_path / "vmm.log").read_text()
    assert said.splitlines()[0] != str(Path("/proc/self/ns/net").readlink())
    assert [line.split(":")[0].strip() for line in said.splitlines() if ":" in line][1:] == ["lo"]


async def test_a_process_is_killed_and_gone(tmp_path: Path) -> None:
    """After close there is no such process, and why says how it ended."""
    process = _start(tmp_path, "/bin/sleep", "600")
    assert records.stamp(process.pid) is not None
    await process.close()
    assert records.stamp(process.pid) is None
    assert "SIGKILL" in process.why()


async def test_why_quotes_what_the_process_printed(tmp_path: Path) -> None:
    """An early end is explained by its own last words."""
    process = _start(tmp_path, "/bin/sh", "-c", "echo no such machine >&2; exit 3")
    await process.settle()
    assert process.why() == "QEMU ended with status 3: no such machine"


async def test_a_log_cannot_grow_without_end(tmp_path: Path) -> None:
    """A VMM that prints for ever runs into its file size limit."""
    process = _start(tmp_path, "/bin/sh", "-c", "exec yes", disk_mib=1)
    async with asyncio.timeout(60):
        await process.ended.wait()
    assert (tmp_path / "vmm.log").stat().st_size == 17 << 20
