"""`forge serve` as people start it, in a process of its own: for the tests of whole servers."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from plugged import plugged

LONG_S = 90
"""Far more than anything here takes; reaching it means that something hangs."""

ENDLESS = """```python
import os, time
open({pid!r}, 'w').write(str(os.getpid()))
n = 0
while not os.path.exists({over!r}):
    print('line', n, flush=True)
    n += 1
    time.sleep(0.02)
print('the end', flush=True)
```"""


class Home:
    """A home folder, the environment of the servers that are started in it, and their port."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.home = folder, folder / "home"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.environment = {
            "PATH": os.environ["PATH"],  # noqa: TID251 - the tests' own
            "HOME": str(folder),
            "FORGE_HOME": str(self.home),
            "FORGE_SANDBOX": "local",
            "FORGE_PORT": str(self.port),
            "PYTHONPATH": str(plugged(folder)),
            "LC_ALL": "C.UTF-8",
        }

    def start(self, **environment: str) -> subprocess.Popen[str]:
        with (self.folder / "stderr").open("a") as stderr:
            return subprocess.Popen(
                [sys.executable, "-m", "forge", "serve"],
                cwd=self.folder,
                env=self.environment | environment,
                text=True,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    @property
    def said(self) -> str:
        return (self.folder / "stderr").read_text()

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=LONG_S)

    @contextmanager
    def serving(self, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """A server that is ready; killed where the test leaves it running."""
        process = self.start(**environment)
        try:
            until = time.monotonic() + LONG_S
            while not self.ready():
                assert process.poll() is None, self.said
                assert time.monotonic() < until, self.said
                time.sleep(0.05)
            yield process
        finally:
            process.kill()
            process.wait()

    def ready(self) -> bool:
        try:
            with self.client() as client:
                return client.get("/healthz").status_code == 200
        except httpx2.TransportError:
            return False


def ended(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> float:
    """Signal it, and how long it took to end, in seconds."""
    begun = time.monotonic()
    process.send_signal(number)
    process.wait(LONG_S)
    return time.monotonic() - begun


def events(response: httpx2.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """The ids and data of a stream."""
    number, data = "", ""
    for line in response.iter_lines():
        field, _, value = line.partition(": ")
        if field == "id":
            number = value
        elif field == "data":
            data = value
        elif not line and data:
            yield number, json.loads(data)
            number, data = "", ""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    """Whether it ends soon: who was killed is reaped a moment later."""
    until = time.monotonic() + 20
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(pid)


def follow(client: httpx2.Client, way: str, after: int = 0, most: int = 10**9, **body: Any) -> Any:
    """The records of a stream until it ends or `most` came, and whether it ended in order."""
    headers = {"Last-Event-ID": str(after)} if after else {}
    method = "POST" if body else "GET"
    found: list[dict[str, Any]] = []
    with client.stream(method, way, headers=headers, json=body or None) as response:
        assert response.status_code == 200, response.read()
        for number, data in events(response):
            if number:
                assert int(number) == data["seq"]
                found.append(data)
            if len(found) == most:
                break
    return found
