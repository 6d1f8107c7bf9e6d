"""Volumes by name: made, listed, locked as long as a process has them, and removed."""

import asyncio
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.errors import InputRefused, NameUnknown, VolumeBusy
from forge.sandbox.volumes import VolumeMount, VolumeStore, check_mounts, check_name

pytestmark = pytest.mark.skipif(
    shutil.which("mke2fs", path="/usr/sbin:/sbin:/usr/bin") is None, reason="needs e2fsprogs"
)

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/etc",
    "A",
    "-a",
    "a-",
    "a\0b",
    "a\n",
    "ü",
    "a" * 64,
    "a.",
]


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
async def store(tmp_path: Path) -> VolumeStore:
    """A home with one volume, `one`."""
    volumes = VolumeStore(tmp_path)
    await volumes.create("one", 16)
    return volumes


async def test_a_new_volume_has_its_size_and_occupies_next_to_nothing(tmp_path: Path):
    """It is sparse and closed to other users."""
    made = await VolumeStore(tmp_path).create("big", 10_000)
    assert made.size_mib == 10_000
    assert made.clean
    assert made.used < 1 << 20
    assert (tmp_path / "volumes/big/volume.img").stat().st_size == 10_000 << 20
    assert (tmp_path / "volumes").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_name_that_could_be_a_path_is_refused(store: VolumeStore, tmp_path: Path, name):
    """Before anything of that name is made, looked at, locked or removed."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputRefused):
        await store.create(name, 16)
    for use in (store.show, store.remove):
        with pytest.raises(InputRefused):
            use(name)
    with pytest.raises(InputRefused):
        store.hold(name, read_only=True)
    assert sorted(tmp_path.rglob("*")) == before


@given(st.text())
def test_no_name_that_passes_leads_out_of_a_folder(name):
    """Whatever is accepted is one plain component of a path."""
    try:
        check_name(name)
    except InputRefused:
        return
    assert Path("/volumes", name).parent == Path("/volumes")
    assert name.isascii()
    assert name.isprintable()


@pytest.mark.parametrize("size", [0, -1, 15, (1 << 20) + 1])
async def test_a_size_out_of_range_is_refused(store: VolumeStore, size):
    """Nothing is made."""
    with pytest.raises(InputRefused, match="MiB"):
        await store.create("other", size)
    assert [each.name for each in store.list()] == ["one"]


async def test_a_taken_name_is_refused_and_the_volume_stays(store: VolumeStore, tmp_path: Path):
    """Making it twice, even at once, makes it once and leaves nothing half-made."""
    with pytest.raises(InputRefused, match="there already"):
        await store.create("one", 32)
    assert store.show("one").size_mib == 16
    assert [each.name for each in (tmp_path / "volumes").iterdir()] == ["one"]


async def test_an_unknown_volume_is_named(store: VolumeStore):
    """And how to make it."""
    with pytest.raises(NameUnknown, match="'other'") as refused:
        store.show("other")
    assert "forge volume create other" in refused.value.hint


async def test_one_writes_or_many_read(store: VolumeStore):
    """Every other combination is refused by name."""
    readers = [store.hold("one", read_only=True) for _ in range(3)]
    with pytest.raises(VolumeBusy, match="'one'"):
        store.hold("one", read_only=False)
    for reader in readers:
        reader.close()
    writer = store.hold("one", read_only=False)
    for read_only in (True, False):
        with pytest.raises(VolumeBusy):
            store.hold("one", read_only=read_only)
    writer.close()
    store.hold("one", read_only=True).close()


async def test_the_lock_is_held_by_whoever_inherited_it_and_by_nobody_longer(store: VolumeStore):
    """Forge gives its own hold back; who has the descriptor keeps it, to its own end."""
    held = store.hold("one", read_only=False)
    assert held.writing is not None
    process = await asyncio.create_subprocess_exec("sleep", "60", pass_fds=(held.writing,))
    held.close()
    with pytest.raises(VolumeBusy):
        store.hold("one", read_only=True)
    with pytest.raises(VolumeBusy):
        store.remove("one")
    process.kill()
    await process.wait()
    store.hold("one", read_only=True).close()


async def test_a_refused_hold_leaves_no_descriptor_open(store: VolumeStore):
    """However often it is tried."""
    held = store.hold("one", read_only=False)
    before = _descriptors()
    for _ in range(5):
        with pytest.raises(VolumeBusy):
            store.hold("one", read_only=True)
    assert _descriptors() == before
    held.close()


async def test_a_removed_volume_is_gone_for_good(store: VolumeStore, tmp_path: Path):
    """Its name is free, and one made anew is empty."""
    image = tmp_path / "volumes/one/volume.img"
    with image.open("r+b") as file:
        file.seek(8 << 20)
        file.write(b"secret")
    store.remove("one")
    assert not list((tmp_path / "volumes").iterdir())
    await store.create("one", 16)
    assert b"secret" not in image.read_bytes()


async def test_a_link_in_a_volumes_place_is_not_followed(store: VolumeStore, tmp_path: Path):
    """What stands in the place of its file is opened for nobody."""
    image, precious = tmp_path / "volumes/one/volume.img", tmp_path / "precious"
    precious.write_text("mine")
    image.unlink()
    image.symlink_to(precious)
    with pytest.raises(OSError, match="symbolic"):
        store.hold("one", read_only=False)


async def test_whether_it_was_given_back_whole_is_remembered(store: VolumeStore):
    """Over processes: it is in the manifest."""
    store.mark("one", clean=False)
    assert not store.show("one").clean
    store.mark("one", clean=True)
    assert store.show("one").clean


@pytest.mark.parametrize(
    "path",
    ["", "data", "/", "//data", "/data/", "/data/../etc", "/..", "/.", "/data/.", "/etc", "/etc/x",
     "/usr/lib", "/proc/1", "/dev", "/run/x", "/home", "/a b", "/a\0", "/a\n", "/a:b",
     "/" + "x" * 101, "/a" * 9],
)  # fmt: skip
def test_a_place_of_the_systems_own_or_none_is_refused(path):
    """Only a plain absolute path outside the system's folders is a place for a volume."""
    with pytest.raises(InputRefused):
        check_mounts((VolumeMount("one", path),))


@pytest.mark.parametrize(
    "path", ["/data", "/home/user", "/home/user/data", "/mnt/a/b", "/srv/x.y_z-1"]
)
def test_a_place_of_a_persons_own_is_taken(path):
    """The home folder itself is one."""
    check_mounts((VolumeMount("one", path),))


@pytest.mark.parametrize(
    "mounts",
    [
        [("a", "/a"), ("a", "/b")],
        [("a", "/a"), ("b", "/a")],
        [("a", "/a"), ("b", "/a/b")],
        [(f"v{n}", f"/v{n}") for n in range(5)],
    ],
)
def test_volumes_that_exclude_each_other_are_refused(mounts):
    """The same one twice, one place for two, one inside another, and too many."""
    with pytest.raises(InputRefused):
        check_mounts(tuple(VolumeMount(name, path) for name, path in mounts))
