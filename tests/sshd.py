"""An ssh server of one's own for tests: Debian's sshd on loopback, as whoever runs the tests.

It has a port, a host key, an authorised key and a configuration of its own, all in one folder, and
ends with its block. Nothing of the computer's own ssh is used or changed; the client checks the
host key, and reads no configuration of the person's.
"""

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

START_S = 60.0
"""It takes milliseconds; a loaded host may take many times that."""

CONFIGURATION = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/person.pub
PidFile {folder}/pid
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PermitUserEnvironment no
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class Server:
    """A running server. `process` is the listener; each login has children of its own."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    def command(self, *remote: str) -> list[str]:
        """What runs `remote` through ssh: words that the far shell takes as they are."""
        return [
            "ssh",
            *("-F", "none", "-T", "-p", str(self.port), "-i", f"{self.folder}/person"),
            *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"),
            *("-o", f"UserKnownHostsFile={self.folder}/known", "-o", "GlobalKnownHostsFile=none"),
            f"{getpass.getuser()}@127.0.0.1",
            shlex.join(remote),
        ]

    def worker(self) -> list[str]:
        """The command that leads to this checkout's own worker."""
        home = f"HOME={Path.home()}"  # a login has its own
        return self.command("env", home, sys.executable, "-m", "forge", "microvm", "serve")


@contextmanager
def ssh_server(folder: Path) -> Iterator[Server]:
    """A server until the block is left; a test that needs it is skipped where there is no sshd."""
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin")
    if program is None or shutil.which("ssh") is None:
        pytest.skip("there is no ssh here; scripts/setup-debian.sh installs openssh-server")
    for name in ("host", "person"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(key, check=True, timeout=START_S)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on it where it is root
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    host_key = (folder / "host.pub").read_text().split()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {host_key[0]} {host_key[1]}\n")
    (folder / "sshd.conf").write_text(CONFIGURATION.format(port=port, folder=folder))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-D", "-e", "-f", str(folder / "sshd.conf")], stderr=log, stdout=log
        )
    try:
        _wait_until_it_listens(process, port, folder)
        yield Server(folder, port, process)
    finally:
        process.kill()
        process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"sshd did not start: {(folder / 'log').read_text()}")
