"""QEMU's command line: confined, without a network, a clone's the same as its template's."""

from dataclasses import replace

from forge.sandbox.qemu.argv import Accelerator, Boot, Descriptors, Shape, machine_argv
from forge.sandbox.qemu.slots import SLOTS, VolumeFds

FDS = Descriptors(10, 11, 12, 13, 14, 15, 16)
BOOT = Boot(20, 21, 22, "squashfs", 2_445_430)


def _argv(accelerator: Accelerator = "tcg", boot: Boot | None = None, cpus: int = 1) -> list[str]:
    return machine_argv("qemu", Shape(accelerator, 512, cpus), FDS, boot)


def _values(argv: list[str], option: str) -> list[str]:
    return [argv[at + 1] for at, word in enumerate(argv) if word == option]


def test_there_is_no_network_device_and_no_default_device() -> None:
    """A machine has what is listed and nothing else: virtio devices, none a NIC."""
    for argv in (_argv(), _argv(boot=BOOT)):
        assert {"-nodefaults", "-no-user-config", "-no-reboot"} <= set(argv)
        assert not {"-nic", "-net", "-netdev", "-usb", "-vga", "-monitor"} & set(argv)
        devices = [device.split(",")[0] for device in _values(argv, "-device")]
        assert devices == [
            "virtio-serial-device",
            "virtserialport",
            *["virtio-blk-device"] * (3 + SLOTS),
        ]


def test_qemus_own_confinement_is_on() -> None:
    """Its seccomp filter denies new programs, privileges and resource control."""
    (sandbox,) = _values(_argv(), "-sandbox")
    assert sandbox.split(",") == [
        "on",
        "obsolete=deny",
        "elevateprivileges=deny",
        "spawn=deny",
        "resourcecontrol=deny",
    ]


def test_files_are_given_by_descriptor_never_by_path() -> None:
    """No word of the command line names a path that QEMU would have to walk."""
    for word in _argv(boot=BOOT):
        for part in word.split(","):
            value = part.partition("=")[2] or part
            assert not value.startswith("/") or value.startswith(("/proc/self/fd/", "/dev/fdset/"))


def test_a_clones_devices_are_its_templates() -> None:
    """Device state loads only into the same devices, so both lists are one."""
    clone, template = _argv(), _argv(boot=BOOT)
    for option in ("-M", "-cpu", "-smp", "-m", "-device", "-accel", "-drive"):
        assert _values(clone, option) == _values(template, option)


def test_only_the_template_shares_its_memory_file() -> None:
    """A clone maps the template's memory privately: what it writes is its own."""
    assert "share=off" in _values(_argv(), "-object")[0]
    assert "share=on" in _values(_argv(boot=BOOT), "-object")[0]


def test_a_clone_boots_nothing() -> None:
    """It is already booted, and waits for its state."""
    assert _values(_argv(), "-incoming") == ["defer"]
    assert not {"-kernel", "-initrd", "-append"} & set(_argv())


def test_an_emulated_guest_is_told_the_speed_of_its_clock() -> None:
    """Without it the guest calibrates, and on a busy host waits for ever."""
    (options,) = _values(_argv(boot=BOOT), "-append")
    assert "tsc_early_khz=2445430" in options.split()
    (kvm,) = _values(_argv("kvm", Boot(20, 21, 22, "squashfs", 0)), "-append")
    assert "tsc" not in kvm


def test_programs_stand_where_they_stood() -> None:
    """Code at another address would be translated afresh, whenever a program starts."""
    (options,) = _values(_argv(boot=BOOT), "-append")
    assert "norandmaps" in options.split()


def test_shared_disks_are_read_only() -> None:
    """The agent's and the template's images cannot be written by any machine."""
    modes = {drive.split(",")[1]: drive for drive in _values(_argv(), "-drive")}
    assert "readonly=on" in modes["id=agent"]
    assert "readonly=on" in modes["id=root"]
    assert "readonly" not in modes["id=data"]


def test_a_volume_fills_a_slot_and_changes_no_device() -> None:
    """A clone with volumes has its template's devices; what stands behind them is its own."""
    volumes = (VolumeFds(reading=30, writing=31), VolumeFds(reading=32, writing=None))
    fds = replace(FDS, volumes=volumes)
    filled = machine_argv("qemu", Shape("tcg", 512), fds, None)
    assert _values(filled, "-device") == _values(_argv(), "-device")
    drives = {drive.split(",")[1]: drive for drive in _values(filled, "-drive")}
    assert "cache=writeback" in drives["id=vol0"]
    assert "readonly" not in drives["id=vol0"]
    assert "readonly=on" in drives["id=vol1"]
    assert "null-co" in drives["id=vol2"]
    assert {30, 31, 32} < set(fds.every())


def test_several_emulated_processors_are_several_threads() -> None:
    """They would otherwise be several in name alone; one alone needs no second thread."""
    assert "thread=single" in _values(_argv(), "-accel")[0]
    assert "thread=multi" in _values(_argv(cpus=2), "-accel")[0]
    assert _values(_argv(cpus=2), "-smp") == ["2"]
