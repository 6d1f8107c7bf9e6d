"""What of Debian's packages is in the agent's root."""

import tarfile

import pytest

from forge.errors import ImageBuildFailed
from forge.sandbox.images.agent_part import lay_out_guest, lay_out_interpreter, wanted_path


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("./usr/bin/python3.11", "usr/bin/python3.11"),
        ("./lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"),
        ("./lib64/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"),
        (
            "./usr/lib/x86_64-linux-gnu/libffi.so.8.1.2",
            "usr/lib/x86_64-linux-gnu/libffi.so.8.1.2",
        ),
        ("./usr/lib/python3.11/asyncio/tasks.py", "usr/lib/python3.11/asyncio/tasks.py"),
        ("./usr/lib/python3.11/ctypes/__init__.py", "usr/lib/python3.11/ctypes/__init__.py"),
        ("./usr/lib/python3.11/test/support/x.py", None),
        ("./usr/lib/python3.11/tkinter/__init__.py", None),
        ("./usr/lib/python3.11/lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so", None),
        ("./usr/lib/x86_64-linux-gnu/libcrypto.so.3", None),
        ("./usr/lib/x86_64-linux-gnu/gconv/UTF-7.so", None),
        ("./usr/share/doc/libc6/copyright", None),
        ("./usr/bin/pydoc3.11", None),
        ("./etc/passwd", None),
    ],
)
def test_a_file_has_its_place_or_none(name, place):
    """The interpreter, its loader, libraries and modules are taken; the rest stays out."""
    assert wanted_path(name) == place


def test_packages_without_an_interpreter_fail_the_build(tmp_path):
    """An empty tree is told while building."""
    tar = tmp_path / "packages.tar"
    tarfile.open(tar, "w").close()
    (tmp_path / "tree").mkdir()
    with pytest.raises(ImageBuildFailed, match=r"no python3\.11"):
        lay_out_interpreter(tar, tmp_path / "tree")


def test_the_guest_lies_where_the_first_program_looks(tmp_path):
    """The first program puts /opt/forge on its path and imports forge_guest.init from there."""
    lay_out_guest({"init.py": b"x", "wire/frames.py": b"y"}, tmp_path)
    start = tmp_path / "opt/forge/start"
    assert start.stat().st_mode & 0o777 == 0o755
    assert start.read_text().startswith("#!/usr/bin/python3.11 -ISB\n")
    assert 'sys.path.insert(0, "/opt/forge")' in start.read_text()
    assert (tmp_path / "opt/forge/forge_guest/wire/frames.py").read_bytes() == b"y"
