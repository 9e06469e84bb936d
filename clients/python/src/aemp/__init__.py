"""Erlang-style message passing for asyncio, in one network with nodes of aemp (Rust) and AnyEvent::MP (Perl).

Ports send to, monitor and spawn each other across machines. Once a monitor is set, either every message to the port
arrives, in order, or the monitor fires.

>>> async with aemp.Node("py/1", secret="…", seeds=["127.0.0.1:4040"]) as node:
...     adder = await node.db.any("adders")
...     [total] = await node.call(adder, "add", 20, 22, timeout=1)
"""

from .database import Change, Database, Entry, Watch
from .errors import (
    AempError,
    CallError,
    CallTimeoutError,
    ConfigError,
    DatabaseError,
    EncodeError,
    HandshakeError,
    InvalidNameError,
    MalformedError,
    NodeClosedError,
    PortClosedError,
    describe,
)
from .monitor import Monitor
from .names import split_port_id
from .network import NodeEvent
from .node import Node
from .outbox import OutboxLimits
from .port import Port
from .table import Function
from .values import Message, Reason, Sendable, Value

__all__ = [
    "AempError",
    "CallError",
    "CallTimeoutError",
    "Change",
    "ConfigError",
    "Database",
    "DatabaseError",
    "EncodeError",
    "Entry",
    "Function",
    "HandshakeError",
    "InvalidNameError",
    "MalformedError",
    "Message",
    "Monitor",
    "Node",
    "NodeClosedError",
    "NodeEvent",
    "OutboxLimits",
    "Port",
    "PortClosedError",
    "Reason",
    "Sendable",
    "Value",
    "Watch",
    "describe",
    "split_port_id",
]
