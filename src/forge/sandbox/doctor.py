"""What this host has and lacks for machines, one check for each thing, each with what to do.

The probe says which accelerator boots a guest; this says what stands around it: programs, rights,
memory, disk. A check is `good`, `weak` (machines run, and something is slower, weaker or missing)
or `bad` (no machine runs). Nothing is changed, and nothing stays open.
"""

import getpass
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from forge.sandbox.qemu.argv import PROGRAM

Verdict = Literal["good", "weak", "bad"]

_MACHINES = (PROGRAM, "setpriv", "prlimit", "unshare")
_IMAGES = ("mmdebstrap", "mksquashfs", "mke2fs", "newuidmap")
_WHERE = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INSTALL = "On Debian run `make microvm-setup-linux`; elsewhere install them."
_TRY_S = 10.0  # starting `true` takes milliseconds
_IMAGE_MIB = 2048  # building one takes about 1 GiB, a template 700 MiB more
_OVERHEAD_MIB = 256  # QEMU beside a machine's own memory, at most


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what was found, and what to do where it is not good."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Costs:
    """What machines take here, in bytes: on disk for good, and each at most while it runs."""

    images: int
    templates: int
    machine_memory: int
    machine_disk: int


def examine(home: Path, memory_mib: int) -> tuple[Check, ...]:
    """Look at everything that machines of a size need of this host."""
    return (
        processor(platform.machine(), os.cpu_count() or 1),
        kvm(Path("/dev/kvm")),
        *programs(),
        namespaces(root=os.geteuid() == 0),
        subordinates(_text(Path("/etc/subuid")), getpass.getuser(), root=os.geteuid() == 0),
        control_groups(_text(Path("/proc/self/cgroup")), Path("/sys/fs/cgroup")),
        memory(_text(Path("/proc/meminfo")), memory_mib),
        disk(home),
    )


def costs(home: Path, memory_mib: int, disk_mib: int) -> Costs:
    """What machines take here."""
    return Costs(
        _used(home / "images"), _used(home / "templates"), memory_mib << 20, disk_mib << 20
    )


def processor(machine: str, cores: int) -> Check:
    """Whether guests of this kind run here at all."""
    found = f"{machine}, {cores} core{'' if cores == 1 else 's'}"
    if machine != "x86_64":
        return Check(
            "processor",
            "bad",
            found,
            "Forge's images are for x86-64. Use a worker on such a host (docs/worker.md).",
        )
    return Check("processor", "good", found)


def kvm(device: Path) -> Check:
    """Whether the device is there and ours to open; whether it works only the probe can tell."""
    if not device.exists():
        return Check(
            "kvm",
            "weak",
            f"there is no {device}",
            "On hardware enable virtualisation in the firmware; in a virtual machine enable "
            "nested virtualisation at its host. Without it machines are emulated.",
        )
    if not os.access(device, os.R_OK | os.W_OK):
        return Check(
            "kvm",
            "weak",
            f"{device} may not be opened by {getpass.getuser()}",
            f"Run, as root: usermod -aG kvm {getpass.getuser()}; then log in anew.",
        )
    return Check("kvm", "good", f"{device} can be opened")


def programs(path: str = _WHERE) -> tuple[Check, Check]:
    """The programs that run machines, and those that build images."""
    missing = [name for name in _MACHINES if shutil.which(name, path=path) is None]
    unbuilt = [name for name in _IMAGES if shutil.which(name, path=path) is None]
    return (
        Check("programs", "bad", f"missing: {', '.join(missing)}", _INSTALL)
        if missing
        else Check("programs", "good", "all that machines need"),
        Check("programs for images", "weak", f"missing: {', '.join(unbuilt)}", _INSTALL)
        if unbuilt
        else Check("programs for images", "good", "all that building takes"),
    )


def namespaces(*, root: bool) -> Check:
    """Whether a VMM can be put into a network of its own, with nothing in it."""
    unshare = shutil.which("unshare", path=_WHERE)
    if unshare is None:
        return Check("namespaces", "weak", "cannot be tried without unshare", _INSTALL)
    person = () if root else ("--user", "--map-current-user")
    tried = subprocess.run(
        [unshare, *person, "--net", "--ipc", "true"],
        capture_output=True,
        timeout=_TRY_S,
        check=False,
    )
    if tried.returncode == 0:
        return Check("namespaces", "good", "a VMM gets a network of its own, with nothing in it")
    return Check(
        "namespaces",
        "weak",
        "this host forbids them: a VMM that a guest took over could reach the network",
        "Allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, or "
        "kernel.apparmor_restrict_unprivileged_userns=0).",
    )


def subordinates(table: str, person: str, *, root: bool) -> Check:
    """Whether images can be built without root."""
    name = "subordinate ids"
    if root:
        return Check(name, "good", "not needed: images are built as root")
    if any(line.startswith(f"{person}:") for line in table.splitlines()):
        return Check(name, "good", f"{person} has a range of them")
    return Check(
        name,
        "weak",
        f"{person} has none, so images cannot be built",
        f"Run, as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {person}",
    )


def control_groups(own: str, mounted: Path) -> Check:
    """Whether the kernel could hold each VMM to a share of processor and memory."""
    name = "control groups"
    lines = [line for line in own.splitlines() if line.startswith("0::")]
    if not lines or not (mounted / "cgroup.controllers").exists():
        return Check(name, "weak", "no unified hierarchy", "Boot with cgroup v2 (systemd's own).")
    ours = mounted / lines[0].removeprefix("0::").lstrip("/")
    there = set(_text(ours / "cgroup.controllers").split())
    lacking = {"cpu", "memory"} - there
    if lacking or not os.access(ours, os.W_OK):
        what = f"without {' and '.join(sorted(lacking))}" if lacking else "not ours to divide"
        return Check(
            name,
            "weak",
            f"ours is {what}: only a machine's own size bounds it",
            "Start Forge with: systemd-run --user --scope --property=Delegate=yes forge …",
        )
    return Check(name, "good", "ours can be divided among machines")


def memory(meminfo: str, machine_mib: int) -> Check:
    """How many machines of this size fit at once, if each used all it may."""
    fields = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    free_mib = int(fields.get("MemAvailable", "0 kB").split()[0]) // 1024
    fitting = free_mib // (machine_mib + _OVERHEAD_MIB)
    found = f"{free_mib} MiB free: {fitting} machines of {machine_mib} MiB, if each used all of it"
    if fitting == 0:
        return Check("memory", "weak", found, "Free some, or set FORGE_MEMORY_MIB lower.")
    return Check("memory", "good", found)


def disk(home: Path) -> Check:
    """Whether there is room for an image, a template, and machines."""
    there = home
    while not there.exists():
        there = there.parent
    free_mib = shutil.disk_usage(there).free >> 20
    found = f"{free_mib} MiB free under {home}"
    if free_mib < _IMAGE_MIB:
        return Check("disk", "weak", found, "Free some, or point FORGE_HOME at a larger disk.")
    return Check("disk", "good", found)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _used(folder: Path) -> int:
    """What a folder takes on disk: its files are sparse, and some have two names."""
    blocks = {}
    for path in folder.rglob("*"):
        try:
            facts = path.lstat()
        except FileNotFoundError:
            continue  # another process tidies up
        blocks[facts.st_dev, facts.st_ino] = facts.st_blocks * 512
    return sum(blocks.values())
