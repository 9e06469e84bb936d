"""The errors of this package. All of them are `AempError`s."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .values import Reason


class AempError(Exception):
    """The base of every error that this package raises."""


class ConfigError(AempError, ValueError):
    """A node cannot be started with these settings."""


class InvalidNameError(AempError, ValueError):
    """A text is not a node ID or port ID."""


class EncodeError(AempError, ValueError):
    """A value has no form in JSON, nests too deeply or is too large. Nothing was sent."""


class MalformedError(AempError, ValueError):
    """A peer sent something that is not a frame. The connection ends with it."""


class HandshakeError(AempError):
    """A connection was refused before it was trusted."""


class NodeClosedError(AempError):
    """The node was shut down, or has not been started."""


class DatabaseError(AempError):
    """An entry, a family or a watch is over a limit, or a name is not allowed."""


class PortClosedError(AempError):
    """The port is dead. `reason` is the reason of its death, empty for a normal one."""

    def __init__(self, port: str, reason: Reason) -> None:
        super().__init__(f"the port {port} is dead: {describe(reason)}")
        self.port = port
        self.reason = reason


class CallError(AempError):
    """The called port is dead or cannot be reached. `reason` says why."""

    def __init__(self, port: str, reason: Reason) -> None:
        super().__init__(f"the call of {port} failed: {describe(reason)}")
        self.port = port
        self.reason = reason


class CallTimeoutError(AempError, TimeoutError):
    """No answer came in time. The request may still be handled; a late answer goes nowhere."""

    def __init__(self, port: str, timeout: float) -> None:
        super().__init__(f"{port} did not answer within {timeout:g} s")
        self.port = port
        self.timeout = timeout


def describe(reason: Reason) -> str:
    """Returns a reason as text for people."""
    return ", ".join(str(value) for value in reason) if reason else "normal end"
