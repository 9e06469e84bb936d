"""A node: the handle that programs hold; every verb begins here."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Self

from .database import Database
from .errors import CallError, CallTimeoutError, ConfigError, NodeClosedError, PortClosedError
from .framing import decode_frame
from .monitor import Monitor
from .names import PortNames, check_node_id, join_address, split_address, split_port_id
from .network import Network, NodeEvent, Settings
from .outbox import ArmedMonitor, OutboxLimits
from .owner import current_owner
from .peer import Peer
from .port import Port, ReplyPort
from .requests import SPAWN, handle_request
from .table import Function, PortTable
from .values import Message, Reason, Sendable, encode_frame

log = logging.getLogger("aemp")

SHUT_DOWN = "the node was shut down"


class Node:
    """A node of the network.

    It is started by `start` or as an asynchronous context manager, which shuts it down at the end.

    - `node_id`: the node ID; one that ends with `/` gets a random end.
    - `secret`: the secret that all nodes of the network share.
    - `listen`: addresses `HOST:PORT` to listen on; port 0 chooses one.
    - `advertise`: the addresses that others are told to dial, where they differ from those.
    - `seeds`: addresses of the nodes to contact first.
    - `monitor_timeout`: how long a peer may be silent, in seconds, from 2 to 86,400.
    - `verify_peeraddr`: whether a peer without a role must see this node under the address of the socket, or under one
      that it advertises.

    All methods are for the thread of the event loop that started the node. The constructor raises `ConfigError` and
    `InvalidNameError`.
    """

    def __init__(
        self,
        node_id: str,
        *,
        secret: str | bytes,
        listen: Sequence[str] = (),
        advertise: Sequence[str] = (),
        seeds: Sequence[str] = (),
        monitor_timeout: float = 30.0,
        outbox_limits: OutboxLimits | None = None,
        verify_peeraddr: bool = True,
    ) -> None:
        if not secret:
            raise ConfigError("the secret is empty; give the one that all nodes of the network share")
        if not 2.0 <= monitor_timeout <= 86400.0:
            raise ConfigError(f"monitor_timeout is {monitor_timeout:g} s; it must be from 2 to 86,400")
        if node_id.endswith("/"):
            node_id += secrets.token_urlsafe(9)
        for address in seeds:
            split_address(address)
        self._id = check_node_id(node_id)
        self._listen = [split_address(address) for address in listen]
        self._advertise = [join_address(*split_address(address)) for address in advertise]
        self._state = "new"
        self._tasks: set[asyncio.Task[Any]] = set()
        self.names = PortNames()
        self.table = PortTable(self)
        self.db = Database(self)
        settings = Settings(
            secret=secret.encode() if isinstance(secret, str) else secret,
            incarnation=secrets.token_hex(16),
            probe_port=f"{self._id}#{self.names.own()}",
            monitor_timeout=monitor_timeout,
            verify_peeraddr=verify_peeraddr,
            outbox_limits=outbox_limits or OutboxLimits(),
        )
        self._network = Network(self, settings, list(seeds))

    # Life

    async def start(self) -> Self:
        """Begins to listen and to connect to the seeds. Raises `ConfigError`."""
        if self._state != "new":
            raise NodeClosedError("a node can be started once")
        if not self._advertise and any(host in ("0.0.0.0", "::", "*") for host, _ in self._listen):
            raise ConfigError("a node that listens on all addresses needs `advertise`: where others can dial it")
        self._state = "open"
        try:
            await self._network.listen(self._listen)
            await self._network.advertise(self._advertise)
        except ConfigError:
            await self.shutdown(0)
            raise
        self.db.set_binds(self._advertise or self.listen_addresses)
        self._network.seeds.start()
        return self

    async def shutdown(self, grace: float = 5.0) -> list[str]:
        """Delivers what was sent before, within `grace` seconds, and ends the node.

        Half of the time is for connections that have to be made. Returns the nodes that may not have read everything.
        All monitors fire, and what is begun afterwards fails.
        """
        if self._state != "open":
            return []
        self._state = "closing"
        unread = await self._network.shutdown(grace)
        self._state = "closed"
        self._network.close(SHUT_DOWN)
        self.db.close()
        self.table.close(SHUT_DOWN)
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for node in unread:
            log.warning("node %s may not have read everything that was sent to it", node)
        return unread

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.shutdown()

    @property
    def id(self) -> str:
        """The node ID. As a port ID it names the node port."""
        return self._id

    @property
    def listen_addresses(self) -> list[str]:
        """The addresses that this node listens on."""
        return self._network.listen_addresses

    @property
    def connected_nodes(self) -> list[str]:
        """The IDs of the nodes that this one is connected to."""
        return self._network.connected_nodes

    def events(self) -> AsyncIterator[NodeEvent]:
        """Follows which nodes are up, beginning with those that are.

        Of more than 256 events that wait for one reader the oldest are lost.
        """
        return self._network.events()

    async def joined(self) -> None:
        """Waits until a seed is connected. Returns at once if there are no seeds."""
        await self._network.seeds.wait_for_master()

    # Ports and messages

    def port(self) -> Port:
        """Creates a port."""
        self._check_open()
        name = self.names.own()
        return self.table.add(Port(self, name), name)

    def send(self, to: str, *values: Sendable) -> None:
        """Sends a message to a port. It never waits, and returning means that the message was queued.

        Raises `InvalidNameError`, `EncodeError` and `NodeClosedError`; nothing is sent then. Without a monitor losses
        are silent.
        """
        self.send_as(current_owner(), to, values)

    def kill(self, port: str, *reason: Sendable) -> None:
        """Kills a port: normally without a reason, else abnormally. Takes its turn behind what was sent before."""
        self._check_open()
        node, name = split_port_id(port)
        frame = encode_frame("", ["kil1", name, *reason])
        if node == self.id:
            self.table.kill(name, decode_frame(frame)[1][2:])
        elif name:
            peer = self._network.peer(node)
            peer.outbox.send(name, frame, current_owner())
            peer.flush()

    def monitor(self, port: str, callback: Callable[[Reason], object] | None = None) -> Monitor:
        """Monitors a port: the result fires once, when the port dies or a message to it may be lost.

        The reason is that of the death (empty for a normal one), `no_such_port`, or `transport_error, NODE, TEXT`. From
        now on either every message that is sent to the port arrives, in order, or the monitor fires.
        """
        self._check_open()
        node, name = split_port_id(port)
        monitor = Monitor(self, port, callback)
        if node == self.id:
            self.table.monitor(name, monitor.armed)
        else:
            peer = self._network.peer(node)
            peer.outbox.add_monitor(name, monitor.armed)
            peer.flush()
        return monitor

    async def call(self, port: str, *values: Sendable, timeout: float | None = None) -> Message:
        """Sends a message with a port for the answer at its end, and returns the answer.

        Raises `CallError` as soon as the called port is known to be dead or unreachable, and `CallTimeoutError` after
        `timeout` seconds. The request may still be handled then, as when the call is cancelled.
        """
        self._check_open()
        name = self.names.own()
        reply = self.table.add(ReplyPort(self, name), name)
        with self.monitor(port, reply.fail):
            try:
                self.send(port, *values, reply.id)
                return await asyncio.wait_for(reply.answer, timeout)
            except PortClosedError as closed:
                raise CallError(port, closed.reason) from None
            except TimeoutError:
                raise CallTimeoutError(port, timeout or 0.0) from None
            finally:
                reply._end([])

    async def ready(self, port: str) -> None:
        """Waits until the send queue towards a port is below its high-water mark."""
        node, _ = split_port_id(port)
        if node in self._network.peers:
            await self._network.peers[node].ready()

    # Functions

    def function(self, name: str) -> Callable[[Function], Function]:
        """Registers a function under a name, as a decorator, so that every node can spawn it.

        It is `async def f(port, *arguments)`. The port dies when the function returns (normally) or raises (`die`, with
        a text).
        """

        def register(function: Function) -> Function:
            self.table.register(name, function)
            return function

        return register

    def spawn(self, node: str, function: str, *arguments: Sendable) -> str:
        """Has a node create a port and run a function in it. Returns the ID of the new port at once.

        It can be sent to and monitored right away. If the function cannot run, a monitor fires with the reason.
        """
        self._check_open()
        check_node_id(node)
        name = self.names.for_spawn()
        frame = encode_frame("", [SPAWN, name, function, *arguments])
        if node == self.id:
            self.table.run_function(name, function, decode_frame(frame)[1][3:])
        else:
            peer = self._network.peer(node)
            peer.outbox.request(frame)
            peer.flush()
        return f"{node}#{name}"

    def run(self, function: Function, *arguments: object) -> Port:
        """Runs a function in a new port of this node, as `spawn` does. It begins only after this has returned."""
        port = self.port()
        self.table.run(port, function, arguments)
        return port

    # For the other parts of the node

    @property
    def is_open(self) -> bool:
        """Whether the node was started, and has not ended."""
        return self._state in ("open", "closing")

    def send_as(self, sender: object, to: str, values: Sequence[Sendable]) -> None:
        """Sends a message in the name of a port or task."""
        self._check_open()
        node, name = split_port_id(to)
        frame = encode_frame(name, values)
        if node == self.id:
            # Read back, so that a message means the same here as on another node.
            self.deliver(None, name, decode_frame(frame)[1], len(frame))
        else:
            peer = self._network.peer(node)
            peer.outbox.send(name, frame, sender)
            peer.flush()

    def deliver(self, peer: Peer | None, name: str, message: Message, size: int) -> None:
        """Takes a message, of another node or (None) of this one."""
        if name:
            self.table.deliver(name, message, size)
        else:
            handle_request(self, peer, message)

    def start_task(self, code: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts a task that ends with the node."""
        task = asyncio.get_running_loop().create_task(code)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def monitor_told(self, port: str, armed: ArmedMonitor) -> None:
        """The owner of a monitor that has fired was told."""
        node, name = split_port_id(port)
        peer = self._network.peers.get(node)
        if peer is not None:
            peer.told(peer.outbox.told(name, armed))

    def cancel_monitor(self, port: str, armed: ArmedMonitor) -> None:
        """A monitor is withdrawn."""
        node, name = split_port_id(port)
        if node == self.id:
            self.table.cancel_monitor(name, armed)
        elif (peer := self._network.peers.get(node)) is not None:
            peer.told(peer.outbox.remove_monitor(name, armed))

    def _check_open(self) -> None:
        if not self.is_open:
            raise NodeClosedError("the node is not running: start it first, and use it before its shutdown")
