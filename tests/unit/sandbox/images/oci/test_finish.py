"""What a root needs, and what it gets where an image lacks or bends it."""

from pathlib import Path

import pytest

from forge.errors import SourceRefused
from forge.sandbox.images.oci.finish import examine, finish, read_file
from forge.sandbox.images.oci.tree import Bounds, File, Folder, Tree, flatten
from layouts import layer

SHELL = (("bin/busybox", b"x"), ("bin/sh", "busybox"))


def laid(folder: Path, *items) -> Tree:
    path = folder / "layer"
    path.write_bytes(layer(*items))
    return flatten([path], Bounds(1 << 20, 1000))


def text(tree: Tree, path: str) -> str:
    node = tree.at(path)
    assert isinstance(node, File)
    return read_file(node).decode()


def test_an_image_without_a_shell_is_refused(tmp_path: Path):
    """None, one that leads nowhere, and one that is not executable alike."""
    broken = tmp_path / "b"
    broken.mkdir()
    for tree in (laid(tmp_path, ("bin/ls", b"x")), laid(broken, ("bin/sh", "missing"))):
        with pytest.raises(SourceRefused, match="no shell"):
            examine(tree, {})


def test_an_image_of_one_program_gets_all_a_machine_needs(tmp_path: Path):
    """Folders to mount on, facts, a home, and a name for the person."""
    tree = laid(tmp_path, *SHELL)
    found = examine(tree, {})
    assert (found.shell, found.python, found.interpreter) == ("/bin/sh", None, False)
    finish(tree, found)
    for path in ("proc", "sys", "dev", "run", "tmp", "home/user", "etc"):
        assert isinstance(tree.at(path), Folder), path
    assert text(tree, "etc/passwd").splitlines()[-1] == "user:x:1000:1000::/home/user:/bin/sh"
    assert text(tree, "etc/group").splitlines()[-1] == "user:x:1000:"
    assert tree.root.meta.mode == 0o755


@pytest.mark.parametrize("path", ["proc", "sys", "dev", "run", "tmp", "home", "home/user"])
def test_a_bent_mount_point_becomes_a_folder(tmp_path: Path, path: str):
    """The agent would follow a symlink there into its own root."""
    tree = laid(tmp_path, *SHELL, (path, "/"))
    finish(tree, examine(tree, {}))
    assert isinstance(tree.at(path), Folder)


@pytest.mark.parametrize("path", ["etc/hostname", "etc/machine-id", "etc/hosts"])
def test_a_bent_fact_becomes_a_file(tmp_path: Path, path: str):
    """The agent writes them from outside the root."""
    tree = laid(tmp_path, *SHELL, (path, "/proc/self/exe"))
    finish(tree, examine(tree, {}))
    assert isinstance(tree.at(path), File)


def test_an_etc_that_is_no_folder_is_refused(tmp_path: Path):
    """Whatever it is, accounts and facts cannot be written there."""
    tree = laid(tmp_path, *SHELL, ("etc", "/tmp"))
    with pytest.raises(SourceRefused, match="/etc"):
        finish(tree, examine(tree, {}))


@pytest.mark.parametrize("account", [b"node:x:1000:1000::/home/node:/bin/sh\n", b"user:x:5:5:::\n"])
def test_an_account_that_is_taken_stays(tmp_path: Path, account: bytes):
    """Id 1000, or the name: nobody gets a second one."""
    tree = laid(tmp_path, *SHELL, ("etc/passwd", account))
    finish(tree, examine(tree, {}))
    assert text(tree, "etc/passwd") == account.decode()


def test_a_bent_passwd_is_left_alone(tmp_path: Path):
    """It is neither followed nor read."""
    tree = laid(tmp_path, *SHELL, ("etc/passwd", "/etc/shadow"))
    finish(tree, examine(tree, {}))
    assert not isinstance(tree.at("etc/passwd"), File)


@pytest.mark.parametrize(
    ("items", "version", "interpreter"),
    [
        ((("usr/bin/python3", "python3.12"), ("usr/bin/python3.12", b"x")), "3.12", True),
        ((("usr/local/bin/python3", b"x"), ("usr/local/bin/python3.9", b"x")), "3.9", False),
        ((("usr/bin/python3", "python3.6"), ("usr/bin/python3.6", b"x")), "3.6", False),
        ((("usr/bin/python3", b"x"),), "3.0", False),
        ((("usr/bin/python3", "missing"),), None, False),
    ],
)
def test_python_is_found_where_commands_would_find_it(
    tmp_path: Path, items, version: str | None, interpreter: bool
):
    """By its name; one that is too old to run code contexts counts as none for them."""
    found = examine(laid(tmp_path, *SHELL, *items), {})
    assert (found.python, found.interpreter) == (version, interpreter)


def test_python_is_looked_for_on_the_images_own_path(tmp_path: Path):
    """As images with a virtual environment set it."""
    items = (("opt/v/bin/python3", "/usr/bin/python3.11"), ("usr/bin/python3.11", b"x"))
    tree = laid(tmp_path, *SHELL, *items)
    assert examine(tree, {"PATH": "/opt/v/bin:/usr/bin"}).python == "3.11"
    assert examine(tree, {"PATH": "/usr/bin"}).python is None
