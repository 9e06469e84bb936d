"""Greeting and authentication: what is said before there is trust (PROTOCOL.md, connections)."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import re
import secrets
from base64 import b64encode
from collections.abc import Collection
from dataclasses import dataclass, field

from .errors import HandshakeError, InvalidNameError
from .names import check_node_id

MAX_LINE = 4096
"""The limit of a line until authentication, in bytes, its end included."""

METHOD = "hmac_sha3_512"
FRAMING = "json"

MIN_HEARTBEAT = 1.0
MAX_HEARTBEAT = 86400.0

_PRINTABLE = re.compile(rb"[ -~]*")
_INCARNATION = re.compile(r"[0-9a-fA-F]{32}")
_SECONDS = re.compile(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Greeting:
    """A greeting line, parsed."""

    protocol: str
    node: str
    methods: tuple[str, ...]
    framings: tuple[str, ...]
    pairs: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def parse(line: bytes) -> Greeting:
        """Reads a line without its end. Raises `HandshakeError`."""
        if not _PRINTABLE.fullmatch(line):
            raise HandshakeError("the greeting is not printable ASCII; is this an aemp node?")
        fields = line.decode("ascii").split(";")
        if not re.fullmatch(r"aemp(-.+)?", fields[0]):
            raise HandshakeError(f"the greeting starts with {fields[0][:40]!r} instead of 'aemp'")
        if len(fields) < 5:
            raise HandshakeError(f"the greeting has {len(fields)} of at least 5 fields; is this an aemp node?")
        if fields[1] != "1":
            raise HandshakeError(f"protocol version {fields[1][:40]!r} is not supported (only '1' is)")
        try:
            node = check_node_id(fields[2])
        except InvalidNameError as error:
            raise HandshakeError(f"invalid node ID in the greeting: {error}") from None
        pairs: dict[str, str] = {}
        for entry in filter(None, fields[5:]):
            key, _, value = entry.partition("=")
            if key in pairs:
                raise HandshakeError(f"the greeting has the key {key[:40]!r} twice")
            pairs[key] = value.replace("%3b", ";").replace("%25", "%")
        return Greeting(fields[0], node, _names(fields[3]), _names(fields[4]), pairs)

    def to_line(self) -> bytes:
        """Returns the line, without its end."""
        pairs = (f"{k}=" + v.replace("%", "%25").replace(";", "%3b") for k, v in sorted(self.pairs.items()))
        names = (",".join(self.methods), ",".join(self.framings))
        return ";".join((self.protocol, "1", self.node, *names, *pairs)).encode("ascii")

    @property
    def is_native(self) -> bool:
        """Whether the speaker has a role and an incarnation, as nodes of aemp have."""
        return "role" in self.pairs and "inc" in self.pairs

    def heartbeat(self) -> float | None:
        """Returns the longest silence that the speaker tolerates, in seconds. Raises `HandshakeError`."""
        text = self.pairs.get("hb")
        if text is None:
            return None
        try:
            seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
        except ValueError:
            seconds = 0.0
        if not 0.0 < seconds < math.inf:
            raise HandshakeError(f"the greeting has hb={text[:40]!r}, which is not a number of seconds above 0")
        return min(max(seconds, MIN_HEARTBEAT), MAX_HEARTBEAT)


def make_nonce() -> bytes:
    """Returns a fresh nonce line, without its end."""
    return b64encode(secrets.token_bytes(66))


def own_greeting(node: str, peeraddr: str, *, dialled: bool, incarnation: str, heartbeat: float) -> Greeting:
    """Returns what this node says first."""
    pairs = {
        "provider": "aemp-py-0.1.0",
        "peeraddr": peeraddr,
        "mproto": "1",
        "gproto": "1",
        "role": "c" if dialled else "s",
        "inc": incarnation,
        "hb": format(heartbeat, "g"),
    }
    return Greeting("aemp", node, (METHOD,), (FRAMING,), pairs)


@dataclass(frozen=True)
class Side:
    """What one side has said: its greeting and its nonce line."""

    greeting: Greeting
    line: bytes
    nonce: bytes

    @property
    def text(self) -> bytes:
        """Its part of the authenticated text."""
        return self.line + b"\n" + self.nonce + b"\n"


def check_greeting(own: Side, theirs: Side, *, local_address: str | None, advertised: Collection[str] = ()) -> None:
    """Decides whether to go on with a peer; raises `HandshakeError` if not.

    `local_address` is the local address of the socket, or None if it must not be compared. Where this node
    says that it can be dialled, `advertised`, it may be seen as well.
    """
    greeting = theirs.greeting
    if greeting.protocol != "aemp":
        raise HandshakeError(f"the peer speaks {greeting.protocol[:40]!r}, which is not supported")
    if greeting.node == own.greeting.node:
        raise HandshakeError("the peer has the ID of this node")
    if theirs.line == own.line or theirs.nonce == own.nonce:
        raise HandshakeError("the peer echoes what this node says")
    if "inc" in greeting.pairs and not _INCARNATION.fullmatch(greeting.pairs["inc"]):
        raise HandshakeError("the greeting has an incarnation that is not 32 hexadecimal digits")
    greeting.heartbeat()
    role = greeting.pairs.get("role")
    if role is not None and role == own.greeting.pairs["role"]:
        raise HandshakeError("both ends claim the same role (possible relay attack)")
    seen_as = greeting.pairs.get("peeraddr")
    if role is None and local_address is not None and seen_as is not None:
        dialled = own.greeting.pairs["role"] == "c"
        if not _is_here(seen_as, local_address) and not any(
            _is_here(seen_as, address, any_port=dialled) for address in advertised
        ):
            raise HandshakeError(f"the peer sees this node as {seen_as[:80]}, but the socket has {local_address}")
    if METHOD not in greeting.methods:
        raise HandshakeError(f"the peer does not accept {METHOD}; does it have a secret?")
    if FRAMING not in greeting.framings:
        raise HandshakeError("the peer does not read JSON; add json to its framings")


def _is_here(seen_as: str, address: str, *, any_port: bool = False) -> bool:
    """Whether a peer that sees this node there sees it at this address. A dialler has a port for each connection."""
    (seen_host, seen_port), (host, port) = _endpoint(seen_as), _endpoint(address)
    return seen_host == host and (any_port or seen_port == port)


def _endpoint(address: str) -> tuple[str, str]:
    """Returns host and port as they can be compared."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]").lower()
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        # A node of AnyEvent::MP says the name that it has dialled.
        return host, port
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_unspecified:
        # Who dials all addresses of its own host reaches loopback.
        return ("127.0.0.1" if ip.version == 4 else "::1"), port
    return str(ip), port


def authentication_line(secret: bytes, own: Side, theirs: Side) -> bytes:
    """Returns the line that proves to the other side that this one knows the secret, without its end."""
    return f"{METHOD};{_digest(secret, own, theirs)};{FRAMING}".encode("ascii")


def verify_line(secret: bytes, own: Side, theirs: Side, line: bytes) -> None:
    """Raises `HandshakeError` unless the line proves that the other side knows the secret."""
    method, _, rest = line.partition(b";")
    digest, _, framing = rest.partition(b";")
    if method != METHOD.encode():
        raise HandshakeError(f"the peer uses the method {method[:40]!r}, which was not offered")
    if not hmac.compare_digest(digest, _digest(secret, theirs, own).encode("ascii")):
        raise HandshakeError("the peer does not know the secret of this network")
    if framing != FRAMING.encode():
        raise HandshakeError(f"the peer writes the framing {framing[:40]!r}, which was not offered")


def _digest(secret: bytes, sender: Side, receiver: Side) -> str:
    return hmac.new(secret, sender.text + receiver.text, hashlib.sha3_512).hexdigest()


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))
