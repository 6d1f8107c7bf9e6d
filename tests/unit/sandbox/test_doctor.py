"""The doctor's checks: what is found in a host's own words, and what it advises."""

from pathlib import Path

import pytest

from forge.sandbox import doctor


def test_a_processor_of_another_kind_runs_nothing():
    """Images are for x86-64; the advice is a worker."""
    assert doctor.processor("x86_64", 1) == doctor.Check("processor", "good", "x86_64, 1 core")
    check = doctor.processor("aarch64", 8)
    assert (check.verdict, check.found) == ("bad", "aarch64, 8 cores")
    assert "worker" in check.advice


def test_a_device_that_is_not_there_makes_machines_slow(tmp_path: Path):
    """Weak, not bad: they are emulated."""
    assert doctor.kvm(tmp_path / "kvm").verdict == "weak"
    (tmp_path / "kvm").touch()
    assert doctor.kvm(tmp_path / "kvm").verdict == "good"


def test_missing_programs_are_named(tmp_path: Path):
    """Those of machines are needed at once, those of images to build one."""
    machines, images = doctor.programs(path=str(tmp_path))
    assert machines.verdict == "bad"
    assert "qemu-system-x86_64, setpriv" in machines.found
    assert images.verdict == "weak"
    assert "newuidmap" in images.found
    for name in (*doctor._MACHINES, *doctor._IMAGES):
        (tmp_path / name).touch(mode=0o755)
    assert [check.verdict for check in doctor.programs(path=str(tmp_path))] == ["good", "good"]


@pytest.mark.parametrize(
    ("table", "root", "verdict"),
    [
        ("me:100000:65536\n", False, "good"),
        ("someone:100000:65536\nmee:1:2\n", False, "weak"),
        ("", False, "weak"),
        ("", True, "good"),
    ],
)
def test_subordinate_ids_are_a_persons_own(table: str, root: bool, verdict: str):
    """A line for another, or for a longer name, is none."""
    assert doctor.subordinates(table, "me", root=root).verdict == verdict


def test_control_groups_can_be_divided_where_they_are_ours(tmp_path: Path):
    """With the controllers that bound a VMM; what lacks is named."""
    group = tmp_path / "user.slice" / "mine"
    group.mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text("cpu memory io pids\n")
    assert doctor.control_groups("3:cpu:/x\n", tmp_path).verdict == "weak"
    (group / "cgroup.controllers").write_text("memory pids\n")
    check = doctor.control_groups("0::/user.slice/mine\n", tmp_path)
    assert (check.verdict, "without cpu" in check.found) == ("weak", True)
    (group / "cgroup.controllers").write_text("cpu memory pids\n")
    assert doctor.control_groups("0::/user.slice/mine\n", tmp_path).verdict == "good"
    assert doctor.control_groups("0::/user.slice/mine\n", tmp_path / "none").verdict == "weak"


def test_memory_is_counted_in_machines():
    """With room for the VMM beside each; none fitting is said with what to lower."""
    check = doctor.memory("MemTotal: 9 kB\nMemAvailable:   4194304 kB\n", 1024)
    assert (check.verdict, "3 machines of 1024 MiB" in check.found) == ("good", True)
    assert doctor.memory("MemAvailable: 4194304 kB\n", 8192).verdict == "weak"
    assert doctor.memory("", 1024).verdict == "weak"


def test_a_home_that_is_not_there_yet_is_on_its_parents_disk(tmp_path: Path):
    """Nothing is made by looking."""
    home = tmp_path / "not" / "yet"
    assert str(home) in doctor.disk(home).found
    assert not home.exists()


def test_costs_count_what_is_on_disk_once(tmp_path: Path):
    """Sparse files by their blocks, a file with two names once."""
    (tmp_path / "images").mkdir()
    with (tmp_path / "images" / "sparse").open("wb") as file:
        file.truncate(1 << 30)
        file.write(b"x" * 4096)
    (tmp_path / "images" / "same").hardlink_to(tmp_path / "images" / "sparse")
    spent = doctor.costs(tmp_path, 512, 64)
    assert 4096 <= spent.images < 1 << 20
    assert (spent.templates, spent.machine_memory, spent.machine_disk) == (0, 512 << 20, 64 << 20)


def test_every_check_that_is_not_good_says_what_to_do(tmp_path: Path):
    """On this host, whatever it lacks."""
    for check in doctor.examine(tmp_path, 1024):
        assert (check.verdict == "good") == (not check.advice)
        assert check.found
