"""What a tree becomes as one archive."""

import io
import tarfile
from pathlib import Path

import pytest

from forge.errors import SourceRefused
from forge.sandbox.images.oci.tree import Bounds, flatten
from forge.sandbox.images.oci.writing import write
from layouts import entry, layer


def written(folder: Path, content: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    path = folder / "layer"
    path.write_bytes(content)
    tree = flatten([path], Bounds(1 << 20, 1000))
    buffer = io.BytesIO()
    write(tree, buffer, newest=1000)
    buffer.seek(0)
    with tarfile.open(fileobj=buffer, errors="surrogateescape") as archive:
        found = {}
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            found[member.name] = (member, file.read() if file else b"")
    return found


def test_files_links_owners_and_modes_arrive(tmp_path: Path):
    """Also names that are not UTF-8 or long, and the set-user-id bit: it is the machine's."""
    odd, long = "caf\udce9", "d/" + "n" * 200
    sudo = entry("sudo", mode=0o4755, uid=0, gid=7, mtime=5000)
    found = written(
        tmp_path,
        layer(
            (odd, b"odd"),
            (long, b"long"),
            ("sudo", sudo),
            ("link", "sudo"),
            ("same", entry("same", tarfile.LNKTYPE, linkname=odd)),
            ("pipe", entry("pipe", tarfile.FIFOTYPE)),
        ),
    )
    assert found[odd][1] == b"odd"
    assert found[long][1] == b"long"
    there = found["sudo"][0]
    assert (there.mode, there.gid, there.mtime) == (0o4755, 7, 1000)
    assert found["link"][0].linkname == "sudo"
    assert found["same"][0].islnk()
    assert found["pipe"][0].isfifo()


def test_a_layer_that_ends_inside_a_file_is_refused(tmp_path: Path):
    """A header may promise more than follows."""
    whole = layer(("a", b"x" * 4000))
    with pytest.raises(SourceRefused):
        written(tmp_path, whole[:2000])
