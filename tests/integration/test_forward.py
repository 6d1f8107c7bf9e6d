"""A port of this host that leads into a machine: real protocols, real clients, real trouble."""

import asyncio
import base64
import hashlib
import socket

import httpx2
import pytest

from forge.sandbox.base import Sandbox
from forge.sandbox.commands import NO_DEADLINE, Command
from forge.sandbox.forward import MAX_CONNECTIONS, forward
from forge.testing.sandbox_conformance.ports import serve
from talking import pieces, shell

pytestmark = pytest.mark.vm

PATIENCE_S = 120

WEB = b"""
import base64, hashlib, socketserver
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Web(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(201)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body[::-1])

    def do_GET(self):
        if self.headers.get('Upgrade') == 'websocket':
            return self.websocket()
        self.send_response(200)
        self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        for word in (b'a', b'bb', b'ccc'):
            self.wfile.write(b'%x\\r\\n%s\\r\\n' % (len(word), word))
        self.wfile.write(b'0\\r\\n\\r\\n')

    def websocket(self):
        key = self.headers['Sec-WebSocket-Key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        for name, value in (('Upgrade', 'websocket'), ('Connection', 'Upgrade'),
                            ('Sec-WebSocket-Accept', accept)):
            self.send_header(name, value)
        self.end_headers()
        while True:
            head = self.rfile.read(2)
            size = head[1] & 127
            mask, body = self.rfile.read(4), self.rfile.read(size)
            plain = bytes(each ^ mask[at % 4] for at, each in enumerate(body))
            self.wfile.write(bytes((head[0], size)) + plain)
            if head[0] & 15 == 8:
                self.close_connection = True
                return

ThreadingHTTPServer(('127.0.0.1', 8080), Web).serve_forever()
"""


@pytest.fixture
async def web(qemu: Sandbox) -> Sandbox:
    """A machine with a server for the web on its port 8080."""
    await qemu.files.write("web.py", pieces(WEB))
    await qemu.commands.start(Command(("python3", "web.py"), NO_DEADLINE))
    await shell(qemu, "until curl -sf -o web.out http://127.0.0.1:8080; do sleep 0.1; done")
    return qemu


async def test_http_passes(web: Sandbox):
    """Requests on one connection and on many, bodies both ways, chunks."""
    body = bytes(range(256)) * 4000
    async with forward(web, 8080) as there, httpx2.AsyncClient(timeout=PATIENCE_S) as client:
        base = f"http://{there.host}:{there.host_port}"
        for _ in range(3):
            assert (await client.get(base)).text == "abbccc"
        answer = await client.post(base, content=body)
        assert (answer.status_code, answer.content) == (201, body[::-1])


def framed(kind: int, text: bytes) -> bytes:
    """A client's frame, masked as the protocol wants it."""
    mask = b"\x01\x02\x03\x04"
    masked = bytes(each ^ mask[at % 4] for at, each in enumerate(text))
    return bytes((0x80 | kind, 0x80 | len(text))) + mask + masked


async def test_a_websocket_passes(web: Sandbox):
    """The handshake, frames both ways while it is open, and its closing."""
    key = base64.b64encode(b"0123456789abcdef").decode()
    async with asyncio.timeout(PATIENCE_S), forward(web, 8080) as there:
        reader, writer = await asyncio.open_connection(there.host, there.host_port)
        writer.write(
            f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode() + guid).digest())
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"Sec-WebSocket-Accept: " + accept in head
        for number in range(20):
            text = b"message %d" % number
            writer.write(framed(1, text))
            assert await reader.readexactly(2 + len(text)) == bytes((0x81, len(text))) + text
        writer.write(framed(8, b"\x03\xe8"))
        assert await reader.readexactly(4) == b"\x88\x02\x03\xe8"
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def echoed(host: str, port: int, sent: bytes) -> bytes:
    """Send everything, end, and read to the end."""
    reader, writer = await asyncio.open_connection(host, port)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(reader.read())
        writer.write(sent)
        await writer.drain()
        writer.write_eof()
    writer.close()
    await writer.wait_closed()
    return reading.result()


async def test_bytes_pass_and_each_end_by_itself(qemu: Sandbox):
    """The program says its last word after it has read our end."""
    await serve(qemu, 9000, "echo")
    sent = bytes(range(256)) * 2000
    async with asyncio.timeout(PATIENCE_S), forward(qemu, 9000) as there:
        assert await echoed(there.host, there.host_port, sent) == sent + b"END"
        assert await echoed(there.host, there.host_port, b"") == b"END"


async def test_fifty_connections_at_once(qemu: Sandbox):
    """Each gets its own bytes back, and nothing of them stays in the machine."""
    await serve(qemu, 9000, "echo")
    _, before = await shell(qemu, "ls /proc/1/fd | wc -l", root=True)
    async with asyncio.timeout(PATIENCE_S * 2), forward(qemu, 9000) as there:
        async with asyncio.TaskGroup() as tasks:
            all_of_them = {
                number: tasks.create_task(
                    echoed(there.host, there.host_port, b"%d " % number * 5000)
                )
                for number in range(50)
            }
        for number, task in all_of_them.items():
            assert task.result() == b"%d " % number * 5000 + b"END"
    _, after = await shell(qemu, "ls /proc/1/fd | wc -l", root=True)
    assert before == after


async def test_a_flood_is_held_back_and_its_reader_may_vanish(qemu: Sandbox):
    """A client that does not read, then one that is gone: the program is cut off each time, and
    the port goes on.
    """
    await serve(qemu, 9000, "flood")
    _, before = await shell(qemu, "ls /proc/1/fd | wc -l", root=True)
    async with asyncio.timeout(PATIENCE_S), forward(qemu, 9000) as there:
        for _ in range(3):
            with socket.create_connection((there.host, there.host_port)) as client:
                client.setblocking(False)
                data = await asyncio.get_running_loop().sock_recv(client, 10)
                assert data == b"x" * len(data)
        until = f"until [ $(ls /proc/1/fd | wc -l) = {int(before)} ]; do sleep 0.1; done"
        assert (await shell(qemu, until, root=True))[0].ok


async def cut_off(host: str, port: int) -> bool:
    """Whether a connection is broken off before a byte of an answer."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            return await reader.read() == b""
        finally:
            writer.transport.abort()
    except ConnectionError:
        return True


async def test_a_port_that_does_not_answer_cuts_its_clients_off(qemu: Sandbox):
    """Nothing listens; then a program does, on the same forwarded port; then its connection is
    broken off by the program.
    """
    async with asyncio.timeout(PATIENCE_S), forward(qemu, 9000) as there:
        assert await cut_off(there.host, there.host_port)
        await serve(qemu, 9000, "echo")
        assert await echoed(there.host, there.host_port, b"x") == b"xEND"
    await serve(qemu, 9001, "cut")
    async with asyncio.timeout(PATIENCE_S), forward(qemu, 9001) as there:
        reader, writer = await asyncio.open_connection(there.host, there.host_port)
        writer.write(b"x")
        with pytest.raises(ConnectionError):
            await reader.read()
        writer.transport.abort()


async def test_a_program_that_never_answers_holds_nobody_else(qemu: Sandbox):
    """Its clients wait, commands go on, and leaving ends them all."""
    await serve(qemu, 9000, "mute")
    async with asyncio.timeout(PATIENCE_S), forward(qemu, 9000) as there:
        reader, writer = await asyncio.open_connection(there.host, there.host_port)
        writer.write(b"anyone?")
        assert (await shell(qemu, "echo on"))[1] == "on\n"
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    writer.transport.abort()


async def test_the_port_is_of_this_hosts_loopback_alone(qemu: Sandbox):
    """Another address of this host refuses, and after leaving so does the port."""
    await serve(qemu, 9000, "echo")
    async with forward(qemu, 9000) as there:
        assert there.host == "127.0.0.1"
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.2", there.host_port)
        await echoed(there.host, there.host_port, b"x")
    with pytest.raises(ConnectionError):
        await asyncio.open_connection(there.host, there.host_port)


async def test_too_many_clients_are_cut_off_and_commands_still_run(qemu: Sandbox):
    """Half of the machine's streams are kept for everything else."""
    await serve(qemu, 9000, "mute")
    async with asyncio.timeout(PATIENCE_S), forward(qemu, 9000) as there:
        clients = [
            await asyncio.open_connection(there.host, there.host_port)
            for _ in range(MAX_CONNECTIONS)
        ]
        assert await cut_off(there.host, there.host_port)
        assert (await shell(qemu, "echo on"))[1] == "on\n"
        for _, writer in clients:
            writer.transport.abort()


async def test_a_machine_that_goes_takes_its_connections_along(qemu: Sandbox):
    """Clients learn it at once; leaving is no error."""
    await serve(qemu, 9000, "mute")
    async with asyncio.timeout(PATIENCE_S), forward(qemu, 9000) as there:
        reader, writer = await asyncio.open_connection(there.host, there.host_port)
        writer.write(b"x")
        await shell(qemu, "true")
        await qemu.stop()
        try:
            assert await reader.read() == b""
        except ConnectionError:
            assert writer is not None
        writer.transport.abort()
        assert await cut_off(there.host, there.host_port)
