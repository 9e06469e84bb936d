"""Values of messages, and messages as JSON frames."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from .errors import EncodeError

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
"""What a message that arrives is made of."""

Sendable: TypeAlias = "bool | int | float | str | bytes | Sequence[Sendable] | Mapping[str, Sendable] | None"
"""What can be sent. Bytes arrive as the string of the code points 0 to 255."""

Message: TypeAlias = "list[Value]"
"""A list of values. By custom the first one is a string, the tag."""

Reason: TypeAlias = "list[Value]"
"""Why a port died: empty for a normal death."""

MAX_FRAME = 64 * 1024 * 1024
"""The limit of a frame, in bytes."""

MAX_DEPTH = 512
"""How deeply values may nest, the list of the message included."""

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))


def encode_frame(name: str, values: Sequence[Sendable]) -> bytes:
    """Returns a message to the port of this name as a frame.

    Raises `EncodeError` if a value has no form in JSON, nests too deeply or the frame is too large.
    """
    try:
        frame = _encoder.encode([name, *(_plain(value, 2) for value in values)]).encode()
    except UnicodeEncodeError:
        raise EncodeError("a string with a lone surrogate cannot be sent") from None
    except RecursionError:
        raise EncodeError("the values nest too deeply for the stack at this point") from None
    if len(frame) > MAX_FRAME:
        raise EncodeError(f"the message has {len(frame)} bytes; the limit is {MAX_FRAME}")
    return frame


def encoded(value: Sendable) -> str:
    """Returns a value as JSON, in one form for equal values."""
    return json.dumps(_plain(value, 2), ensure_ascii=False, allow_nan=False, sort_keys=True)


def as_name(value: Value) -> str | None:
    """Returns what a peer sent where a string is expected: null is the empty one, a number its digits."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return format(value, ".15g") if isinstance(value, float) else str(value)
    return None


def _plain(value: Sendable, depth: int) -> object:  # noqa: C901 (one line a type)
    """Checks a value, and copies it into what the JSON encoder takes. `depth` is the level of what is in it."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise EncodeError(f"the integer {value:#x} has more than 64 bits; send it as a string")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise EncodeError(f"{value} has no form in JSON")
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("latin-1")
    if depth > MAX_DEPTH:
        raise EncodeError(f"the values nest deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        copied: dict[str, object] = {}
        for key, entry in value.items():
            if not isinstance(key, str):
                raise EncodeError(f"a key of a map is {key!r}; only strings can be keys")
            copied[key] = _plain(entry, depth + 1)
        return copied
    if isinstance(value, Sequence):
        items: list[object] = []
        for item in value:
            items.append(_plain(item, depth + 1))
        return items
    raise EncodeError(f"a value of the type {type(value).__name__} cannot be sent")
