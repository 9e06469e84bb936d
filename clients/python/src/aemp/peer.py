"""Another node as this one sees it: its outbox, its connection, and which of several connections survives."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from .errors import AempError, HandshakeError
from .link import HANDSHAKE_TIMEOUT, Link
from .outbox import Fires, Outbox
from .values import Message, Reason

if TYPE_CHECKING:
    from .network import Network

log = logging.getLogger("aemp")

RIVAL_TIMEOUT = 1.0
"""How long a connection waits for another one that was answered first, in seconds."""

MAX_MONITORED = 65536
"""How many ports one other node may monitor here."""


class Peer:
    """Another node."""

    def __init__(self, network: Network, node_id: str) -> None:
        self.id = node_id
        self.outbox = Outbox(network.outbox_limits)
        self.link: Link | None = None
        self.watched: dict[str, int] = {}
        """Ports of this node that the peer monitors, and how many times."""
        self._network = network
        self._dial: asyncio.Task[None] | None = None
        self._waiting: list[Link] = []
        self._answered: list[Link] = []
        self._changed = asyncio.Event()
        self._drained = asyncio.Event()

    # What is sent

    def flush(self) -> None:
        """Something was queued, or a monitor set: it is written, or a connection is made."""
        if self.outbox.overflowed:
            self.lose("too much waits for this node")
        elif self.link is not None:
            self.link.wake()
        elif self.outbox.has_work and self._dial is None:
            if self._network.accepts_work:
                self._dial = self._network.start_task(self._connect())
            else:
                self.lose("the node was shut down")

    async def ready(self) -> None:
        """Waits until the queue is below its high-water mark."""
        while self.outbox.size > self.outbox.limits.high_water:
            self._drained.clear()
            await self._drained.wait()

    def lose(self, text: str) -> None:
        """The connection is lost or cannot be made: what was sent may be lost, and monitors fire."""
        link, self.link = self.link, None
        if link is not None:
            link.close(text)
        self._fire(self.outbox.break_now(), text)
        self._network.node.table.forget_watcher(self)
        self._drained.set()
        self._announce()
        if link is not None:
            log.info("node %s is down: %s", self.id, text)
            self._network.peer_down(self)

    def told(self, fires: Fires) -> None:
        """Fires what opening a gate has left, and sends what it has let through."""
        self._fire(fires, "too much was held for this port")
        self.flush()

    def _fire(self, fires: Fires, text: str) -> None:
        reason: Reason = ["transport_error", self.id, text]
        for monitor in fires:
            monitor.fire(list(reason))

    # Which connection survives (PROTOCOL.md, dialling)

    async def admit(self, link: Link) -> None:
        """Waits until this connection may be answered."""
        self._waiting.append(link)
        try:
            deadline = asyncio.get_running_loop().time() + RIVAL_TIMEOUT
            while True:
                await self._check_connected()
                rivals = [other for other in self._answered if self._conflict(other, link)]
                if not rivals:
                    break
                self._changed.clear()
                try:
                    async with asyncio.timeout_at(deadline):
                        await self._changed.wait()
                except TimeoutError:
                    # Anybody can greet with the ID of a node and then say nothing.
                    for rival in rivals:
                        rival.close("another connection to the same node is faster")
                        self.discard(rival)
            if link.is_closed:
                raise HandshakeError(link.error)
            self._answered.append(link)
        finally:
            self._waiting.remove(link)

    def attach(self, link: Link) -> None:
        """Both lines were sent: this is the connection. All others are closed."""
        if link not in self._answered or self.link is not None:
            raise HandshakeError("another connection to the same node was completed first")
        self._answered.remove(link)
        self.link = link
        self.outbox.attached = True
        for other in [*self._waiting, *self._answered]:
            other.close("another connection to the same node was completed first")
        self._answered.clear()
        self._announce()
        dial, self._dial = self._dial, None
        if dial is not None:
            dial.cancel()
        log.info("node %s is up", self.id)
        self._network.start_task(self._run(link))
        self._network.peer_up(self)

    def discard(self, link: Link) -> None:
        """A connection is not going to be completed."""
        if link in self._answered:
            self._answered.remove(link)
        self._announce()

    async def _check_connected(self) -> None:
        while (link := self.link) is not None:
            if await link.probe():
                raise HandshakeError(f"the node {self.id} is connected already")
            if self.link is link:
                self.lose("replaced by a new connection")

    def _conflict(self, answered: Link, link: Link) -> bool:
        """Whether only one of two connections may be answered."""
        if link.greeting.is_native and self.id < self._network.node.id:
            return answered.dialled == link.dialled
        return True

    def _announce(self) -> None:
        self._changed.set()

    # A connection that is up

    async def _run(self, link: Link) -> None:
        # What fires because of an earlier loss was scheduled before: nothing is delivered before it has run.
        await asyncio.sleep(0)
        writer = asyncio.create_task(link.write(self.outbox, self._written))
        pulse = asyncio.create_task(self._keep_alive(link))
        text = "the node was shut down"
        try:
            text = await link.read(self._deliver)
        finally:
            writer.cancel()
            pulse.cancel()
            if self.link is link:
                self.lose(text)

    async def _keep_alive(self, link: Link) -> None:
        text = await link.keep_alive(self._network.monitor_timeout)
        if self.link is link:
            self.lose(text)

    def _deliver(self, name: str, message: Message, size: int) -> None:
        self._network.node.deliver(self, name, message, size)

    def _written(self) -> None:
        if self.outbox.size <= self.outbox.limits.high_water:
            self._drained.set()

    # Dialling

    async def _connect(self) -> None:
        text = "connect timeout"
        try:
            async with asyncio.timeout(self._network.connect_timeout):
                addresses = await self._network.addresses_of(self.id)
                text = await self._race(addresses) if addresses else "no known address"
                if self.link is None and (self._waiting or self._answered):
                    await self._wait_for_accepted()
        except TimeoutError:
            pass
        finally:
            if self._dial is asyncio.current_task():
                self._dial = None
                self.lose(text)

    async def _race(self, addresses: list[str]) -> str:
        """Tries addresses in turn, a new one every 250 ms; returns why the last one failed."""
        text = "no known address"
        pending: set[asyncio.Task[object]] = set()
        waiting = list(addresses)
        try:
            while (waiting or pending) and self.link is None:
                if waiting:
                    attempt = self._network.dial(waiting.pop(0), expected=self.id)
                    pending.add(asyncio.create_task(attempt))
                done, pending = await asyncio.wait(
                    pending, timeout=0.25 if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    error = task.exception()
                    if isinstance(error, AempError | OSError | TimeoutError):
                        text = str(error) or type(error).__name__
                    elif error is not None:
                        raise error
        finally:
            for task in pending:
                task.cancel()
        return text

    async def _wait_for_accepted(self) -> None:
        """The other side has dialled, too, and its connection may still be completed."""
        async with asyncio.timeout(HANDSHAKE_TIMEOUT):
            while self.link is None and (self._waiting or self._answered):
                self._changed.clear()
                await self._changed.wait()
