"""Node IDs, port IDs and addresses."""

from __future__ import annotations

import re
import secrets

from .errors import ConfigError, InvalidNameError

MAX_NODE_ID = 1024
MAX_PORT_NAME = 4096

_NODE_ID = re.compile(r"[!\"$-:<-~]+")
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def check_node_id(node: str) -> str:
    """Returns the node ID, or raises `InvalidNameError`: printable ASCII without `#`, `;` and spaces."""
    if len(node) > MAX_NODE_ID or not _NODE_ID.fullmatch(node):
        raise InvalidNameError(f"{node[:80]!r} is not a node ID: printable ASCII without '#', ';' and spaces")
    return node


def split_port_id(port: str) -> tuple[str, str]:
    """Returns node ID and name of a port ID. A node ID alone names the node port, which has the empty name."""
    node, _, name = port.partition("#")
    check_node_id(node)
    if len(name) > MAX_PORT_NAME // 4 and len(name.encode(errors="replace")) > MAX_PORT_NAME:
        raise InvalidNameError(f"the port name {name[:40]!r}… has more than {MAX_PORT_NAME} bytes")
    return node, name


def split_address(address: str) -> tuple[str, int]:
    """Returns host and port of `HOST:PORT` or `[IPV6]:PORT`. Raises `ConfigError`."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{address!r} is not an address; write HOST:PORT or [IPV6]:PORT")
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """Returns an address as it stands in greetings and in the database."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class PortNames:
    """Makes names that are never used twice: own ones, and others for ports that other nodes create."""

    def __init__(self) -> None:
        self._prefix = "".join(secrets.choice(_ALPHABET) for _ in range(16))
        self._count = 0

    def own(self) -> str:
        """Returns the name for a new port of this node."""
        self._count += 1
        return f"{self._prefix}.{self._count}"

    def for_spawn(self) -> str:
        """Returns the name for a port that another node creates; it cannot be equal to an own one."""
        self._count += 1
        return f"{self._prefix}*{self._count}"

    def is_own(self, name: str) -> bool:
        """Whether a name is of the kind that this node makes for its own ports."""
        return name.startswith(self._prefix + ".")
