"""One connection: the handshake, then frames both ways and signs of life."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

from . import greeting as greetings
from .errors import HandshakeError, MalformedError
from .framing import FrameReader
from .greeting import MAX_LINE, Greeting, Side
from .names import join_address
from .values import Message, encode_frame

if TYPE_CHECKING:
    from .outbox import Outbox

log = logging.getLogger("aemp")

CHUNK = 256 * 1024
HANDSHAKE_TIMEOUT = 10.0
PROBE_TIMEOUT = 1.0
KEEP_ALIVE = encode_frame("", [""])

Admit = Callable[["Link"], Awaitable[None]]
"""Waits until a connection may be answered; raises `HandshakeError` if it must not be."""


class Link:
    """A TCP connection to another node."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, dialled: bool, probe_port: str
    ) -> None:
        self.dialled = dialled
        self.error = "connection lost"
        self._reader = reader
        self._writer = writer
        self._buffer = bytearray()
        self._probe_port = probe_port
        self._probe_name = probe_port.partition("#")[2]
        self._greeting: Greeting | None = None
        self._wake = asyncio.Event()
        self._heard = asyncio.Event()
        self._closed = False
        self._ending = False
        self._judged = False
        now = asyncio.get_running_loop().time()
        self._last_heard = self._last_sent = now

    @property
    def greeting(self) -> Greeting:
        """What the peer said; only after the handshake has read it."""
        assert self._greeting is not None
        return self._greeting

    @property
    def has_greeted(self) -> bool:
        """Whether the peer has sent a greeting that can be read."""
        return self._greeting is not None

    @property
    def is_closed(self) -> bool:
        """Whether the connection was closed here."""
        return self._closed

    async def handshake(
        self,
        *,
        node: str,
        secret: bytes,
        incarnation: str,
        monitor_timeout: float,
        verify_peeraddr: bool,
        advertised: Collection[str],
        expected: str | None,
        admit: Admit,
    ) -> None:
        """Greets and authenticates. Raises `HandshakeError` or `OSError`; the caller closes the connection then."""
        self._configure_socket(monitor_timeout)
        own_line = greetings.own_greeting(
            node,
            self._address("peername"),
            dialled=self.dialled,
            incarnation=incarnation,
            heartbeat=monitor_timeout,
        )
        own = Side(own_line, own_line.to_line(), greetings.make_nonce())
        self._writer.write(own.text)
        line = await self._line()
        self._greeting = Greeting.parse(line)
        theirs = Side(self._greeting, line, await self._line())
        local = self._address("sockname") if verify_peeraddr else None
        greetings.check_greeting(own, theirs, local_address=local, advertised=advertised)
        if expected is not None and self._greeting.node != expected:
            raise HandshakeError(f"a different node ({self._greeting.node}) answered")
        if self.dialled:
            await admit(self)
            self._writer.write(greetings.authentication_line(secret, own, theirs) + b"\n")
            greetings.verify_line(secret, own, theirs, await self._line())
        else:
            greetings.verify_line(secret, own, theirs, await self._line())
            await admit(self)
            self._writer.write(greetings.authentication_line(secret, own, theirs) + b"\n")
        self._judged = self._greeting.is_native

    async def read(self, deliver: Callable[[str, Message, int], None]) -> str:
        """Reads messages until the connection ends; returns why it did, for people."""
        frames = FrameReader()
        data: bytes | bytearray = self._buffer
        try:
            while not self._closed:
                frames.feed(data)
                # Checked each time: a message may have had this connection closed.
                while not self._closed and (frame := frames.next()) is not None:
                    name, message, size = frame
                    if name == self._probe_name:
                        self._judged = True
                    elif name or (message and message[0] != ""):
                        deliver(name, message, size)
                data = await self._reader.read(CHUNK)
                if not data:
                    return "connection closed by the peer"
                self._hear()
        except MalformedError as error:
            return f"peer sent a malformed frame: {error}"
        except OSError as error:
            return str(error) or type(error).__name__
        return self.error

    async def write(self, outbox: Outbox, on_drained: Callable[[], None]) -> None:
        """Writes what is queued until the connection ends."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while not self._closed:
                data = outbox.take(CHUNK)
                if data:
                    self._writer.write(data)
                    self._last_sent = loop.time()
                    await self._writer.drain()
                    on_drained()
                elif self._ending:
                    await self._finish_writing()
                    return
                else:
                    self._wake.clear()
                    await self._wake.wait()

    async def keep_alive(self, monitor_timeout: float) -> str:
        """Sends signs of life and waits for those of the peer; returns why the peer counts as dead."""
        loop = asyncio.get_running_loop()
        pace = min(monitor_timeout, self.greeting.heartbeat() or monitor_timeout) / 4
        grace = asked = 0.0
        waiting = 0
        if not self._judged:
            self._ask()
        while True:
            before = loop.time()
            await asyncio.sleep(pace / 2)
            now = loop.time()
            if now - before > pace / 2 + monitor_timeout / 4:
                # This process was stopped itself; the peers must not pay for it.
                grace = now + monitor_timeout / 4
            if now - self._last_sent >= pace:
                self._send(KEEP_ALIVE)
            silent = now - self._last_heard
            left = self._writer.transport.get_write_buffer_size()
            progress, waiting = left < waiting, left
            if not self.greeting.is_native and silent >= monitor_timeout / 4 and now - asked >= pace:
                self._ask()
                asked = now
            limit = 4 * monitor_timeout if progress else monitor_timeout
            if self._judged and silent >= limit and now >= grace:
                return f"no sign of life for {silent:.1f} s"

    async def probe(self) -> bool:
        """Returns whether something comes from the peer within a second."""
        self._heard.clear()
        self._ask()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._heard.wait(), PROBE_TIMEOUT)
        return self._heard.is_set() and not self._closed

    def wake(self) -> None:
        """Something was queued."""
        self._wake.set()

    def end(self) -> None:
        """Ends the own direction behind what is queued."""
        self._ending = True
        self._wake.set()

    def close(self, error: str) -> None:
        """Closes at once: nothing more is read or written."""
        if not self._closed:
            self._closed = True
            self.error = error
            self._wake.set()
            self._writer.transport.abort()

    async def _finish_writing(self) -> None:
        if self._writer.can_write_eof():
            self._writer.write_eof()

    async def _line(self) -> bytes:
        """Returns the next line of the handshake, without its end."""
        while (end := self._buffer.find(b"\n")) < 0 and len(self._buffer) < MAX_LINE:
            data = await self._reader.read(MAX_LINE)
            if not data:
                raise HandshakeError("the peer closed the connection during the handshake; is the secret the same?")
            self._buffer += data
        if not 0 <= end < MAX_LINE:
            raise HandshakeError(f"the peer sent a line of more than {MAX_LINE} bytes")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    def _ask(self) -> None:
        """Asks for a sign of life, by a request that every version answers."""
        self._send(encode_frame("", ["snd", self._probe_port, "alive"]))

    def _send(self, frame: bytes) -> None:
        if not self._closed and not self._ending:
            self._writer.write(frame)
            self._last_sent = asyncio.get_running_loop().time()

    def _hear(self) -> None:
        self._last_heard = asyncio.get_running_loop().time()
        self._heard.set()

    def _address(self, which: str) -> str:
        address = self._writer.get_extra_info(which)
        return join_address(address[0], address[1]) if address else ""

    def _configure_socket(self, monitor_timeout: float) -> None:
        sock = self._writer.get_extra_info("socket")
        if sock is None:
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(monitor_timeout * 1000))
