"""What Firecracker is told: confined, without a network, a clone's names its template's."""

import json

import pytest

from forge.sandbox.firecracker import config


def _bodies(calls: tuple[config.Call, ...], path: str) -> list[dict]:
    return [dict(call.body) for call in calls if call.path.startswith(path)]


def test_there_is_no_network_interface_and_no_metadata_service() -> None:
    """A machine has what is listed and nothing else."""
    paths = {call.path.split("/")[1] for call in config.boot_calls(512, "squashfs")}
    assert paths == {"machine-config", "boot-source", "drives", "vsock", "actions"}


def test_firecrackers_own_confinement_is_left_on() -> None:
    """Nothing on the command line turns its seccomp filter off, or opens anything but its API."""
    argv = config.machine_argv("firecracker")
    assert argv[1:3] == ["--api-sock", "api.sock"]
    assert not [word for word in argv if "seccomp" in word or "config-file" in word]


def test_every_path_is_relative_to_the_machines_own_folder() -> None:
    """A clone finds the same names in a folder of its own; no word names a place above it."""
    said = json.dumps([call.body for call in config.boot_calls(512, "squashfs")])
    for word in json.loads(said):
        for key, value in word.items():
            if key.endswith(("path", "path_on_host")):
                assert "/" not in value


def test_only_the_machines_own_disk_can_be_written() -> None:
    """The agent's and the template's images are shared by every machine."""
    drives = _bodies(config.boot_calls(512, "squashfs"), "/drives/")
    assert {drive["drive_id"]: drive["is_read_only"] for drive in drives} == {
        "agent": True,
        "root": True,
        "data": False,
    }


def test_the_kernel_is_told_which_disk_is_which_and_where_the_host_will_call() -> None:
    """In the order in which the drives are given, which is the order the guest finds them in."""
    calls = config.boot_calls(512, "squashfs")
    (source,) = _bodies(calls, "/boot-source")
    options = source["boot_args"].split()
    order = [drive["drive_id"] for drive in _bodies(calls, "/drives/")]
    for letter, name in zip("abc", order, strict=True):
        assert f"forge.disk-{name}=vd{letter}" in options
    assert {"forge.rootfs=squashfs", f"forge.line=vsock:{config.PORT}"} <= set(options)
    assert config.PORT < 1024


def test_a_machine_is_paused_before_it_is_saved() -> None:
    """Firecracker refuses otherwise; and the memory is written whole."""
    pause, save = config.save_calls()
    assert (pause.method, pause.path, pause.body) == ("PATCH", "/vm", {"state": "Paused"})
    assert save.body["snapshot_type"] == "Full"


def test_a_clone_maps_its_templates_memory_by_descriptor() -> None:
    """No right to walk to the template is needed, and the file is not copied."""
    (load,) = config.load_calls(17)
    assert load.body["mem_backend"] == {
        "backend_type": "File",
        "backend_path": "/proc/self/fd/17",
    }
    assert load.body["resume_vm"] is False


def test_a_disk_without_limits_is_left_alone_and_each_is_held_to_its_own() -> None:
    """Firecracker counts per disk; nothing is said of what has no limit."""
    assert config.limit_calls(0, 0) == ()
    for call in config.limit_calls(8, 0):
        assert call.body["rate_limiter"] == {"bandwidth": {"size": 8 << 20, "refill_time": 1000}}
    for call in config.limit_calls(0, 100):
        assert call.body["rate_limiter"] == {"ops": {"size": 100, "refill_time": 1000}}
    assert [call.path for call in config.limit_calls(8, 100)] == [
        "/drives/agent",
        "/drives/root",
        "/drives/data",
    ]


def test_a_machine_has_as_many_processors_as_were_asked_for() -> None:
    """One where nothing was said."""
    (config_call,) = _bodies(config.boot_calls(512, "squashfs", 4), "/machine-config")
    assert config_call["vcpu_count"] == 4


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Firecracker v1.12.1\n\n2026-11-24 exiting", (1, 12, 1)),
        ("Firecracker v1.7.0-dev", (1, 7, 0)),
        ("firecracker, the browser", None),
        ("", None),
    ],
)
def test_a_version_is_read_from_what_the_program_says(said, version) -> None:
    """A program of the same name is not taken for it."""
    assert config.parse_version(said) == version
