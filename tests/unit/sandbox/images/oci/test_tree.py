"""Layers laid over each other: what OCI's specification says, and names that try to lead out."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.errors import SourceRefused
from forge.sandbox.images.oci.tree import Bounds, File, Folder, Link, Tree, flatten
from layouts import entry, layer

ROOMY = Bounds(size=1 << 20, entries=1000)


def laid(folder: Path, *layers: bytes, bounds: Bounds = ROOMY) -> Tree:
    paths = []
    for number, content in enumerate(layers):
        path = folder / f"layer-{number}"
        path.write_bytes(content)
        paths.append(path)
    return flatten(paths, bounds)


def names(tree: Tree) -> set[str]:
    return {path for path, _ in tree.nodes()}


def test_an_upper_layer_replaces_files_and_keeps_folders(tmp_path: Path):
    """A file is the upper one; what only the lower layer has in a folder stays."""
    tree = laid(
        tmp_path,
        layer(("a", None), ("a/old", b"1"), ("a/both", b"22")),
        layer(("a", None), ("a/both", b"333")),
    )
    assert names(tree) == {"a", "a/old", "a/both"}
    both = tree.at("a/both")
    assert isinstance(both, File)
    assert both.size == 3


def test_whiteouts_remove_what_is_below_and_nothing_of_their_own_layer(tmp_path: Path):
    """One name, and all of a folder; order inside the layer does not matter."""
    tree = laid(
        tmp_path,
        layer(("a/gone", b""), ("a/stays", b""), ("b/gone", b"")),
        layer(("b/new", b""), ("a/.wh.gone", b""), ("b/.wh..wh..opq", b"")),
    )
    assert names(tree) == {"a", "a/stays", "b", "b/new"}


def test_a_folder_takes_the_place_of_a_symlink_and_entries_follow_one(tmp_path: Path):
    """As every engine does: `bin/x` goes where `bin` leads; an entry `bin` itself replaces it."""
    below = layer(("usr/bin", None), ("bin", "usr/bin"), ("lib", "/usr/lib"))
    tree = laid(tmp_path, below, layer(("bin/x", b""), ("lib", None), ("lib/y", b"")))
    assert {"usr/bin/x", "lib/y"} <= names(tree)
    assert isinstance(tree.at("bin"), Link)
    assert isinstance(tree.at("lib"), Folder)


def test_a_hard_link_is_the_same_file(tmp_path: Path):
    """Also to a file of a layer below."""
    link = entry("b", tarfile.LNKTYPE, linkname="a")
    tree = laid(tmp_path, layer(("a", b"x")), layer(("b", link)))
    assert tree.at("b") is tree.at("a")


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/../out", "a/.."])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str):
    """Not clipped: such an image is damaged or hostile."""
    with pytest.raises(SourceRefused, match="leads out"):
        laid(tmp_path, layer((name, b"")))


def test_an_absolute_name_is_taken_below_the_root(tmp_path: Path):
    """Some builders write them."""
    assert "etc/x" in names(laid(tmp_path, layer(("/etc/x", b""))))


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../etc", "nowhere"])
def test_a_symlink_leads_nowhere_but_in_the_root(tmp_path: Path, target: str):
    """What is written behind it lands below the root, wherever it points."""
    tree = laid(tmp_path, layer(("trap", target), ("trap/x", b"")))
    assert isinstance(tree.find("trap/x"), File)
    assert all(".." not in path.split("/") for path in names(tree))


def test_symlinks_in_a_circle_end(tmp_path: Path):
    """Nothing is found behind them, and what is put there replaces them."""
    tree = laid(tmp_path, layer(("a", "b"), ("b", "a")))
    assert tree.find("a/x") is None
    tree = laid(tmp_path, layer(("a", "b"), ("b", "a"), ("a/x", b"")))
    assert isinstance(tree.find("a/x"), File)


@pytest.mark.parametrize("target", ["missing", "../../etc/passwd", ""])
def test_a_hard_link_to_what_is_not_there_is_refused(tmp_path: Path, target: str):
    """A hard link to a file of the host would be one."""
    link = entry("b", tarfile.LNKTYPE, linkname=target)
    with pytest.raises(SourceRefused):
        laid(tmp_path, layer(("b", link)))


def test_devices_are_left_out(tmp_path: Path):
    """A machine makes its own; one of an image's could be the machine's disk."""
    disk = entry("disk", tarfile.BLKTYPE, devmajor=254, devminor=0)
    memory = entry("memory", tarfile.CHRTYPE, devmajor=1, devminor=1)
    assert names(laid(tmp_path, layer(("disk", disk), ("memory", memory), ("a", b"")))) == {"a"}


def test_a_giant_with_holes_counts_with_all_its_bytes(tmp_path: Path):
    """A few hundred bytes of archive can say that they unpack to a terabyte."""
    header = entry("giant", size=0, pax_headers={"GNU.sparse.size": str(1 << 40)})
    header.pax_headers |= {"GNU.sparse.map": "0,0", "GNU.sparse.name": "giant"}
    with pytest.raises(SourceRefused, match="too large"):
        laid(tmp_path, layer(("giant", header)))


def test_bytes_and_entries_are_counted_over_all_layers(tmp_path: Path):
    """Also of what a later layer removes."""
    with pytest.raises(SourceRefused, match="1 MiB"):
        laid(tmp_path, *(layer((name, b"x" * 600_000)) for name in "ab"))
    many = layer(*((str(number), b"") for number in range(501)))
    with pytest.raises(SourceRefused, match="1,000 files"):
        laid(tmp_path, many, many)


def test_a_header_that_claims_gigabytes_is_not_read_into_memory(tmp_path: Path):
    """A long name of 8 GiB is refused by its size."""
    info = entry("x", tarfile.GNUTYPE_LONGNAME, size=8 << 30)
    header = info.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(SourceRefused, match="not a proper archive"):
        laid(tmp_path, header + b"\0" * 1024)


@pytest.mark.parametrize("content", [b"no tar at all" * 100, b"\x1f\x8b" + b"x" * 600])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes):
    """Garbage is named, whatever Python's parser makes of it."""
    with pytest.raises(SourceRefused, match="not a proper archive"):
        laid(tmp_path, content)


def test_names_that_no_file_system_takes_are_refused(tmp_path: Path):
    """Too long as a step, or as a whole."""
    for name in ("x" * 256, "/".join(["y" * 200] * 25)):
        with pytest.raises(SourceRefused):
            laid(tmp_path, layer((name, b"")))


STEPS = st.lists(st.sampled_from(["a", "b", "c", ".", ".wh.a", ".wh..wh..opq"]), min_size=1)
THINGS = st.one_of(
    st.none(), st.binary(max_size=4), st.sampled_from(["a", "/b", "../c", "a/b", ".", "/"])
)


@given(st.lists(st.lists(st.tuples(STEPS.map("/".join), THINGS), max_size=8), max_size=4))
def test_any_layers_make_a_tree_without_marks_or_loops(
    tmp_path_factory: pytest.TempPathFactory, layers: list[list[tuple[str, Any]]]
):
    """Whatever is laid over what: each path once, below the root, no whiteout left."""
    folder = tmp_path_factory.mktemp("layers")
    tree = laid(folder, *(layer(*items) for items in layers))
    paths = [path for path, _ in tree.nodes()]
    assert len(paths) == len(set(paths)) <= 200
    assert not any(step.startswith((".wh.", "..")) for path in paths for step in path.split("/"))


@given(st.binary(max_size=2048), st.integers(0, 4095))
def test_a_mutated_layer_is_a_tree_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, where: int
):
    """No other exception, no endless loop."""
    good = layer(("a", None), ("a/b", b"x" * 700), ("l", "a"), ("n" * 150, b""))
    folder = tmp_path_factory.mktemp("layers")
    mutated = io.BytesIO(good)
    mutated.seek(where)
    mutated.write(noise)
    try:
        tree = laid(folder, mutated.getvalue())
    except SourceRefused:
        return
    assert all(path for path in names(tree))
