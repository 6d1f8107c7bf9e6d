"""What Firecracker is told, as functions of values: its command line and the calls of its API.

Every path is relative to the folder where its process stands: a clone restores from the same names
as its template, in a folder of its own. The memory alone comes by descriptor, because it is mapped
where it lies.

Firecracker gives disks no serial and machines no serial port for an agent, so the kernel's command
line says which disk is which, and on which vsock port the host will call.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OLDEST = (1, 10)
"""The first that ends a guest's vsock connections at its second saving too, without which an agent
waits for ever for a host that is gone. (Devices are described by ACPI, as Debian's kernel looks for
them, since 1.8.)
"""

API_SOCKET = "api.sock"
VSOCK = "v.sock"
KERNEL, INITRD, STATE, MEMORY, DATA = "kernel", "initrd", "state", "memory", "data.img"
DISKS = (("agent", "agent.img"), ("root", "root.img"), ("data", DATA))
"""In the order in which the guest finds them: vda, vdb, vdc. All but the last are read-only."""

PORT = 1000
"""The guest's vsock port; below 1024, so that a person in it needs root to take it."""

_SECOND_MS = 1000
_CID = 3  # the guest's address; each Firecracker process has a vsock world of its own
_KERNEL_OPTIONS = (
    "console=ttyS0",
    "quiet",
    "panic=-1",  # the agent is process 1: when it ends, the machine restarts, which ends the VMM
    "reboot=k",  # by the keyboard controller, the one device Firecracker keeps for it
    "pci=off",
    "i8042.noaux",
    "i8042.nomux",
    "mitigations=off",  # inside the guest there is one person; the wall is the machine itself
    "transparent_hugepage=never",  # huge pages would dirty two megabytes where four KiB change
    "random.trust_cpu=on",  # for booting; every restore brings fresh entropy from the host
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API."""

    method: str
    path: str
    body: Mapping[str, Any]


RESUME = Call("PATCH", "/vm", {"state": "Resumed"})
"""What lets a machine go on that was loaded, or saved."""


def machine_argv(program: str) -> list[str]:
    """The command line: its own seccomp filter is on unless told otherwise, and is left on."""
    return [program, "--api-sock", API_SOCKET, "--level", "Error"]


def boot_calls(memory_mib: int, root_kind: str, cpus: int = 1) -> tuple[Call, ...]:
    """What makes a machine out of nothing and starts it."""
    return (
        Call(
            "PUT", "/machine-config", {"vcpu_count": cpus, "mem_size_mib": memory_mib, "smt": False}
        ),
        Call(
            "PUT",
            "/boot-source",
            {
                "kernel_image_path": KERNEL,
                "initrd_path": INITRD,
                "boot_args": kernel_options(root_kind),
            },
        ),
        *(_drive(name, file) for name, file in DISKS),
        Call("PUT", "/vsock", {"guest_cid": _CID, "uds_path": VSOCK}),
        Call("PUT", "/actions", {"action_type": "InstanceStart"}),
    )


def save_calls() -> tuple[Call, ...]:
    """What stops a machine, until it is told to go on, and writes its memory and device state."""
    return (
        Call("PATCH", "/vm", {"state": "Paused"}),
        Call(
            "PUT",
            "/snapshot/create",
            {"snapshot_type": "Full", "snapshot_path": STATE, "mem_file_path": MEMORY},
        ),
    )


def load_calls(memory: int) -> tuple[Call, ...]:
    """What loads a saved machine and leaves it standing; `memory` is open, mapped privately."""
    backend = {"backend_type": "File", "backend_path": f"/proc/self/fd/{memory}"}
    body = {"snapshot_path": STATE, "mem_backend": backend, "resume_vm": False}
    return (Call("PUT", "/snapshot/load", body),)


def limit_calls(mib_s: int, iops: int) -> tuple[Call, ...]:
    """What holds each disk to so much per second; 0 is no limit."""
    limits: dict[str, Any] = {}
    if mib_s:
        limits["bandwidth"] = {"size": mib_s << 20, "refill_time": _SECOND_MS}
    if iops:
        limits["ops"] = {"size": iops, "refill_time": _SECOND_MS}
    names = [name for name, _ in DISKS] if limits else []
    return tuple(
        Call("PATCH", f"/drives/{name}", {"drive_id": name, "rate_limiter": limits})
        for name in names
    )


def kernel_options(root_kind: str) -> str:
    """The guest kernel's command line."""
    ours = [
        f"forge.rootfs={root_kind}",
        f"forge.line=vsock:{PORT}",
        *(f"forge.disk-{name}=vd{letter}" for (name, _), letter in zip(DISKS, "abc", strict=True)),
    ]
    return " ".join((*_KERNEL_OPTIONS, *ours))


def parse_version(said: str) -> tuple[int, int, int] | None:
    """The version in what `firecracker --version` prints."""
    found = re.search(r"^Firecracker v(\d+)\.(\d+)\.(\d+)", said, re.MULTILINE)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def _drive(name: str, file: str) -> Call:
    body = {
        "drive_id": name,
        "path_on_host": file,
        "is_root_device": False,
        "is_read_only": file != DATA,
        # It dies with its machine, so the host need not flush it.
        "cache_type": "Unsafe",
    }
    return Call("PUT", f"/drives/{name}", body)
