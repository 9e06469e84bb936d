"""Requests to the node port (PROTOCOL.md, requests to the node port)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .errors import AempError, InvalidNameError
from .names import split_port_id
from .peer import Peer
from .values import Message, Value, as_name

if TYPE_CHECKING:
    from .node import Node

log = logging.getLogger("aemp")

MAX_HOPS = 32
"""How many nodes may pass a request on, one after the other."""

SPAWN = "AnyEvent::MP::_spawn"
STREAMS = ("AnyEvent::MP::DataConn::_expect", "AnyEvent::MP::DataConn::_connect")

_KNOWN = frozenset(
    [
        "mon0",
        "mon1",
        "kil0",
        "kil1",
        "snd",
        "can",
        "time",
        "devnull",
        "",
        SPAWN,
        "g_found",
        "g_reply",
        "g_chg1",
        "g_chg2",
    ]
)
"""Requests that are understood here, for `can`."""

_PASSED_ON = {"snd": 2, "time": 2, "can": 3, "eval": 3}
"""Where the message begins that a request passes on; the port ID stands in front of it."""


def handle_request(node: Node, peer: Peer | None, request: Message) -> None:
    """Takes a request of another node, or of this one (`peer` is None then)."""
    tag = as_name(request[0]) if request else ""
    if not tag or tag == "devnull":
        return
    if tag.startswith(("g_", "x_")):
        if peer is not None:
            node.db.handle(peer, request)
        return
    if _hops(request) > MAX_HOPS:
        log.warning("a request that %d nodes would pass on was refused", _hops(request))
        return
    handler = _HANDLERS.get(tag)
    try:
        if handler is not None:
            handler(node, peer, request)
        elif node.table.find_function(tag) is not None:
            node.table.run_function(node.names.own(), tag, request[1:])
        else:
            log.warning("a request was refused: %.80r is not a registered function", tag)
    except IndexError:
        log.warning("a request %.40r was refused: a value is missing", tag)
    except AempError as error:
        log.warning("a request %.40r was refused: %s", tag, error)


def _monitor(node: Node, peer: Peer | None, request: Message) -> None:
    name = _port_name(request)
    if peer is None:
        return
    refusal = node.table.watch_for(peer, name)
    if refusal is not None:
        peer.outbox.report_exit(name, refusal, None)
        peer.flush()


def _unmonitor(node: Node, peer: Peer | None, request: Message) -> None:
    if peer is not None:
        node.table.unwatch_for(peer, _port_name(request))


def _exited(node: Node, peer: Peer | None, request: Message) -> None:
    if peer is not None:
        for monitor in peer.outbox.exited(_port_name(request)):
            monitor.fire(request[2:])


def _kill(node: Node, peer: Peer | None, request: Message) -> None:
    node.table.kill(_port_name(request), request[2:])


def _spawn(node: Node, peer: Peer | None, request: Message) -> None:
    name, function = _port_name(request), as_name(request[2])
    if node.table.has(name) or node.names.is_own(name):
        log.warning("a spawn was refused: the port name %.80r is in use", name)
    else:
        node.table.run_function(name, function or "", request[3:])


def _send(node: Node, peer: Peer | None, request: Message) -> None:
    _pass_on(node, request[1], request[2:])


def _can(node: Node, peer: Peer | None, request: Message) -> None:
    tag = as_name(request[1]) or ""
    known = tag in _KNOWN or node.table.find_function(tag) is not None
    # Perl's own truth values.
    _pass_on(node, request[2], [*request[3:], "1" if known else ""])


def _time(node: Node, peer: Peer | None, request: Message) -> None:
    _pass_on(node, request[1], [*request[2:], time.time()])


def _eval(node: Node, peer: Peer | None, request: Message) -> None:
    if len(request) > 2:
        _pass_on(node, request[2], [*request[3:], "this node does not evaluate code"])


def _stream(node: Node, peer: Peer | None, request: Message) -> None:
    # A node that wants a data connection waits for it in this port.
    if request[0] == STREAMS[0]:
        node.kill(as_name(request[2]) or "", STREAMS[0].rpartition("::")[0], "data connections are not supported")


def _pass_on(node: Node, to: Value, message: Message) -> None:
    node.send(as_name(to) or "", *message)


def _port_name(request: Message) -> str:
    name = as_name(request[1])
    if not name:
        raise InvalidNameError("the port name is empty or missing")
    split_port_id(f"n#{name}")
    return name


def _hops(request: Message) -> int:
    """How many nodes pass a request on: all hops stand in the first message."""
    hops = 0
    start = _PASSED_ON.get(str(request[0]))
    at = 0
    while start is not None and len(request) >= at + start:
        hops += 1
        to = as_name(request[at + start - 1])
        at += start
        if to is None or to.partition("#")[2] or at >= len(request):
            break
        start = _PASSED_ON.get(str(request[at]))
    return hops


_HANDLERS: dict[str, Callable[[Node, Peer | None, Message], None]] = {
    "mon1": _monitor,
    "mon0": _unmonitor,
    "kil0": _exited,
    "kil1": _kill,
    "kil": _kill,
    "snd": _send,
    "can": _can,
    "time": _time,
    "eval": _eval,
    SPAWN: _spawn,
    STREAMS[0]: _stream,
    STREAMS[1]: _stream,
}
