"""The outbox of a node: where the promise is kept.

An outbox is an ordered queue, drained by one connection or waiting for one. It ends in one manner only: it *breaks*. A
break drops the queue and hands back every monitor on a port of that node. From then on such a port is *gated*: what is
sent to it is dropped until the owner of each of these monitors has been told. A monitor that is set meanwhile *waits*;
from the first one on messages are *held*, and follow when the gate opens, except those of a sender that has not been
told itself. No socket, clock or task is used here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from .values import Reason, encode_frame

COST = 256
"""What a held message costs beside its bytes."""


@dataclass(frozen=True)
class OutboxLimits:
    """Limits of what waits for one node, in bytes."""

    connected: int = 128 * 1024 * 1024
    not_connected: int = 16 * 1024 * 1024
    high_water: int = 64 * 1024 * 1024
    held: int = 16 * 1024 * 1024


@dataclass(eq=False)
class ArmedMonitor:
    """A monitor that is set on a port of another node."""

    owner: object
    fire: Callable[[Reason], None]


@dataclass
class _Gate:
    """What holds messages to one port back after a loss."""

    pending: dict[ArmedMonitor, object] = field(default_factory=dict)
    """Monitors that have fired and whose owners have not been told, with these owners."""
    waiting: dict[ArmedMonitor, None] = field(default_factory=dict)
    holds: bool = False
    held: list[tuple[object, bytes]] = field(default_factory=list)
    size: int = 0
    full: bool = False


Fires = list[ArmedMonitor]


class Outbox:
    """The ordered queue of frames to one node, its monitors and gates."""

    def __init__(self, limits: OutboxLimits | None = None) -> None:
        self.limits = limits or OutboxLimits()
        self.size = 0
        self.attached = False
        self.overflowed = False
        """The limit was passed: the caller has to break it."""
        self._queue: deque[bytes] = deque()
        self._monitors: dict[str, dict[ArmedMonitor, None]] = {}
        self._gates: dict[str, _Gate] = {}
        self._held = 0
        self._exits: list[tuple[object, bytes]] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be written."""
        return not self._queue

    @property
    def has_work(self) -> bool:
        """Whether a connection is needed: something waits, or a monitor is set."""
        return bool(self._queue or self._monitors)

    def take(self, limit: int) -> bytes:
        """Takes frames to be written, of about this many bytes."""
        frames: list[bytes] = []
        size = 0
        while self._queue and size < limit:
            frames.append(self._queue.popleft())
            size += len(frames[-1])
        self.size -= size
        return b"".join(frames)

    def request(self, frame: bytes) -> None:
        """Queues a request that is not about one port."""
        self._queue.append(frame)
        self.size += len(frame)
        limit = self.limits.connected if self.attached else self.limits.not_connected
        self.overflowed |= self.size > limit

    def send(self, name: str, frame: bytes, sender: object) -> None:
        """Queues a message or kill for a port, or holds or drops it if there is a gate before the port."""
        gate = self._gates.get(name)
        if gate is None:
            self.request(frame)
        elif gate.holds and not gate.full and (sender is None or sender not in gate.pending.values()):
            cost = COST + len(frame)
            # One that is larger than all that may be held could never be sent.
            if self._held and self._held + cost > self.limits.held:
                gate.full = True
                return
            gate.held.append((sender, frame))
            gate.size += cost
            self._held += cost

    def add_monitor(self, name: str, monitor: ArmedMonitor) -> None:
        """Sets a monitor on a port. Behind a closed gate it waits, and counts for what its owner sends."""
        gate = self._gates.get(name)
        if gate is not None:
            gate.holds = True
            gate.waiting[monitor] = None
            return
        armed = self._monitors.setdefault(name, {})
        if not armed and name:
            self.request(encode_frame("", ["mon1", name]))
        armed[monitor] = None

    def remove_monitor(self, name: str, monitor: ArmedMonitor) -> Fires:
        """Withdraws a monitor. If it has fired, its owner counts as told: returns what `told` does."""
        armed = self._monitors.get(name)
        if armed is not None and armed.pop(monitor, monitor) is None:
            if not armed:
                del self._monitors[name]
                if name:
                    self.request(encode_frame("", ["mon0", name]))
            return []
        gate = self._gates.get(name)
        if gate is None:
            return []
        # What is held stays: it was sent while the monitor counted.
        gate.waiting.pop(monitor, None)
        return self.told(name, monitor)

    def report_exit(self, name: str, reason: Reason, port: object) -> None:
        """Tells the node that a port of ours is dead, behind the last messages of the port."""
        frame = encode_frame("", ["kil0", name, *reason])
        if self._holds_of(port):
            self._exits.append((port, frame))
        else:
            self.request(frame)

    def exited(self, name: str) -> Fires:
        """A port of the node is dead: returns the monitors to fire."""
        return list(self._monitors.pop(name, ()))

    def told(self, name: str, monitor: ArmedMonitor) -> Fires:
        """The owner of a monitor that has fired was told. The last one opens the gate.

        Returns monitors that fire because something behind what was held is lost.
        """
        gate = self._gates.get(name)
        if gate is None:
            return []
        gate.pending.pop(monitor, None)
        if gate.pending:
            return []
        del self._gates[name]
        self._held -= gate.size
        fires = []
        if gate.full:
            fires = list(gate.waiting)
        else:
            for waiting in gate.waiting:
                self.add_monitor(name, waiting)
        for _, frame in gate.held:
            self.request(frame)
        self._close(name, fires)
        self._flush_exits()
        return fires

    def break_now(self) -> Fires:
        """Everything that was sent may be lost: returns the monitors to fire, with their gates closed."""
        fires: Fires = []
        self._queue.clear()
        self._exits.clear()
        self.size = self._held = 0
        self.attached = self.overflowed = False
        for gate in self._gates.values():
            waiting = list(gate.waiting)
            gate.waiting.clear()
            gate.held.clear()
            gate.size = 0
            gate.holds = gate.full = False
            gate.pending.update((monitor, monitor.owner) for monitor in waiting)
            fires += waiting
        for name, armed in self._monitors.items():
            self._close(name, list(armed))
            fires += armed
        self._monitors.clear()
        return fires

    def _close(self, name: str, monitors: Fires) -> None:
        if monitors:
            gate = self._gates.setdefault(name, _Gate())
            gate.pending.update((monitor, monitor.owner) for monitor in monitors)

    def _holds_of(self, sender: object) -> bool:
        return any(other is sender for gate in self._gates.values() for other, _ in gate.held)

    def _flush_exits(self) -> None:
        exits, self._exits = self._exits, []
        for port, frame in exits:
            if self._holds_of(port):
                self._exits.append((port, frame))
            else:
                self.request(frame)
