"""The agent part: a small read-only root with an interpreter of its own and the guest's source.

It is apart from the template's root so that a template made of anything, with Python or without,
still has an agent that a person's code cannot touch. The interpreter's tree is kept as a part of
its own, so a change to the guest's source remakes this one in a second or two.

Byte code is compiled by the tree's own interpreter, started through the tree's own loader: it must
match that Python, not the one that runs Forge. It is marked as never to be checked against its
source, because both lie in one read-only image.
"""

import re
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

from forge.errors import ImageBuildFailed
from forge.sandbox.images.debian import EPOCH
from forge.sandbox.images.key import read_script
from forge.sandbox.images.process import Programs

PYTHON = "python3.11"
PACKAGES = (
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libc6",
    "libexpat1",
    "zlib1g",
    "libffi8",
    "libbz2-1.0",
    "liblzma5",
)

_LIBRARIES = re.compile(
    r"(ld-linux-x86-64|libc|libm|libdl|libpthread|librt|libutil|libgcc_s|libexpat|libz|libffi|libbz2"
    r"|liblzma)\.so[.0-9]*"
)
_LIBRARY_FOLDERS = ("lib/x86_64-linux-gnu/", "lib64/", "usr/lib/x86_64-linux-gnu/")
_UNUSED_FOLDERS = re.compile(
    r"(test|idlelib|tkinter|turtledemo|ensurepip|lib2to3|distutils|pydoc_data|unittest|venv|curses"
    r"|dbm|sqlite3|wsgiref|xmlrpc|__phello__|__pycache__|config-[^/]*)/"
)
_UNUSED_FILES = re.compile(
    r"sitecustomize\.py|_sysconfigdata.*|pydoc\.py|doctest\.py|turtle\.py|EXTERNALLY-MANAGED"
    r"|lib-dynload/(_ssl|_hashlib|_sqlite3|_curses|_curses_panel|readline|_dbm|_gdbm|_crypt|nis|_uuid"
    r"|ossaudiodev|_test\w*|_xxtestfuzz|xxlimited\w*|xxsubtype|_codecs_\w+|audioop|_lsprof)\..*"
)
_MOUNT_POINTS = ("proc", "sys", "dev", "run", "tmp", "mnt/lower", "mnt/data", "mnt/root", "root")
_COMPILE_S = 120.0  # takes 4 s
_PACK_S = 120.0  # takes 1 s


def wanted_path(name: str) -> str | None:
    """Where a file of Debian's packages goes in the agent's root; None where it does not."""
    path = name.removeprefix("./")
    library = path.rpartition("/")[2]
    for folder in _LIBRARY_FOLDERS:
        if path == folder + library and _LIBRARIES.fullmatch(library):
            return f"usr/{path.removeprefix('usr/')}"
    if path == f"usr/bin/{PYTHON}":
        return path
    inner = path.removeprefix(f"usr/lib/{PYTHON}/")
    if inner == path or _UNUSED_FOLDERS.match(inner) or _UNUSED_FILES.fullmatch(inner):
        return None
    return path


def lay_out_interpreter(tar: Path, tree: Path) -> None:
    """Put the interpreter's files from mmdebstrap's tree into an empty folder.

    Raises:
        ImageBuildFailed: the packages did not hold an interpreter.
    """
    with tarfile.open(tar) as archive:
        for member in archive:
            path = wanted_path(member.name)
            if path is None or not (member.isfile() or member.issym()):
                continue
            place = tree / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if member.issym():
                place.symlink_to(member.linkname)
                continue
            content = archive.extractfile(member)
            assert content is not None  # it is a regular file
            with place.open("wb") as file:
                shutil.copyfileobj(content, file)
            place.chmod(0o755 if member.mode & 0o100 else 0o644)
    if not (tree / "usr/bin" / PYTHON).is_file():
        raise ImageBuildFailed(f"Debian's packages held no {PYTHON}")
    for link, target in (("lib", "usr/lib"), ("lib64", "usr/lib64"), ("bin", "usr/bin")):
        (tree / link).symlink_to(target)
    (tree / "usr/bin/python3").symlink_to(PYTHON)
    for folder in _MOUNT_POINTS:
        (tree / folder).mkdir(parents=True, exist_ok=True)
    (tree / "etc").mkdir()
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/false\n")
    (tree / "etc/group").write_text("root:x:0:\n")


def lay_out_guest(sources: Mapping[str, bytes], tree: Path) -> None:
    """Put the guest's source and its first program into a tree."""
    home = tree / "opt/forge"
    for name, content in sources.items():
        place = home / "forge_guest" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        place.chmod(0o644)
    start = home / "start"
    start.write_text(read_script("start"))
    start.chmod(0o755)
    for folder in (tree / "opt", home, *(path for path in home.rglob("*") if path.is_dir())):
        folder.chmod(0o755)


async def compile_below(programs: Programs, tree: Path, folder: str) -> None:
    """Compile a folder of the tree with the tree's own interpreter.

    Raises:
        ImageBuildFailed: a file does not compile, or the interpreter does not start.
    """
    libraries = tree / "usr/lib/x86_64-linux-gnu"
    await programs.run(
        [
            *(str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries)),
            *(str(tree / "usr/bin" / PYTHON), "-ISB", "-m", "compileall", "-q", "-j", "2"),
            *("--invalidation-mode", "unchecked-hash", "-s", str(tree), "-p", "/"),
            str(tree / folder),
        ],
        deadline_s=_COMPILE_S,
    )


async def pack_tree(programs: Programs, tree: Path, tar: Path) -> None:
    """Write a tree as a tar.

    Raises:
        ImageBuildFailed, NoSpace: tar failed.
    """
    await programs.run(
        [
            *("tar", "--create", "--file", str(tar), "--directory", str(tree), "--sort=name"),
            *("--owner=0", "--group=0", "--numeric-owner", f"--mtime=@{EPOCH}"),
            *("--mode=u+rw,go=rX", "."),
        ],
        deadline_s=_PACK_S,
    )


async def unpack_tree(programs: Programs, tar: Path, tree: Path) -> None:
    """Lay a kept tree out again.

    Raises:
        ImageBuildFailed, NoSpace: tar failed.
    """
    tree.mkdir()
    await programs.run(
        ["tar", "--extract", "--file", str(tar), "--directory", str(tree), "--no-same-owner"],
        deadline_s=_PACK_S,
    )


async def pack_image(programs: Programs, tree: Path, image: Path) -> None:
    """Write a tree as a read-only file system, everything owned by root.

    Raises:
        ProgramMissing, NoSpace, ImageBuildFailed: mksquashfs is missing or failed.
    """
    await programs.run(
        [
            *("mksquashfs", str(tree), str(image), "-noappend", "-no-progress", "-quiet"),
            *("-comp", "lz4", "-Xhc", "-b", "128K", "-all-root", "-no-xattrs"),
            *("-mkfs-time", str(EPOCH), "-all-time", str(EPOCH)),
        ],
        deadline_s=_PACK_S,
    )
