from __future__ import annotations

import json
import unittest

from aemp.errors import EncodeError, MalformedError
from aemp.framing import FrameReader, decode_frame
from aemp.values import Sendable, encode_frame

from .support import FIXTURES


def read(data: bytes, step: int = 0, **limits: int) -> list[object]:
    reader = FrameReader(**limits)
    frames: list[object] = []
    step = step or max(1, len(data))
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
        while (frame := reader.next()) is not None:
            frames.append([frame[0], *frame[1]])
    return frames


class TestReading(unittest.TestCase):
    def test_frames_are_found_wherever_the_stream_is_cut(self) -> None:
        frames: list[object] = [
            ["p", 'a "\\ ]', {"k": [1, {"é€😀": None}]}],
            ["", "mon1", "x"],
            ["q", -1.5e3, True],
            [""],
        ]
        data = b" \n".join(json.dumps(frame, ensure_ascii=bool(i % 2)).encode() for i, frame in enumerate(frames))
        for step in range(1, len(data) + 1):
            self.assertEqual(read(data + b"\r\n", step), frames)

    def test_recorded_messages_of_perl_are_read(self) -> None:
        for path in sorted((FIXTURES / "aemp-2.02").glob("*json.json")):
            session = json.loads(path.read_text())
            for message in session.get("messages", ()):
                if message["framing"] == "json":
                    name, values = decode_frame(bytes.fromhex(message["hex"]))
                    # An empty array is a message to the node port without values.
                    self.assertEqual([name, *values], message["value"] or [""], path.name)

    def test_the_first_malformed_frame_is_an_error(self) -> None:
        for data in (
            b"{}",
            b"x",
            b'"a"',
            b"[}",
            b'["a" "b"]',
            b'["a",]',
            b'["\xff"]',
            b'["a\nb"]',
            b'["\\ud800"]',
            b'["a",{"\\uDC00":1}]',
            b"[1e999]",
            b"[NaN]",
            b"[Infinity]",
            b"[01]",
            b"[true]",
            b"[[]]",
            b'["a",nul]',
            b'["\\x"]',
            b'["' + b"9" * 5000 + b'",[' + b"9" * 5000 + b"]]",
        ):
            with self.subTest(data=data[:40]), self.assertRaises(MalformedError):
                read(data)

    def test_limits_hold_before_a_frame_is_complete(self) -> None:
        with self.assertRaises(MalformedError):
            read(b'["' + b"a" * 200, 7, max_frame=100)
        with self.assertRaises(MalformedError):
            read(b"[" * 513)
        self.assertEqual(len(read(b'["a",' + b"[" * 511 + b"]" * 512)), 1)
        with self.assertRaises(MalformedError):
            read(b'["a",' + b"[" * 100_000)

    def test_names_are_taken_as_perl_writes_them(self) -> None:
        self.assertEqual(decode_frame(b'[null,"snd"]'), ("", ["snd"]))
        self.assertEqual(decode_frame(b"[12]"), ("12", []))
        self.assertEqual(decode_frame(b"[]"), ("", []))

    def test_integers_beyond_64_bits_are_floats(self) -> None:
        for text, value in (
            (b"18446744073709551615", 2**64 - 1),
            (b"-9223372036854775808", -(2**63)),
            (b"18446744073709551616", float(2**64)),
            (b"-9223372036854775809", -float(2**63)),
        ):
            read_value = decode_frame(b'["p",' + text + b"]")[1][0]
            self.assertEqual((read_value, type(read_value)), (value, type(value)))


class TestWriting(unittest.TestCase):
    def test_values_arrive_as_they_were(self) -> None:
        values: list[Sendable] = [None, True, 0, 2**64 - 1, -(2**63), 0.1, "é€😀\0", [], {}, {"a": [{"b": None}]}]
        self.assertEqual(decode_frame(encode_frame("p", values)), ("p", values))

    def test_bytes_are_code_points_and_tuples_lists(self) -> None:
        self.assertEqual(
            decode_frame(encode_frame("p", [bytes(range(256)), (1, (2,))])),
            ("p", ["".join(map(chr, range(256))), [1, [2]]]),
        )

    def test_what_has_no_form_is_an_error(self) -> None:
        nested: list[Sendable] = []
        for _ in range(512):
            nested = [nested]
        circle: list[object] = []
        circle.append(circle)
        for value in (
            float("nan"),
            float("inf"),
            2**64,
            -(2**63) - 1,
            {1: 2},
            {"a": object()},
            "\ud800",
            nested,
            circle,
            {1, 2},
        ):
            with self.subTest(value=type(value)), self.assertRaises(EncodeError):
                encode_frame("p", [value])  # type: ignore[list-item]
        with self.assertRaises(EncodeError):
            encode_frame("p", ["a" * (64 * 1024 * 1024)])
