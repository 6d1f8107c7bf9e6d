"""Puts the template's root together: a read-only image below, a writable disk above.

    /mnt/lower  the template's image, read-only
    /mnt/data   the machine's own disk (ext4); its size is the quota
    /mnt/root   both, as one tree: what commands and code see as /

The agent's own root stays outside; only its interpreter folder is shown inside, read-only.
"""

import fcntl
import filecmp
import os
import shutil
import socket
import struct
from pathlib import Path

from forge_guest import options
from forge_guest.linux import MS_BIND, MS_NOATIME, MS_NODEV, MS_NOSUID, MS_RDONLY, MS_REMOUNT, mount

ROOT = "/mnt/root"
HOME = "/home/user"
UID = GID = 1000

_SHARED = (
    "usr/bin/python3.[0-9]*",
    "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    "usr/lib/x86_64-linux-gnu/lib[cm].so.6",
)
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def disk(name: str) -> str:
    """The device of a disk: the one that the host named, else the one with its serial.

    Raises:
        FileNotFoundError: there is none.
    """
    named = options.read().get(f"disk-{name}")
    return f"/dev/{named}" if named is not None else disk_with(f"forge-{name}")


def disk_with(serial: str) -> str:
    """The device of the disk with this serial.

    Raises:
        FileNotFoundError: there is none.
    """
    for entry in Path("/sys/block").glob("vd*"):
        if (entry / "serial").read_text().strip() == serial:
            return f"/dev/{entry.name}"
    raise FileNotFoundError(f"no disk with serial {serial}")


def mount_root(kind: str) -> None:
    """Mount the template's root, its devices and its own view of the kernel."""
    mount("tmpfs", "/mnt", "tmpfs", 0, "size=64k,mode=755")
    for name in ("lower", "data", "root"):
        Path("/mnt", name).mkdir()
    mount(disk("root"), "/mnt/lower", kind, MS_RDONLY)
    mount(disk("data"), "/mnt/data", "ext4", MS_NOSUID | MS_NODEV | MS_NOATIME)
    for name in ("upper", "work"):
        Path("/mnt/data", name).mkdir(mode=0o755, exist_ok=True)
    mount(
        "overlay",
        ROOT,
        "overlay",
        0,
        # Without redirect_dir no folder of the image could be renamed.
        "lowerdir=/mnt/lower,upperdir=/mnt/data/upper,workdir=/mnt/data/work,redirect_dir=on",
    )
    mount("proc", f"{ROOT}/proc", "proc", MS_NOSUID | MS_NODEV)
    mount("sysfs", f"{ROOT}/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_RDONLY)
    mount("tmpfs", f"{ROOT}/run", "tmpfs", MS_NOSUID | MS_NODEV, "size=16m,mode=755")
    _share_files()
    _make_devices()
    _show_interpreter()
    home = Path(ROOT + HOME)
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    os.chown(home, UID, GID)
    Path(ROOT, "tmp").chmod(0o1777)


def _share_files() -> None:
    """Show the agent's own Python in the place of a template's that is the same, byte for byte.

    One file is one set of pages: less memory, and under emulation code that the agent has run
    need not be translated again for the interpreter. A template with another Python keeps its own.
    """
    for name in _SHARED:
        for own in Path("/").glob(name):
            theirs = Path(ROOT, own.relative_to("/"))
            if theirs.is_file() and filecmp.cmp(own, theirs, shallow=False):
                mount(str(own), str(theirs), "", MS_BIND)
                mount(str(own), str(theirs), "", MS_BIND | MS_REMOUNT | MS_RDONLY)


def _make_devices() -> None:
    dev = Path(ROOT, "dev")
    mount("tmpfs", str(dev), "tmpfs", MS_NOSUID, "size=64k,mode=755")
    for name in _DEVICES:
        real = Path("/dev", name).stat()
        os.mknod(dev / name, real.st_mode | 0o666, real.st_rdev)
        (dev / name).chmod(0o666)
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    mount("devpts", f"{dev}/pts", "devpts", MS_NOSUID, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    mount("tmpfs", f"{dev}/shm", "tmpfs", MS_NOSUID | MS_NODEV, "size=64m,mode=1777")
    for link, target in (
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ):
        (dev / link).symlink_to(target)


def _show_interpreter() -> None:
    source = str(Path(__file__).parent / "interpreter")
    target = f"{ROOT}/run/forge/forge_guest/interpreter"
    Path(target).mkdir(parents=True)
    mount(source, target, "", MS_BIND)
    mount(source, target, "", MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID)


def loopback_up() -> None:
    """Bring `lo` up, so programs in the machine can talk to each other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags | _IFF_UP, b""))


def disk_free() -> int:
    """Bytes that a person's files may still take."""
    return shutil.disk_usage("/mnt/data").free
