"""The initrd: modules in a loadable order, in an archive that other programs read."""

import gzip
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.errors import ImageBuildFailed
from forge.sandbox.images.kernel import Cpio, KernelFiles, load_order, make_initrd

NAMES = ("virtio_ring", "virtio", "virtio_mmio", "virtio_blk", "virtio_console", "overlay")


def module(*depends: str) -> bytes:
    return b"\x7fELF\0license=GPL\0depends=" + ",".join(depends).encode() + b"\0name=x\0"


@st.composite
def kernels(draw: st.DrawFn) -> dict[str, bytes]:
    names = [f"m{number}" for number in range(draw(st.integers(1, 8)))]
    return {
        name: module(
            *draw(st.lists(st.sampled_from(names[:at] or ["m0"]), unique=True)) if at else ()
        )
        for at, name in enumerate(names)
    }


@given(kernels(), st.randoms())
def test_every_module_comes_after_what_it_needs(modules, random):
    """Whatever is wanted first, no module is loaded before its dependencies, and each once."""
    wanted = random.sample(sorted(modules), k=random.randint(1, len(modules)))
    order = load_order(modules, wanted)
    assert set(wanted) <= set(order)
    assert len(set(order)) == len(order)
    for at, name in enumerate(order):
        needed = modules[name].split(b"depends=")[1].split(b"\0")[0].decode()
        assert {word for word in needed.split(",") if word} <= set(order[:at])


def test_a_dash_in_a_dependency_is_an_underscore():
    """The kernel takes both for the same module."""
    order = load_order({"virtio_rng": module("rng-core"), "rng_core": module()}, ["virtio_rng"])
    assert order == ("rng_core", "virtio_rng")


@pytest.mark.parametrize("modules", [{}, {"a": module("b")}, {"a": module("a")}])
def test_a_module_that_cannot_be_loaded_fails_the_build(modules):
    """Missing, or going round in a circle: told while building, not by a machine that hangs."""
    with pytest.raises(ImageBuildFailed, match="missing or depends on itself"):
        load_order(modules, ["a"])


def test_the_initrd_is_the_same_each_time_and_holds_what_the_machine_needs():
    """Its bytes depend on its contents alone; `init` and every module named in the order are in."""
    names = (*NAMES, "virtio_rng", "squashfs", "vmw_vsock_virtio_transport")
    files = KernelFiles("6.1", b"", {name: module() for name in names}, b"busybox")
    initrd = make_initrd(files)
    assert initrd == make_initrd(files)
    inside = gzip.decompress(initrd)
    assert b"init\0" in inside
    for name in names:
        assert f"modules/{name}.ko\0".encode() in inside


@pytest.mark.skipif(shutil.which("cpio") is None, reason="the program cpio is the referee here")
def test_cpio_reads_the_archive(tmp_path):
    """The archive is what the format's own program takes, names, modes, links and contents."""
    archive = Cpio()
    archive.folder("bin")
    archive.file("bin/tool", b"odd", executable=True)
    archive.link("bin/sh", "tool")
    archive.file("note", b"")
    subprocess.run(
        ["cpio", "--extract", "--quiet"],
        input=archive.finish(),
        cwd=tmp_path,
        check=True,
        timeout=10,
    )
    assert (tmp_path / "bin" / "tool").read_bytes() == b"odd"
    assert (tmp_path / "bin" / "tool").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "bin" / "sh").readlink().name == "tool"
    assert (tmp_path / "note").read_bytes() == b""
