"""Seeds: whom to stay connected to, and which of them is the master."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from .errors import AempError, HandshakeError
from .values import encode_frame

if TYPE_CHECKING:
    from .network import Network
    from .peer import Peer

log = logging.getLogger("aemp")


class Seeds:
    """The seeds of a node. The first connected one is the master, which answers questions about the shared database."""

    def __init__(self, network: Network, addresses: list[str]) -> None:
        self._network = network
        self._addresses = addresses
        self._nodes: dict[str, str] = {}
        self._master: str | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()

    @property
    def master(self) -> str | None:
        """The node ID of the master, if one is connected."""
        return self._master

    def start(self) -> None:
        """Begins to connect."""
        self._tasks = [self._network.start_task(self._keep(address)) for address in self._addresses]

    def stop(self) -> None:
        """No more attempts are made."""
        for task in self._tasks:
            task.cancel()

    def addresses_of(self, node: str) -> list[str]:
        """Returns the addresses at which a seed of this ID was reached."""
        return [address for address, known in self._nodes.items() if known == node]

    async def wait_for_master(self) -> None:
        """Waits until there is a master. Returns at once if there are no seeds."""
        while self._addresses and self._master is None:
            self._changed.clear()
            await self._changed.wait()

    def peer_up(self, peer: Peer) -> None:
        """A node is connected; if it is a seed it may become the master."""
        if peer.id in self._nodes.values():
            peer.outbox.request(encode_frame("", ["g_slave"]))
            peer.flush()
            self._choose()
        self._changed.set()

    def peer_down(self, peer: Peer) -> None:
        """A node is lost; if it was the master another seed takes its place."""
        if peer.id == self._master:
            self._master = None
            self._network.node.db.detach()
            self._choose()
        self._changed.set()

    def greeted(self, address: str, node: str) -> None:
        """The node that listens at the address of a seed has said its ID."""
        self._nodes[address] = node

    def _choose(self) -> None:
        if self._master is not None:
            return
        for node in self._nodes.values():
            peer = self._network.connected_peer(node)
            if peer is not None:
                self._master = node
                self._network.node.db.attach(peer)
                return

    async def _keep(self, address: str) -> None:
        """Stays connected to one seed: missing ones are retried after a random 0.6 to 1.2 s, doubling up to T."""
        base = 0.6
        while True:
            node = self._nodes.get(address)
            if node is not None and self._network.connected_peer(node) is not None:
                base = 0.6
                self._changed.clear()
                await self._changed.wait()
                continue
            try:
                async with asyncio.timeout(self._network.connect_timeout):
                    await self._network.dial(address, expected=None, seed=True)
                continue
            except (AempError, OSError, TimeoutError) as error:
                if self._nodes.get(address) == self._network.node.id:
                    log.info("the seed %s is this node itself", address)
                    self._addresses.remove(address)
                    self._changed.set()
                    return
                node = self._nodes.get(address)
                peer = self._network.connected_peer(node) if node else None
                if peer is not None and isinstance(error, HandshakeError):
                    # It is connected already, over a connection that was made otherwise.
                    self.peer_up(peer)
                    continue
                log.warning("the seed %s cannot be reached: %s", address, str(error) or type(error).__name__)
            await asyncio.sleep(random.uniform(base, 2 * base))
            base = min(2 * base, self._network.monitor_timeout / 2)
