"""The framing `json`: arrays one after the other, found and read within limits."""

from __future__ import annotations

import json
import math
import re

from .errors import MalformedError
from .values import MAX_DEPTH, MAX_FRAME, Message, Value, as_name

_SPACE = re.compile(rb"[ \t\r\n]*")
_OUTSIDE = re.compile(rb'[\[\]{}"]')
_INSIDE = re.compile(rb'["\\]')
_CLOSING = {ord("["): ord("]"), ord("{"): ord("}")}
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class FrameReader:
    """Cuts a stream of bytes into messages. After an error it must not be used again."""

    def __init__(self, max_frame: int = MAX_FRAME, max_depth: int = MAX_DEPTH) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._in_string = False
        self._open: list[int] = []
        self._max_frame = max_frame
        self._max_depth = max_depth

    def feed(self, data: bytes | bytearray) -> None:
        """Takes bytes as they come."""
        self._buffer += data

    def next(self) -> tuple[str, Message, int] | None:
        """Returns the next message with the port name and its size in bytes, or None if it is not complete.

        Raises `MalformedError` if what has come is not a message or over a limit.
        """
        end = self._find_end()
        if end is None:
            if self._at > self._max_frame:
                raise MalformedError(f"a frame is longer than {self._max_frame} bytes")
            return None
        if end > self._max_frame:
            raise MalformedError(f"a frame is longer than {self._max_frame} bytes")
        frame = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._at = 0
        name, values = decode_frame(frame)
        return name, values, len(frame)

    def _find_end(self) -> int | None:
        buffer = self._buffer
        if not self._at:
            space = _SPACE.match(buffer)
            if space and space.end():
                del buffer[: space.end()]
            if buffer and buffer[0] != ord("["):
                raise MalformedError("a message is not an array")
        while True:
            found = (_INSIDE if self._in_string else _OUTSIDE).search(buffer, self._at)
            if found is None:
                self._at = max(self._at, len(buffer))
                return None
            byte = buffer[found.start()]
            if self._in_string and byte == ord("\\"):
                if found.end() == len(buffer):
                    self._at = found.start()
                    return None
                self._at = found.end() + 1
                continue
            self._at = found.end()
            if byte == ord('"'):
                self._in_string = not self._in_string
            elif self._bracket(byte):
                return self._at

    def _bracket(self, byte: int) -> bool:
        """Counts a bracket; true if it ends the frame."""
        if byte in _CLOSING:
            if len(self._open) >= self._max_depth:
                raise MalformedError(f"a frame nests deeper than {self._max_depth} levels")
            self._open.append(_CLOSING[byte])
            return False
        if self._open.pop() != byte:
            raise MalformedError("a frame has the wrong bracket")
        return not self._open


def decode_frame(frame: bytes) -> tuple[str, Message]:
    """Returns port name and values of a frame. Raises `MalformedError`."""
    try:
        items: list[Value] = _decoder.decode(frame.decode())
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"a frame is not JSON: {error}") from None
    if _ESCAPED_SURROGATE.search(frame) and _has_surrogate(items):
        raise MalformedError("a frame has a string that is not Unicode")
    if not items:
        return "", []
    name = as_name(items[0])
    if name is None:
        raise MalformedError("the first element of a frame is not a port name")
    return name, items[1:]


def _has_surrogate(value: Value) -> bool:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if _SURROGATE.search(value):
                return True
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
    return False


def _integer(text: str) -> int | float:
    """An integer; beyond 64 bits a float, as with every other peer."""
    if len(text) <= 20:
        number = int(text)
        if -(2**63) <= number < 2**64:
            return number
    return _float(text)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number beyond the range of floats")
    return number


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


_decoder = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_constant)
