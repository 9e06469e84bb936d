"""The edges of a node: listeners, handshakes, other nodes, and who is up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import AempError, ConfigError, NodeClosedError
from .link import HANDSHAKE_TIMEOUT, Admit, Link
from .names import join_address, split_address
from .outbox import OutboxLimits
from .peer import Peer
from .seeds import Seeds

if TYPE_CHECKING:
    from .node import Node

log = logging.getLogger("aemp")

MAX_HANDSHAKES = 256
"""Connections that are not authenticated yet; the oldest is closed when there are more."""

MAX_EVENTS = 256
"""Events that wait for one reader."""

NAME_TIMEOUT = 2.0
"""How long it may take to look up a name that this node advertises, in seconds."""

MAX_ADDRESSES = 32
"""Addresses that are tried in one attempt."""


@dataclass(frozen=True)
class NodeEvent:
    """A node is up or down. When a connection is lost, the monitors fire first."""

    node: str
    up: bool


@dataclass(frozen=True)
class Settings:
    """What a node needs to know to connect to others."""

    secret: bytes
    incarnation: str
    probe_port: str
    monitor_timeout: float
    verify_peeraddr: bool
    outbox_limits: OutboxLimits


class Network:
    """The connections of one node."""

    def __init__(self, node: Node, settings: Settings, seeds: list[str]) -> None:
        self.node = node
        self.settings = settings
        self.seeds = Seeds(self, seeds)
        self.peers: dict[str, Peer] = {}
        self._servers: list[asyncio.Server] = []
        self._advertised: list[str] = []
        self._handshakes: OrderedDict[Link, None] = OrderedDict()
        self._events: list[asyncio.Queue[NodeEvent | None]] = []
        self._changed = asyncio.Event()

    # Settings that peers and seeds need

    @property
    def outbox_limits(self) -> OutboxLimits:
        """Limits of what waits for one node."""
        return self.settings.outbox_limits

    @property
    def monitor_timeout(self) -> float:
        """How long a peer may be silent, in seconds."""
        return self.settings.monitor_timeout

    @property
    def connect_timeout(self) -> float:
        """How long an attempt to connect to a node may take, in seconds."""
        return max(1.0, self.monitor_timeout / 3)

    @property
    def accepts_work(self) -> bool:
        """Whether connections are still made."""
        return self.node.is_open

    def start_task(self, code: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts a task that ends with the node."""
        return self.node.start_task(code)

    # Listening and dialling

    async def listen(self, addresses: Sequence[tuple[str, int]]) -> None:
        """Begins to listen. Raises `ConfigError`."""
        for host, port in addresses:
            try:
                self._servers.append(await asyncio.start_server(self._accepted, host, port))
            except OSError as error:
                address = join_address(host, port)
                raise ConfigError(f"{address} cannot be listened on: {error.strerror or error}") from error

    async def advertise(self, addresses: Sequence[str]) -> None:
        """Lets peers see this node where it says that it can be dialled: there, and at the addresses of these names."""
        self._advertised = list(addresses)
        for host, port in map(split_address, addresses):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(NAME_TIMEOUT):
                    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
                self._advertised += [join_address(str(info[4][0]), port) for info in found]

    @property
    def listen_addresses(self) -> list[str]:
        """The addresses that this node listens on."""
        sockets = [sock.getsockname() for server in self._servers for sock in server.sockets]
        return [join_address(address[0], address[1]) for address in sockets]

    async def dial(self, address: str, *, expected: str | None, seed: bool = False) -> None:
        """Connects to an address; the connection is up when this returns."""
        host, port = split_address(address)
        reader, writer = await asyncio.open_connection(host, port, happy_eyeballs_delay=0.25)
        link = Link(reader, writer, dialled=True, probe_port=self.settings.probe_port)

        async def admit(link: Link) -> None:
            if seed:
                self.seeds.greeted(address, link.greeting.node)
            await self.peer(link.greeting.node).admit(link)

        try:
            await self._establish(link, admit, expected)
        except AempError:
            if seed and link.has_greeted:
                self.seeds.greeted(address, link.greeting.node)
            raise

    async def addresses_of(self, node: str) -> list[str]:
        """Returns where a node can be dialled."""
        known = self.seeds.addresses_of(node)
        await self.seeds.wait_for_master()
        if self.seeds.master is not None and self.seeds.master != node:
            known += [address for address in await self.node.db.find(node) if address not in known]
        return known[:MAX_ADDRESSES]

    # Other nodes

    def peer(self, node: str) -> Peer:
        """Returns another node, known or not."""
        peer = self.peers.get(node)
        if peer is None:
            peer = self.peers[node] = Peer(self, node)
        return peer

    def connected_peer(self, node: str) -> Peer | None:
        """Returns a node if it is connected."""
        peer = self.peers.get(node)
        return peer if peer is not None and peer.link is not None else None

    @property
    def connected_nodes(self) -> list[str]:
        """The IDs of the nodes that are connected."""
        return [peer.id for peer in self.peers.values() if peer.link is not None]

    def peer_up(self, peer: Peer) -> None:
        """A node is connected."""
        self.seeds.peer_up(peer)
        self._tell(NodeEvent(peer.id, True))

    def peer_down(self, peer: Peer) -> None:
        """A node is lost, and the monitors on its ports fire."""
        self.seeds.peer_down(peer)
        # Behind the callbacks of the monitors, which were scheduled before.
        asyncio.get_running_loop().call_soon(self._tell, NodeEvent(peer.id, False))

    async def events(self) -> AsyncIterator[NodeEvent]:
        """Follows which nodes are up, beginning with those that are."""
        queue: asyncio.Queue[NodeEvent | None] = asyncio.Queue()
        self._events.append(queue)
        try:
            for node in self.connected_nodes:
                yield NodeEvent(node, True)
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._events.remove(queue)

    # The end

    async def shutdown(self, grace: float) -> list[str]:
        """Delivers what was sent before; returns the nodes that may not have read everything."""
        for server in self._servers:
            server.close()
        deadline = asyncio.get_running_loop().time() + grace
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline - grace / 2):
                while any(peer.link is None and not peer.outbox.is_empty for peer in self.peers.values()):
                    await self._wait()
        self.seeds.stop()
        unread = [peer.id for peer in self.peers.values() if peer.link is None and not peer.outbox.is_empty]
        for peer in self.peers.values():
            if peer.link is not None:
                peer.link.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while self.connected_nodes:
                    await self._wait()
        return unread + self.connected_nodes

    def close(self, text: str) -> None:
        """Ends all connections: the monitors on ports of other nodes fire."""
        for link in list(self._handshakes):
            link.close(text)
        for peer in self.peers.values():
            peer.lose(text)
        for queue in self._events:
            queue.put_nowait(None)

    # Inside

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer, dialled=False, probe_port=self.settings.probe_port)
        self._handshakes[link] = None
        if len(self._handshakes) > MAX_HANDSHAKES:
            next(iter(self._handshakes)).close("too many connections are not authenticated")
        try:
            await self._establish(link, lambda link: self.peer(link.greeting.node).admit(link), None)
        except (AempError, OSError, TimeoutError) as error:
            log.warning("a connection was refused: %s", str(error) or type(error).__name__)
        finally:
            self._handshakes.pop(link, None)

    async def _establish(self, link: Link, admit: Admit, expected: str | None) -> None:
        """Runs the handshake of a connection, and makes it the one to its node. Closes it otherwise."""
        attached = False
        try:
            if not self.accepts_work:
                raise NodeClosedError("the node was shut down")
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                await link.handshake(
                    node=self.node.id,
                    secret=self.settings.secret,
                    incarnation=self.settings.incarnation,
                    monitor_timeout=self.monitor_timeout,
                    verify_peeraddr=self.settings.verify_peeraddr,
                    advertised=self._advertised,
                    expected=expected,
                    admit=admit,
                )
            self.peer(link.greeting.node).attach(link)
            attached = True
        finally:
            if not attached:
                link.close("the handshake failed")
                if link.has_greeted and link.greeting.node in self.peers:
                    self.peers[link.greeting.node].discard(link)

    def _tell(self, event: NodeEvent) -> None:
        for queue in self._events:
            if queue.qsize() >= MAX_EVENTS:
                queue.get_nowait()
            queue.put_nowait(event)
        self._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()
