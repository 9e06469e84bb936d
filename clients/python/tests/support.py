"""What the tests share: a guard against hangs, a relay that can be cut, the `aemp` command."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import unittest
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import aemp

ROOT = Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "crates/aemp-proto/tests/fixtures"
SECRET = "fixture-secret"
GUARD = 30.0
"""No step takes so long, in seconds; a test that hangs fails then."""

T = TypeVar("T")


def guarded(step: Awaitable[T]) -> Awaitable[T]:
    return asyncio.wait_for(_await(step), GUARD)


async def _await(step: Awaitable[T]) -> T:
    return await step


async def until(node: aemp.Node, up: bool, other: str) -> None:
    """Waits until a node is up or down."""

    async def wait() -> None:
        events = node.events()
        if not up and other not in node.connected_nodes:
            return
        async for event in events:
            if event.node == other and event.up == up:
                return

    await guarded(wait())


def binary() -> Path | None:
    """Returns the `aemp` command: `$AEMP_BIN`, or one that was built here."""
    named = os.environ.get("AEMP_BIN")
    candidates = [Path(named)] if named else [ROOT / "target" / kind / "aemp" for kind in ("release", "debug")]
    found = [path for path in candidates if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime) if found else None


class Case(unittest.IsolatedAsyncioTestCase):
    """A test with nodes that are shut down at its end."""

    async def start(self, name: str, **settings: Any) -> aemp.Node:
        node = aemp.Node(name, secret=settings.pop("secret", SECRET), **settings)
        self.addAsyncCleanup(node.shutdown, 0.5)
        return await node.start()

    async def pair(self, **settings: Any) -> tuple[aemp.Node, aemp.Node]:
        """Two connected nodes, `a`, which listens, and `b`."""
        a = await self.start("a", listen=["127.0.0.1:0"])
        b = await self.start("b", seeds=a.listen_addresses, **settings)
        await guarded(b.joined())
        return a, b


class Relay:
    """Passes connections on, and can cut them."""

    def __init__(self, target: str) -> None:
        self.lead_to(target)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.cut_after: int | None = None
        """The next connections are cut after so many bytes of the dialler."""

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def lead_to(self, target: str) -> None:
        """Passes the next connections on to this address."""
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def stop(self) -> None:
        self.cut()
        if self._server is not None:
            self._server.close()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(self._pass(reader, far_writer, self.cut_after), self._pass(far_reader, writer, None))
        except OSError:
            pass
        finally:
            writer.transport.abort()
            far_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
        passed = 0
        while data := await reader.read(4096):
            if limit is not None and passed + len(data) > limit:
                writer.write(data[: limit - passed])
                await writer.drain()
                raise ConnectionResetError("cut by the test")
            passed += len(data)
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class Process:
    """A process of the test, ended with it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, *command: str, env: dict[str, str] | None = None) -> Process:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=None if os.environ.get("AEMP_TEST_LOGS") else asyncio.subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )
        return cls(process)

    async def line(self) -> str:
        assert self._process.stdout is not None
        line = await guarded(self._process.stdout.readline())
        if not line:
            raise AssertionError("the process has ended")
        return line.decode()

    async def write(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        await self._process.stdin.drain()

    async def output(self) -> str:
        assert self._process.stdout is not None
        text = await guarded(self._process.stdout.read())
        await guarded(self._process.wait())
        return text.decode()

    def signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await guarded(self._process.wait())


def python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, *arguments)


async def wait_for(condition: Callable[[], bool], changed: asyncio.Event) -> None:
    while not condition():
        changed.clear()
        await guarded(changed.wait())


def values(line: str) -> list[Any]:
    read: list[Any] = json.loads(line)
    return read
