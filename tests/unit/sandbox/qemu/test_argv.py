"""QEMU's command line: confined, without a network, a clone's the same as its template's."""

from forge.sandbox.qemu.argv import Accelerator, Boot, Descriptors, machine_argv

FDS = Descriptors(10, 11, 12, 13, 14, 15, 16)
BOOT = Boot(20, 21, 22, "squashfs", 2_445_430)


def _argv(accelerator: Accelerator = "tcg", boot: Boot | None = None) -> list[str]:
    return machine_argv("qemu", accelerator, 512, FDS, boot)


def _values(argv: list[str], option: str) -> list[str]:
    return [argv[at + 1] for at, word in enumerate(argv) if word == option]


def test_there_is_no_network_device_and_no_default_device() -> None:
    """A machine has what is listed and nothing else: four virtio devices, none a NIC."""
    for argv in (_argv(), _argv(boot=BOOT)):
        assert {"-nodefaults", "-no-user-config", "-no-reboot"} <= set(argv)
        assert not {"-nic", "-net", "-netdev", "-usb", "-vga", "-monitor"} & set(argv)
        devices = [device.split(",")[0] for device in _values(argv, "-device")]
        assert devices == [
            "virtio-serial-device",
            "virtserialport",
            *["virtio-blk-device"] * 3,
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


def test_shared_disks_are_read_only() -> None:
    """The agent's and the template's images cannot be written by any machine."""
    modes = {drive.split(",")[1]: drive for drive in _values(_argv(), "-drive")}
    assert "readonly=on" in modes["id=agent"]
    assert "readonly=on" in modes["id=root"]
    assert "readonly" not in modes["id=data"]
