"""Monitors: they fire once, with the reason of a death or loss."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from .outbox import ArmedMonitor
from .owner import current_owner
from .values import Reason

if TYPE_CHECKING:
    from .node import Node


class Monitor:
    """A monitor on a port.

    With a callback, the callback is called once with the reason. Without one, `await` the monitor: that gives the
    reason. A monitor without a callback is cancelled when nothing refers to it any more. As a context manager it is
    cancelled at the end of the block.

    Until a monitor that has fired was awaited, read or cancelled, what is sent to its port is dropped: its owner does
    not know of the hole yet. So cancel a monitor that you do not await.
    """

    def __init__(self, node: Node, target: str, callback: Callable[[Reason], object] | None) -> None:
        self._news = _News(node, target, callback)

    @property
    def armed(self) -> ArmedMonitor:
        """What stands in the table of monitors."""
        return self._news.armed

    @property
    def target(self) -> str:
        """The ID of the monitored port."""
        return self._news.target

    @property
    def reason(self) -> Reason | None:
        """The reason if the monitor has fired; None until then. Reading it counts as being told."""
        news = self._news
        if news.reason is not None and news.callback is None and not news.cancelled:
            news.tell()
        return news.reason if news.told else None

    def cancel(self) -> None:
        """Withdraws the monitor: it does not fire afterwards. Does nothing if its owner was told already."""
        self._news.cancel()

    def __await__(self) -> Generator[object, None, Reason]:
        while (reason := self.reason) is None:
            yield from asyncio.shield(self._news.fired).__await__()
        return reason

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def __del__(self) -> None:
        news = self._news
        if news.callback is None and not news.told and not news.cancelled and not news.loop.is_closed():
            # The collector of cycles may run in the middle of anything.
            news.loop.call_soon_threadsafe(news.cancel)


class _News:
    """What becomes of a monitor. It does not refer to the `Monitor`, so that this can be collected."""

    def __init__(self, node: Node, target: str, callback: Callable[[Reason], object] | None) -> None:
        self.node = node
        self.target = target
        self.callback = callback
        self.reason: Reason | None = None
        self.told = False
        self.cancelled = False
        self.loop = asyncio.get_running_loop()
        self.fired: asyncio.Future[None] = self.loop.create_future()
        self.armed = ArmedMonitor(current_owner(), self.fire)

    def fire(self, reason: Reason) -> None:
        self.reason = reason
        if self.callback is not None:
            self.loop.call_soon(self.run_callback)
        elif not self.fired.done():
            self.fired.set_result(None)

    def run_callback(self) -> None:
        if self.cancelled or self.callback is None or self.reason is None:
            return
        self.tell()
        if not self.fired.done():
            self.fired.set_result(None)
        self.callback(self.reason)

    def tell(self) -> None:
        if not self.told:
            self.told = True
            self.node.monitor_told(self.target, self.armed)

    def cancel(self) -> None:
        if not self.told and not self.cancelled:
            self.cancelled = True
            self.fired.cancel()
            self.node.cancel_monitor(self.target, self.armed)
