"""Who sends, and who has to be told: a port, or a task that belongs to no port."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

running_port: ContextVar[object] = ContextVar("running_port", default=None)
"""The port whose function runs. Tasks that the function starts inherit it."""


def current_owner() -> object:
    """Returns the port or task that runs now; None in a callback of the event loop."""
    port = running_port.get()
    if port is not None:
        return port
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
