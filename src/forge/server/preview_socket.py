"""A WebSocket of a program in a machine, passed on to a browser: the other half of a preview.

    browser ═ this server ═ sandbox.ports ═ 127.0.0.1:port in the machine

Two connections, each with its own frames: what is malformed on one side never reaches the other.
The program is asked as a page of its own would ask it, without a cookie or address of ours. It is
hostile: its answer to the handshake has a deadline, its messages a size and a pace, each connection
a total and an end. Nothing is compressed on its side, so nothing can blow up. A side that does not
take what the other sends is waited for, then cut.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from typing import NamedTuple

from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.client import ClientProtocol
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import Event
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri

from forge.errors import ForgeError, PortUnreachable
from forge.sandbox.base import Sandbox
from forge.sandbox.ports import PortConnection
from forge.tasks import together

GOING_AWAY, BROKEN, TOO_BIG, NOT_TEXT, POLICY = 1001, 1011, 1009, 1007, 1008

FRAMES_S = 1000
"""How many frames a program may send in a second; more wait. A frame takes the server some tens of
microseconds, however small it is.
"""

_SLICE = 2048
"""How many bytes are taken apart at once: a thousand of the smallest frames."""

_MOST_SUBPROTOCOLS, _LONGEST_REASON = 16, 120


class Bounds(NamedTuple):
    """How long a side may take over a handshake or a message, in seconds; how many bytes a message
    may have, and all that the program sends; and after how many seconds it is over.
    """

    wait_s: float = 30.0
    message: int = 1 << 20
    total: int = 256 << 20
    life_s: float = 24 * 3600.0


class _Ended(Exception):
    """The program closed the connection, or it was cut: with which code, and why."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code


async def relayed(
    socket: WebSocket, sandbox: Sandbox, port: int, target: str, bounds: Bounds
) -> None:
    """Open the program's WebSocket at `target`, then the browser's, and pass on what each sends.

    Raises:
        PortUnreachable: nothing answers there, or not as a WebSocket; the browser's is not open.
        ForgeError: as in `forge.sandbox.ports.Ports.connect`.
    """
    program = _Program(await sandbox.ports.connect(port), port, target, _offered(socket), bounds)
    try:
        chosen = await program.opened()
        await socket.accept(subprotocol=chosen)
        code, reason = await _both(socket, program, bounds)
        with suppress(RuntimeError, WebSocketDisconnect):
            await socket.close(code, _short(reason))
    finally:
        program.close()


async def _both(socket: WebSocket, program: "_Program", bounds: Bounds) -> tuple[int, str]:
    """Pass on both ways, until one side ends it; with which code, and why."""
    try:
        async with asyncio.timeout(bounds.life_s), together() as tasks:
            inward = tasks.create_task(_inward(socket, program, bounds))
            outward = tasks.create_task(_outward(socket, program, bounds))
            await asyncio.wait({inward, outward}, return_when=asyncio.FIRST_COMPLETED)
            inward.cancel()
            outward.cancel()
    except _Ended as ended:
        return ended.code, str(ended)
    except ForgeError as error:
        return BROKEN, error.message
    except TimeoutError:
        return GOING_AWAY, "Its time is over."
    except WebSocketDisconnect:
        return GOING_AWAY, ""
    return GOING_AWAY, ""


async def _inward(socket: WebSocket, program: "_Program", bounds: Bounds) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            await program.leave(message.get("code"))
            return
        text, data = message.get("text"), message.get("bytes")
        content = text.encode() if text is not None else data or b""
        if len(content) > bounds.message:
            raise _Ended(TOO_BIG, f"A message has at most {bounds.message} bytes.")
        await program.send(content, text=text is not None)


async def _outward(socket: WebSocket, program: "_Program", bounds: Bounds) -> None:
    async with aclosing(program.messages()) as messages:
        async for content, text in messages:
            try:
                async with asyncio.timeout(bounds.wait_s):
                    if text:
                        await socket.send_text(content.decode())
                    else:
                        await socket.send_bytes(content)
            except UnicodeDecodeError:
                raise _Ended(NOT_TEXT, "The program sent a text that is none.") from None
            except TimeoutError:
                raise _Ended(GOING_AWAY, "Nobody took what the program sent.") from None


class _Program:
    """The WebSocket of the program. One task reads, another writes."""

    def __init__(
        self,
        connection: PortConnection,
        port: int,
        target: str,
        offered: Iterable[str],
        bounds: Bounds,
    ) -> None:
        self._connection, self._bounds = connection, bounds
        here = f"localhost:{port}"
        self._wire = ClientProtocol(
            parse_uri(f"ws://{here}{target}"),
            origin=Origin(f"http://{here}"),
            subprotocols=[Subprotocol(each) for each in offered] or None,
            max_size=bounds.message,
        )
        self._writing = asyncio.Lock()
        self._early: list[Event] = []
        self._ended = False

    def close(self) -> None:
        """Break it off. Calling it again does nothing."""
        self._connection.close()

    async def opened(self) -> str | None:
        """Ask for a WebSocket; returns the subprotocol that was chosen.

        Raises:
            PortUnreachable: it is not given, or not in time.
        """
        try:
            async with asyncio.timeout(self._bounds.wait_s):
                self._wire.send_request(self._wire.connect())
                await self._flush()
                while not (events := self._wire.events_received()) and not self._over:
                    await self._hear()
        except TimeoutError as error:
            raise PortUnreachable("The program gave no answer in time.") from error
        if self._wire.handshake_exc is not None or not events:
            raise PortUnreachable("The program gave no WebSocket here.")
        self._early = events[1:]
        return self._wire.subprotocol

    async def messages(self) -> AsyncGenerator[tuple[bytes, bool], None]:
        """What the program sends, whole, and whether it is text.

        Raises:
            _Ended: it closed the connection, or broke a rule.
        """
        whole, text, total = bytearray(), False, 0
        pace, events = _Pace(), self._early
        while True:
            for frame in events:
                assert isinstance(frame, Frame)
                await pace.one()
                if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                    continue
                text = frame.opcode is Opcode.TEXT if frame.opcode is not Opcode.CONT else text
                whole += frame.data
                total += len(frame.data)
                if total > self._bounds.total:
                    raise _Ended(POLICY, f"The program sent more than {self._bounds.total} bytes.")
                if frame.fin:
                    yield bytes(whole), text
                    whole.clear()
            if self._over:
                raise self._ending()
            await self._hear()
            events = self._wire.events_received()

    async def send(self, content: bytes, *, text: bool) -> None:
        """Send a message; waits while the program does not take it.

        Raises:
            PortUnreachable: it broke off, or takes nothing.
        """
        with suppress(WebSocketException):  # it is closing: what comes now is not for it any more
            if text:
                self._wire.send_text(content)
            else:
                self._wire.send_binary(content)
        await self._flush()

    async def leave(self, code: int | None) -> None:
        """Say that the browser has left."""
        sent = code if code is not None and _may_be_sent(code) else GOING_AWAY
        with suppress(WebSocketException, PortUnreachable):
            self._wire.send_close(sent)
            await self._flush()

    @property
    def _over(self) -> bool:
        """Nothing more comes: it closed, broke off, or broke a rule."""
        return self._ended or self._wire.close_expected() or self._wire.handshake_exc is not None

    async def _hear(self) -> None:
        """Take in some bytes, and answer what must be answered."""
        data = await self._connection.read()
        if not data:
            self._ended = True
            self._wire.receive_eof()
        for start in range(0, len(data), _SLICE):
            self._wire.receive_data(data[start : start + _SLICE])
            await self._flush()
            await asyncio.sleep(0)  # others are served between two slices

    async def _flush(self) -> None:
        async with self._writing:
            for data in self._wire.data_to_send():
                if not data:
                    continue  # the end of ours: the connection is closed as a whole
                try:
                    async with asyncio.timeout(self._bounds.wait_s):
                        await self._connection.write(data)
                except TimeoutError as error:
                    raise PortUnreachable("The program takes nothing.") from error

    def _ending(self) -> _Ended:
        said = self._wire.close_rcvd
        if said is None:  # it broke a rule, or off
            code = self._wire.close_sent.code if self._wire.close_sent else BROKEN
            why = "The program's WebSocket broke off, or was none."
            return _Ended(TOO_BIG if code == TOO_BIG else BROKEN, why)
        return _Ended(said.code if _may_be_sent(said.code) else GOING_AWAY, said.reason)


class _Pace:
    """Lets through so many frames in a second; more wait for the next."""

    def __init__(self) -> None:
        self._since, self._count = asyncio.get_running_loop().time(), 0

    async def one(self) -> None:
        """Count a frame."""
        self._count += 1
        if self._count < FRAMES_S:
            return
        now = asyncio.get_running_loop().time()
        if now - self._since < 1.0:
            await asyncio.sleep(1.0 - (now - self._since))
        self._since, self._count = asyncio.get_running_loop().time(), 0


def _offered(socket: WebSocket) -> list[str]:
    return list(socket.scope.get("subprotocols", ()))[:_MOST_SUBPROTOCOLS]


def _may_be_sent(code: int) -> bool:
    return code in (1000, 1001, 1002, 1003, *range(1007, 1015)) or 3000 <= code < 5000


def _short(reason: str) -> str:
    # What a close frame says is at most 123 bytes.
    return reason.encode("utf-8", "replace")[:_LONGEST_REASON].decode(errors="ignore")
