"""A Firecracker whose guests answer, for hosts where none boots under the real one.

It is a real program behind the real seams: Forge starts it confined, asks it over HTTP on its
socket and calls its guest over its vsock socket. Its calls, refusals and files are the real one's
(1.12.1), as `test_firecracker.py` finds them; its guest is a number in its memory, which counts how
often it was asked what it uses, and comes back with a snapshot.

A fault that a test wants is a file beside the machine's: `folder/fault` holds what the next saving
is refused with.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from forge_guest.wire.channel import Channel, ChannelClosed, StreamReset
from forge_guest.wire.transport import FdTransport

HERE = Path(__file__).resolve()
GUEST = HERE.parent.parent / "guest"
VERSION = "1.12.1"

_EARLY = "The requested operation is not supported before starting the microVM."
_LATE = "The requested operation is not supported after starting the microVM."
_RUNNING = (
    "Create snapshot error: Cannot save the microVM state: Operation not allowed: save/restore "
    "unavailable while running"
)


def program(folder: Path) -> Path:
    """Put it into a folder, as the program `firecracker`."""
    place = folder / "firecracker"
    place.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"sys.path[:0] = [{str(HERE.parent)!r}, {str(GUEST)!r}]\n"
        f"import fake_firecracker\nfake_firecracker.main(sys.argv[1:], {str(folder)!r})\n"
    )
    place.chmod(0o755)
    return place


class Refused(Exception):
    """What the real one answers with status 400."""


class Vm:
    """One microVM, in the folder where its process stands."""

    def __init__(self, faults: Path) -> None:
        self._faults = faults
        self._told: dict[str, dict] = {}
        self._state = "Not started"
        self._asked = 0
        self._lines: set = set()
        self.vsock: Callable[[str], Awaitable[None]] | None = None

    async def ask(self, method: str, path: str, body: dict) -> dict | None:
        """Answer one call of the API."""
        if (method, path) == ("GET", "/version"):
            return {"firecracker_version": VERSION}
        if (method, path) == ("GET", "/"):
            return {"id": "anonymous-instance", "state": self._state, "app_name": "Firecracker"}
        started = self._state != "Not started"
        early = path in ("/vm", "/snapshot/create")
        if early != started and not (started and path.startswith("/drives/")):
            raise Refused(_LATE if started else _EARLY)
        await self._do(method, path, body)
        return None

    async def _do(self, method: str, path: str, body: dict) -> None:
        if path == "/vm":
            self._state = {"Paused": "Paused", "Resumed": "Running"}[body["state"]]
        elif path == "/snapshot/create":
            self._save(body)
        elif path == "/snapshot/load":
            await self._load(body)
        elif path == "/actions":
            await self._start()
        elif method == "PUT":
            self._told[path] = body

    async def _start(self) -> None:
        assert self.vsock is not None
        for path, told in self._told.items():
            if path.startswith("/drives/") and not Path(told["path_on_host"]).is_file():
                raise Refused("No such file or directory (os error 2)")
        await self.vsock(self._told["/vsock"]["uds_path"])
        self._state = "Running"

    def _save(self, body: dict) -> None:
        if self._state != "Paused":
            raise Refused(_RUNNING)
        fault = self._faults / "fault"
        if fault.exists():
            said = fault.read_text()
            fault.unlink()
            if said == "die":
                os._exit(1)
            raise Refused(f"Create snapshot error: {said}")
        with Path(body["mem_file_path"]).open("wb") as memory:
            memory.write(json.dumps(self._asked).encode() + b"\n")
            memory.truncate(self._told["/machine-config"]["mem_size_mib"] << 20)
        Path(body["snapshot_path"]).write_text(json.dumps(self._told))
        # A vsock connection does not outlive this, here or in a copy.
        for line in tuple(self._lines):
            line()

    async def _load(self, body: dict) -> None:
        try:
            self._told = json.loads(Path(body["snapshot_path"]).read_text())
        except ValueError as error:
            raise Refused(f"Load snapshot error: Failed to get snapshot state: {error}") from error
        self._asked = _number(Path(body["mem_backend"]["backend_path"]))
        await self._start()
        self._state = "Running" if body["resume_vm"] else "Paused"

    async def call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection to the vsock socket: the guest answers while the machine runs."""
        line = await reader.readline()
        if self._state != "Running" or not line.startswith(b"CONNECT 1000"):
            writer.close()
            return
        writer.write(b"OK 1073741824\n")
        await writer.drain()
        fd = os.dup(writer.get_extra_info("socket").fileno())
        writer.transport.pause_reading()
        async with asyncio.TaskGroup() as tasks:
            channel = Channel(
                FdTransport(fd),
                host=False,
                on_open=lambda stream: tasks.create_task(self._answer(stream)),
            )

            def end() -> None:
                channel.close(ChannelClosed("saved"))

            self._lines.add(end)
            await channel.run()
            self._lines.discard(end)
        writer.transport.abort()

    async def _answer(self, stream) -> None:
        verb = stream.request["verb"]
        answers = {"ping": {"version": 1}, "prepare": {"failures": []}}
        answers["restore"] = {"restored": True}
        with contextlib.suppress(StreamReset, ChannelClosed):
            if verb == "usage":
                self._asked += 1
                await stream.message({"memory_available": 1, "processes": self._asked}, fin=True)
            elif verb in answers:
                await stream.message(answers[verb], fin=True)
            else:
                await stream.given_up()


def _number(memory: Path) -> int:
    with memory.open("rb") as file:
        return json.loads(file.readline())


async def _http(vm: Vm, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split(" ", 2)
            length = 0
            for each in head.splitlines():
                name, _, value = each.partition(":")
                if name.lower() == "content-length":
                    length = int(value)
            content = await reader.readexactly(length)
            try:
                said = await vm.ask(method, path, json.loads(content) if content else {})
                status = 200 if said is not None else 204
            except Refused as error:
                status, said = 400, {"fault_message": str(error)}
            body = b"" if said is None else json.dumps(said).encode()
            writer.write(f"HTTP/1.1 {status} \r\nContent-Length: {len(body)}\r\n\r\n".encode())
            writer.write(body)
            await writer.drain()
    writer.close()


async def _serve(socket: str, faults: Path) -> None:
    vm = Vm(faults)
    servers = []

    async def vsock(path: str) -> None:
        servers.append(await asyncio.start_unix_server(vm.call, path))

    vm.vsock = vsock
    async with await asyncio.start_unix_server(
        lambda reader, writer: _http(vm, reader, writer), socket
    ) as server:
        await server.serve_forever()


def main(words: list[str], faults: str) -> None:
    """Be the program: say the version, or serve."""
    if words == ["--version"]:
        sys.stdout.write(f"Firecracker v{VERSION}\n\nexiting\n")
        return
    asyncio.run(_serve(words[words.index("--api-sock") + 1], Path(faults)))
