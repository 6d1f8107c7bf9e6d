"""QEMU's command line, as a function of values.

QEMU is given open file descriptors, never paths: it needs no right to walk into Forge's folders.
A clone's devices must match its template's exactly, so both are made here from one list; a clone
leaves out kernel, initrd and command line, because it is already booted (measured: start to ready
67 → 38 ms, private memory 49 → 35 MiB).
"""

from dataclasses import dataclass

from forge.sandbox.machines.engine import Accelerator
from forge.sandbox.qemu.slots import VolumeFds, slot_argv

PROGRAM = "qemu-system-x86_64"

KERNEL_OPTIONS = (
    "console=ttyS0",  # into a file, for when a boot fails; a clone's console leads nowhere
    "quiet",
    "panic=-1",  # the agent is process 1: when it ends, the machine restarts, which ends QEMU
    "reboot=t",  # by triple fault: the one way that needs no device
    "mitigations=off",  # inside the guest there is one person; the wall is the machine itself
    "transparent_hugepage=never",  # huge pages would dirty two megabytes where four KiB change
    "init_on_alloc=0",
    "nowatchdog",
    # Under emulation each piece of kernel code that a clone runs must be translated first, so what
    # guards one person from another inside the guest is left out: there is one person.
    "lsm=capability",
    "psi=0",
    "audit=0",
    "hardened_usercopy=off",
    "cgroup.memory=nokmem,nosocket",
    # Code that stands at another address counts as new, and would be translated afresh whenever a
    # program starts (measured: pieces of code translated for `true` 2,300 → 270).
    "norandmaps",
    "random.trust_cpu=on",  # for booting; every restore brings fresh entropy from the host
    "rcupdate.rcu_expedited=1",
)

_CPU: dict[Accelerator, str] = {
    # Ordinary `-cpu host` aborts where nested virtualisation hides MSRs; the probe finds that out.
    "kvm": "host",
    # What NumPy's wheels need (x86-64-v2) and no more: emulating AVX makes code slower, not faster
    # (measured against `max`: np.sort of two million floats 676 instead of 2421 ms).
    "tcg": "Nehalem-v1,+rdrand,+rdseed,+bmi1,+bmi2,+movbe",
}


def _accel(accelerator: Accelerator, cpus: int) -> str:
    if accelerator == "kvm":
        return "kvm"
    # One emulated processor needs no second thread, and without one its translated code need not
    # be safe for others. Several that took turns on one thread would be several in name alone.
    return f"tcg,thread={'single' if cpus == 1 else 'multi'},tb-size=64"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a clone has in common with its template beside the devices. Sizes are MiB."""

    accelerator: Accelerator
    memory_mib: int
    cpus: int = 1


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Open files that QEMU inherits, by number."""

    qmp: int
    agent: int
    memory: int
    agent_image: int
    root_image: int
    data: int
    data_read_only: int
    volumes: tuple[VolumeFds, ...] = ()

    def every(self) -> list[int]:
        """All of them, for whoever lets QEMU inherit them."""
        volumes = [fd for volume in self.volumes for fd in (volume.reading, volume.writing)]
        fixed = (self.qmp, self.agent, self.memory, self.agent_image, self.root_image)
        return [*fixed, self.data, self.data_read_only, *(fd for fd in volumes if fd is not None)]


@dataclass(frozen=True, slots=True)
class Boot:
    """Open files of what to boot and of where its console is written, the root's filesystem, and
    the speed of the time-stamp counter (0: the guest finds out, as it can under KVM).
    """

    kernel: int
    initrd: int
    console: int
    root_kind: str
    tsc_khz: int


def machine_argv(program: str, shape: Shape, fds: Descriptors, boot: Boot | None) -> list[str]:
    """The command line of a machine that boots (`boot` given), or waits for a template's state."""
    return [
        program,
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-M", "microvm,acpi=on,usb=off,memory-backend=ram0,mem-merge=off,dump-guest-core=off"),
        *("-accel", _accel(shape.accelerator, shape.cpus), "-cpu", _CPU[shape.accelerator]),
        *("-smp", str(shape.cpus), "-m", f"{shape.memory_mib}M"),
        *("-object", _memory(shape.memory_mib, fds.memory, share=boot is not None)),
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        *("-chardev", f"socket,id=qmp,fd={fds.qmp}", "-mon", "chardev=qmp,mode=control"),
        *_console(boot),
        *("-chardev", f"socket,id=agent,fd={fds.agent}"),
        *("-device", "virtio-serial-device,id=serial"),
        *("-device", "virtserialport,bus=serial.0,nr=1,chardev=agent,name=forge"),
        *_disk("agent", (fds.agent_image,), "readonly=on"),
        *_disk("root", (fds.root_image,), "readonly=on"),
        # It dies with its machine, so the host need not flush it: cache=unsafe. QEMU opens a
        # writable file once for reading first, for which the set needs a second descriptor.
        *_disk(
            "data",
            (fds.data, fds.data_read_only),
            "cache=unsafe,discard=unmap,detect-zeroes=unmap",
        ),
        *slot_argv(fds.volumes),
        # A clone stands still (-S) until told to go: what it starts from stays whole so long.
        *(["-S", "-incoming", "defer"] if boot is None else _boot(boot)),
    ]


def _memory(size_mib: int, fd: int, *, share: bool) -> str:
    sharing = "on" if share else "off"
    path = f"/proc/self/fd/{fd}"
    return f"memory-backend-file,id=ram0,size={size_mib}M,mem-path={path},share={sharing}"


def _disk(name: str, fds: tuple[int, ...], mode: str) -> list[str]:
    return [
        *(word for fd in fds for word in ("-add-fd", f"fd={fd},set={fds[0]}")),
        *("-drive", f"if=none,id={name},file=/dev/fdset/{fds[0]},format=raw,{mode}"),
        *(
            "-device",
            f"virtio-blk-device,drive={name},id=disk-{name},serial=forge-{name},werror=report",
        ),
    ]


def _console(boot: Boot | None) -> list[str]:
    if boot is None:
        return ["-chardev", "null,id=console", "-serial", "chardev:console"]
    return [
        *("-add-fd", f"fd={boot.console},set={boot.console}"),
        *("-chardev", f"file,id=console,path=/dev/fdset/{boot.console}"),
        *("-serial", "chardev:console"),
    ]


def _boot(boot: Boot) -> list[str]:
    clock = ["tsc=reliable", f"tsc_early_khz={boot.tsc_khz}"] if boot.tsc_khz else []
    options = " ".join((*KERNEL_OPTIONS, *clock, f"forge.rootfs={boot.root_kind}"))
    return [
        *("-kernel", f"/proc/self/fd/{boot.kernel}", "-initrd", f"/proc/self/fd/{boot.initrd}"),
        *("-append", options),
    ]
