"""Ports of this node: mailboxes with a name."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from .errors import PortClosedError
from .values import Message, Reason, Sendable

if TYPE_CHECKING:
    from .node import Node

MAX_MAILBOX = 256 * 1024 * 1024
"""The limit of a mailbox, in bytes as JSON. A port dies of `mailbox_full` when it is passed."""

COST = 256
"""What a message costs in a mailbox beside its bytes."""


class Port:
    """A port of this node. Messages arrive in its mailbox, in order.

    It is an asynchronous iterator over its messages and an asynchronous context manager that ends it: normally, or
    with `die` if the block fails. Iteration ends when the port dies normally; otherwise it raises `PortClosedError`.
    """

    def __init__(self, node: Node, name: str) -> None:
        self._node = node
        self._name = name
        self._mailbox: deque[tuple[Message, int]] = deque()
        self._size = 0
        self._arrived: asyncio.Event = asyncio.Event()
        self._reason: Reason | None = None
        self._task: asyncio.Task[None] | None = None
        self._kill_reason: Reason | None = None

    @property
    def id(self) -> str:
        """The port ID: give it to others so that they can send to this port."""
        return f"{self._node.id}#{self._name}"

    @property
    def node(self) -> Node:
        """The node of this port."""
        return self._node

    @property
    def reason(self) -> Reason | None:
        """Why the port died; None while it lives."""
        return self._reason

    async def receive(self, match: Callable[[Message], bool] | None = None) -> Message:
        """Waits for the next message, or the next one that `match` accepts, and removes it from the mailbox.

        Raises `PortClosedError` when the port is dead. Cancellation loses no message; put a limit on the time with
        `asyncio.timeout`. Only one task may receive at a time.
        """
        looked_at = 0
        while True:
            if self._reason is not None:
                raise PortClosedError(self.id, self._reason)
            for index in range(looked_at, len(self._mailbox)):
                message, size = self._mailbox[index]
                if match is None or match(message):
                    del self._mailbox[index]
                    self._size -= size
                    return message
            looked_at = len(self._mailbox)
            self._arrived.clear()
            await self._arrived.wait()

    def send(self, to: str, *values: Sendable) -> None:
        """Sends a message to a port, like `Node.send`, in the name of this port."""
        self._node.send_as(self, to, values)

    def kill(self, *reason: Sendable) -> None:
        """Ends the port: normally without a reason, else abnormally."""
        self._node.kill(self.id, *reason)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.receive()
        except PortClosedError as closed:
            if closed.reason:
                raise
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is None:
            self._end([] if error is None else die(error))

    def _deliver(self, message: Message, size: int) -> None:
        if self._reason is not None or self._kill_reason is not None:
            return
        self._mailbox.append((message, size + COST))
        self._size += size + COST
        self._arrived.set()
        if self._size > MAX_MAILBOX:
            self._kill(["mailbox_full", f"more than {MAX_MAILBOX} bytes wait"])

    def _kill(self, reason: Reason) -> None:
        """A kill takes effect: a function that runs is cancelled first, and ends the port when it has stopped."""
        if self._reason is not None or self._kill_reason is not None:
            return
        if self._task is None or self._task.done():
            self._end(reason)
        else:
            self._kill_reason = reason
            self._mailbox.clear()
            self._task.cancel()

    def _end(self, reason: Reason) -> None:
        if self._reason is None:
            self._reason = reason if self._kill_reason is None else self._kill_reason
            self._mailbox.clear()
            self._arrived.set()
            self._node.table.ended(self._name, self._reason, self)


class ReplyPort(Port):
    """The port for the answer of a call: it ends with its first message."""

    def __init__(self, node: Node, name: str) -> None:
        super().__init__(node, name)
        self.answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    def _deliver(self, message: Message, size: int) -> None:
        if not self.answer.done():
            self.answer.set_result(message)
        self._end([])

    def fail(self, reason: Reason) -> None:
        """The called port is dead or unreachable."""
        if not self.answer.done():
            self.answer.set_exception(PortClosedError(self.id, reason))
            self.answer.exception()  # read here, so that a call that was given up is not complained about
        self._end([])


def die(error: BaseException) -> Reason:
    """Returns the reason of a port whose code has failed."""
    return ["die", f"{type(error).__name__}: {error}".encode(errors="replace").decode()]
