"""The shared database: a directory of living ports. This node owns entries, asks its master, and watches families."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from .errors import DatabaseError
from .values import Message, Sendable, Value, as_name, encode_frame, encoded

if TYPE_CHECKING:
    from .node import Node
    from .peer import Peer
    from .port import Port

MAX_FAMILY = 1024
MAX_ENTRY = 1024 * 1024
MAX_WATCH = 256 * 1024 * 1024
FIRST_PART = 8 * 1024 * 1024
"""A local database that is larger does not travel in one message."""


@dataclass(frozen=True)
class Change:
    """What has changed in a family: three disjoint sets that turn the content before into the content after."""

    added: dict[str, Value] = field(default_factory=dict)
    changed: dict[str, Value] = field(default_factory=dict)
    deleted: dict[str, Value] = field(default_factory=dict)
    """The keys that are gone, with their last values."""


class Entry:
    """An entry of this node. It can be deleted, and is as a context manager, unless it was set again since."""

    def __init__(self, database: Database, family: str, key: str) -> None:
        self._database = database
        self._family = family
        self._key = key

    def delete(self) -> None:
        """Deletes the entry, unless it was set again on this node."""
        self._database._delete_entry(self._family, self._key, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.delete()


class Watch:
    """The changes of a family, as an asynchronous iterator: first the whole content, even if it is empty.

    A reader that is slow gets several changes as one. The watch ends with `close`, at the end of an `async with`, or
    with the node.
    """

    def __init__(self, database: Database, family: str) -> None:
        self._database = database
        self._family = family
        self._seen: dict[str, Value] = {}
        self._content: dict[str, Value] | None = None
        self._dirty: set[str] = set()
        self._first = True
        self._arrived = asyncio.Event()
        self._error: DatabaseError | None = None
        self._closed = False

    def close(self) -> None:
        """Ends the watch."""
        if not self._closed:
            self._closed = True
            self._database._forget_watch(self._family, self)
            self._arrived.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._closed:
            if self._error is not None:
                self.close()
                raise self._error
            change = self._next_change()
            if change is not None:
                return change
            self._arrived.clear()
            await self._arrived.wait()
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _next_change(self) -> Change | None:
        if self._content is None or not (self._dirty or self._first):
            return None
        change = Change()
        for key in self._dirty:
            if key not in self._content:
                if key in self._seen:
                    change.deleted[key] = self._seen.pop(key)
                continue
            value = self._content[key]
            if key not in self._seen:
                change.added[key] = value
            elif encoded(self._seen[key]) != encoded(value):
                change.changed[key] = value
            self._seen[key] = value
        first, self._first = self._first, False
        self._dirty.clear()
        return change if first or change.added or change.changed or change.deleted else None

    def _tell(self, content: dict[str, Value], keys: set[str]) -> None:
        self._content = content
        self._dirty |= keys
        self._arrived.set()

    def _fail(self, error: DatabaseError) -> None:
        self._error = error
        self._arrived.set()


@dataclass
class _Family:
    """What is known of a family that is watched."""

    watches: list[Watch] = field(default_factory=list)
    content: dict[str, Value] = field(default_factory=dict)
    known: bool = False
    size: int = 0

    def set(self, key: str, value: Value) -> None:
        self.forget(key)
        self.content[key] = value
        self.size += len(key) + len(encoded(value))

    def forget(self, key: str) -> None:
        if key in self.content:
            self.size -= len(key) + len(encoded(self.content.pop(key)))


class Database:
    """The shared database as this node sees it. `Node.db` has it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._local: dict[str, dict[str, str]] = {}
        self._entries: dict[tuple[str, str], object] = {}
        self._of_ports: dict[str, set[tuple[str, str]]] = {}
        self._families: dict[str, _Family] = {}
        self._queries: dict[int, tuple[str, str, asyncio.Future[Value]]] = {}
        self._finds: dict[str, list[asyncio.Future[list[str]]]] = {}
        self._ids = itertools.count(1)
        self._master: Peer | None = None

    # For programs

    def set(self, family: str, key: str, value: Sendable = None) -> Entry:
        """Sets an entry of this node. It disappears with the node, or when the returned entry is deleted.

        Raises `DatabaseError` for a family name that is not allowed and for an entry over the limit, `EncodeError`
        for a value that cannot be sent.
        """
        check_family(family)
        entry = Entry(self, family, key)
        self._set(family, key, value, entry)
        return entry

    def delete(self, family: str, key: str) -> None:
        """Deletes an entry of this node, however it was set. Entries of other nodes stay."""
        check_family(family)
        self._delete_entry(family, key, None)

    def register(self, family: str, port: Port, value: Sendable = None) -> None:
        """Enters a port of this node into a family, with its ID as the key. The entry disappears with the port."""
        check_family(family)
        if port.reason is not None:
            raise DatabaseError(f"the port {port.id} is dead and cannot be registered")
        self._set(family, port.id, value, port)
        self._of_ports.setdefault(port.id, set()).add((family, port.id))

    async def family(self, family: str) -> dict[str, Value]:
        """Returns a family: key → value. Waits while no master can be reached."""
        answer = await self._query("g_db_family", family)
        return answer if isinstance(answer, dict) else {}

    async def keys(self, family: str) -> list[str]:
        """Returns the keys of a family, in no order. Waits while no master can be reached."""
        answer = await self._query("g_db_keys", family)
        return [key for key in map(as_name, answer) if key is not None] if isinstance(answer, list) else []

    async def values(self, family: str) -> list[Value]:
        """Returns the values of a family, in no order. Waits while no master can be reached."""
        answer = await self._query("g_db_values", family)
        return answer if isinstance(answer, list) else []

    async def any(self, family: str) -> str:
        """Waits until there is a port in a family, and returns the ID of one at random."""
        async with self.watch(family) as watch:
            async for change in watch:
                if change.added:
                    return random.choice(list(change.added))
        raise DatabaseError(f"the watch of {family} has ended")

    def watch(self, family: str) -> Watch:
        """Returns the changes of a family as an asynchronous iterator, its content first."""
        check_family(family)
        watch = Watch(self, family)
        known = self._families.get(family)
        if known is None:
            known = self._families[family] = _Family()
            self._ask_master("g_mon1", family)
        known.watches.append(watch)
        if known.known:
            watch._tell(known.content, set(known.content))
        return watch

    # For the node

    def set_binds(self, binds: list[str]) -> None:
        """Tells at which addresses this node can be dialled."""
        if binds:
            self._set("'l", self._node.id, binds, self)

    def port_ended(self, port: str) -> None:
        """A port of this node is dead: its entries go with it."""
        for family, key in self._of_ports.pop(port, ()):
            owner = self._entries.get((family, key))
            if not isinstance(owner, Entry):
                self._delete_entry(family, key, owner)

    def attach(self, master: Peer) -> None:
        """There is a new master: it is told what this node owns, and asked what is open."""
        self._master = master
        self._send_local()
        for node in self._finds:
            self._ask_master("g_find", node)
        for number, (tag, family, _) in self._queries.items():
            self._ask_master(tag, family, number)
        for family in self._families:
            self._ask_master("g_mon1", family)

    def detach(self) -> None:
        """The master is lost."""
        self._master = None

    async def find(self, node: str) -> list[str]:
        """Asks the master where a node listens; empty if it does not know."""
        future: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        waiting = self._finds.setdefault(node, [])
        waiting.append(future)
        if len(waiting) == 1:
            self._ask_master("g_find", node)
        try:
            return await future
        finally:
            if future in waiting:
                waiting.remove(future)
            if not waiting:
                self._finds.pop(node, None)

    def close(self) -> None:
        """The node has ended: queries fail and watches end."""
        for watch in [watch for family in self._families.values() for watch in family.watches]:
            watch.close()
        for _, _, future in self._queries.values():
            if not future.done():
                future.set_exception(DatabaseError("the node was shut down"))

    def handle(self, peer: Peer, request: Message) -> None:
        """Takes an answer of the master. Requests that only a master may send are ignored from anybody else."""
        handler = self._handlers.get(str(request[0]))
        if handler is not None and peer is self._master:
            arguments: Message = [*request[1:], None, None, None]
            handler(self, arguments)

    # Inside

    def _set(self, family: str, key: str, value: Sendable, owner: object) -> None:
        text = encoded(value)
        if len(text) + len(key) > MAX_ENTRY:
            raise DatabaseError(f"the entry {key[:40]!r} of {family} has more than {MAX_ENTRY} bytes")
        entries = self._local.setdefault(family, {})
        self._entries[family, key] = owner
        if entries.get(key) != text:
            entries[key] = text
            self._ask_master("g_upd", family, {key: value}, [])

    def _delete_entry(self, family: str, key: str, owner: object) -> None:
        """Deletes an entry that `owner` has set, or any owner if that is None."""
        if owner is not None and self._entries.get((family, key)) is not owner:
            return
        self._entries.pop((family, key), None)
        if self._local.get(family, {}).pop(key, None) is not None:
            self._ask_master("g_upd", family, {}, [key])

    async def _query(self, tag: str, family: str) -> Value:
        check_family(family)
        number = next(self._ids)
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._queries[number] = (tag, family, future)
        self._ask_master(tag, family, number)
        try:
            return await future
        finally:
            del self._queries[number]

    def _ask_master(self, *request: Sendable) -> None:
        if self._master is not None:
            self._master.outbox.request(encode_frame("", request))
            self._master.flush()

    def _send_local(self) -> None:
        """Tells the master all that this node owns: a first part, and the rest as changes behind it."""
        parts: list[dict[str, dict[str, Sendable]]] = [{}]
        size = 0
        for family, entries in self._local.items():
            for key, text in entries.items():
                size += len(text) + len(key)
                if size > FIRST_PART:
                    parts.append({})
                    size = 0
                parts[-1].setdefault(family, {})[key] = _decoded(text)
        self._ask_master("g_slave", parts[0])
        for part in parts[1:]:
            for family, changes in part.items():
                self._ask_master("g_upd", family, changes, [])

    def _forget_watch(self, family: str, watch: Watch) -> None:
        known = self._families.get(family)
        if known is not None and watch in known.watches:
            known.watches.remove(watch)
            if not known.watches:
                del self._families[family]
                self._ask_master("g_mon0", family)

    def _found(self, arguments: Message) -> None:
        node, binds = as_name(arguments[0]), arguments[1]
        addresses = [bind for bind in binds if isinstance(bind, str)] if isinstance(binds, list) else []
        for future in self._finds.pop(node or "", []):
            if not future.done():
                future.set_result(addresses)

    def _replied(self, arguments: Message) -> None:
        number = as_name(arguments[0]) or ""
        query = self._queries.get(int(number)) if number.isascii() and number.isdigit() else None
        if query is not None and not query[2].done():
            query[2].set_result(arguments[1])

    def _content(self, arguments: Message) -> None:
        known = self._families.get(as_name(arguments[0]) or "")
        if known is not None:
            content = arguments[1] if isinstance(arguments[1], dict) else {}
            gone = [key for key in known.content if key not in content]
            self._change(known, content, gone)

    def _changes(self, arguments: Message) -> None:
        known = self._families.get(as_name(arguments[0]) or "")
        if known is not None and known.known:
            changes = arguments[1] if isinstance(arguments[1], dict) else {}
            gone = arguments[2] if isinstance(arguments[2], list) else []
            self._change(known, changes, [key for key in map(as_name, gone) if key is not None])

    def _change(self, known: _Family, changes: Mapping[str, Value], gone: list[str]) -> None:
        known.known = True
        for key in gone:
            known.forget(key)
        for key, value in changes.items():
            known.set(key, value)
        for watch in list(known.watches):
            watch._tell(known.content, {*changes, *gone})
            if known.size > MAX_WATCH:
                watch._fail(DatabaseError(f"a watched family has more than {MAX_WATCH} bytes"))

    _handlers: dict[str, Callable[[Database, Message], None]] = {  # noqa: RUF012 (never changed)
        "g_found": _found,
        "g_reply": _replied,
        "g_chg1": _content,
        "g_chg2": _changes,
    }


def check_family(family: str) -> None:
    """Raises `DatabaseError` if programs may not use a family of this name."""
    if not family or family.startswith("'") or len(family.encode(errors="replace")) > MAX_FAMILY:
        raise DatabaseError(
            f"{family[:40]!r} is not a family: 1 to {MAX_FAMILY} bytes that do not begin with an apostrophe"
        )


def _decoded(text: str) -> Value:
    value: Value = json.loads(text)
    return value
