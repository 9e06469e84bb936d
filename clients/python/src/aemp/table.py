"""The ports of a node: their names, who monitors them, and the functions that run in them."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import PortClosedError
from .outbox import ArmedMonitor
from .owner import running_port
from .peer import MAX_MONITORED, Peer
from .port import Port, die
from .values import Message, Reason

if TYPE_CHECKING:
    from .node import Node

log = logging.getLogger("aemp")

Function = Callable[..., Coroutine[Any, Any, object]]
"""A function that other nodes can spawn: it gets its port and the arguments."""

MAX_TOMBSTONES = 65536
"""Reasons of dead ports that are remembered for monitors that come late."""

P = TypeVar("P", bound=Port)


class PortTable:
    """The ports of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ports: dict[str, Port] = {}
        self._watchers: dict[str, dict[ArmedMonitor | Peer, None]] = {}
        self._tombstones: OrderedDict[str, Reason] = OrderedDict()
        self._functions: dict[str, Function] = {}

    def add(self, port: P, name: str) -> P:
        """Enters a new port."""
        self._ports[name] = port
        return port

    def has(self, name: str) -> bool:
        """Whether there is, or was, a port of this name."""
        return name in self._ports or name in self._tombstones

    def deliver(self, name: str, message: Message, size: int) -> None:
        """Puts a message into a mailbox; messages to ports that do not exist are dropped."""
        port = self._ports.get(name)
        if port is not None:
            port._deliver(message, size)

    def kill(self, name: str, reason: Reason) -> None:
        """Kills a port."""
        port = self._ports.get(name)
        if port is not None:
            port._kill(reason)

    # Functions

    def register(self, name: str, function: Function) -> None:
        """Makes a function known under a name."""
        self._functions[name] = function

    def find_function(self, name: str) -> Function | None:
        """Returns the registered function of this name."""
        return self._functions.get(name)

    def run_function(self, name: str, function: str, arguments: Message) -> None:
        """Runs a registered function in a new port of this name."""
        port = self.add(Port(self._node, name), name)
        found = self._functions.get(function)
        if found is None:
            port._end(["spawn_refused", f"{function} is not registered"])
        else:
            self.run(port, found, arguments)

    def run(self, port: Port, function: Function, arguments: Sequence[object]) -> None:
        """Runs a function in a port, which ends with it."""
        port._task = self._node.start_task(_run(port, function, arguments))
        # A task that is cancelled before it begins runs none of its code.
        port._task.add_done_callback(lambda _: port._end(["die", "the function was cancelled"]))

    # Monitors

    def monitor(self, name: str, monitor: ArmedMonitor) -> None:
        """A monitor of this node on one of its ports."""
        if not name or name in self._ports:
            self._watchers.setdefault(name, {})[monitor] = None
        else:
            monitor.fire(self._why_missing(name))

    def cancel_monitor(self, name: str, monitor: ArmedMonitor) -> None:
        """Withdraws a monitor of this node."""
        self._watchers.get(name, {}).pop(monitor, None)

    def watch_for(self, peer: Peer, name: str) -> Reason | None:
        """Another node monitors a port; returns the reason if that fires at once."""
        if name not in self._ports:
            return self._why_missing(name)
        if name not in peer.watched and len(peer.watched) >= MAX_MONITORED:
            return ["limit", f"{MAX_MONITORED} ports are monitored by one node"]
        peer.watched[name] = peer.watched.get(name, 0) + 1
        self._watchers.setdefault(name, {})[peer] = None
        return None

    def unwatch_for(self, peer: Peer, name: str) -> None:
        """Another node withdraws a monitor."""
        if peer.watched.get(name, 0) > 1:
            peer.watched[name] -= 1
        elif peer.watched.pop(name, None):
            self._watchers.get(name, {}).pop(peer, None)

    def forget_watcher(self, peer: Peer) -> None:
        """The connection to a node has ended, and with it all monitors that it had here."""
        for name in peer.watched:
            self._watchers.get(name, {}).pop(peer, None)
        peer.watched.clear()

    def ended(self, name: str, reason: Reason, port: Port) -> None:
        """A port is dead: its monitors fire, here and on other nodes, and its entries go."""
        self._ports.pop(name, None)
        self._node.db.port_ended(port.id)
        if not self._node.names.is_own(name):
            self._tombstones[name] = reason
            if len(self._tombstones) > MAX_TOMBSTONES:
                self._tombstones.popitem(last=False)
        for watcher in self._watchers.pop(name, ()):
            if isinstance(watcher, Peer):
                # A minimal peer that has asked twice gets two answers.
                for _ in range(watcher.watched.pop(name, 1)):
                    watcher.outbox.report_exit(name, reason, port)
                watcher.flush()
            else:
                watcher.fire(list(reason))

    def close(self, text: str) -> None:
        """The node has ended: its ports do, and all monitors fire."""
        for port in list(self._ports.values()):
            port._kill([])
        for watchers in self._watchers.values():
            for watcher in watchers:
                if isinstance(watcher, ArmedMonitor):
                    watcher.fire(["transport_error", self._node.id, text])
        self._watchers.clear()

    def _why_missing(self, name: str) -> Reason:
        missing: Reason = ["no_such_port", "the port does not exist", f"{self._node.id}#{name}"]
        return list(self._tombstones.get(name, missing))


async def _run(port: Port, function: Function, arguments: Sequence[object]) -> None:
    running_port.set(port)
    reason: Reason = []
    try:
        await function(port, *arguments)
    except asyncio.CancelledError:
        # A kill has left its reason in the port, which counts then.
        reason = ["die", "the function was cancelled"]
    except PortClosedError as closed:
        reason = closed.reason if closed.port == port.id else die(closed)
    except Exception as error:
        log.exception("the function of the port %s failed", port.id)
        reason = die(error)
    finally:
        port._end(reason)
