from __future__ import annotations

import random
import unittest

from aemp.framing import decode_frame
from aemp.outbox import ArmedMonitor, Outbox, OutboxLimits
from aemp.values import encode_frame


def monitor(owner: object = None) -> ArmedMonitor:
    return ArmedMonitor(owner, lambda reason: None)


def written(outbox: Outbox) -> list[object]:
    frames: list[object] = []
    while data := outbox.take(1):
        name, values = decode_frame(data)
        frames.append([name, *values])
    return frames


def message(*values: int | str) -> bytes:
    return encode_frame("p", values)


class TestOutbox(unittest.TestCase):
    def test_one_request_for_all_monitors_of_a_port(self) -> None:
        outbox, one, two = Outbox(), monitor(), monitor()
        outbox.add_monitor("p", one)
        outbox.send("p", message(1), None)
        outbox.add_monitor("p", two)
        outbox.remove_monitor("p", one)
        outbox.remove_monitor("p", two)
        outbox.remove_monitor("p", two)
        self.assertEqual(written(outbox), [["", "mon1", "p"], ["p", 1], ["", "mon0", "p"]])

    def test_a_node_is_monitored_without_a_request(self) -> None:
        outbox, one = Outbox(), monitor()
        outbox.add_monitor("", one)
        self.assertTrue(outbox.is_empty and outbox.has_work)
        self.assertEqual(outbox.break_now(), [one])

    def test_after_a_break_nothing_passes_until_every_owner_was_told(self) -> None:
        outbox, one, two = Outbox(), monitor(), monitor()
        for each in (one, two):
            outbox.add_monitor("p", each)
        outbox.send("p", message("lost"), None)
        self.assertEqual(set(outbox.break_now()), {one, two})
        outbox.send("p", message("dropped"), None)
        outbox.send("q", encode_frame("q", ["passes"]), None)
        outbox.told("p", one)
        outbox.send("p", message("dropped"), None)
        outbox.told("p", two)
        outbox.send("p", message("passes"), None)
        self.assertEqual(written(outbox), [["q", "passes"], ["p", "passes"]])

    def test_a_new_monitor_waits_and_holds_what_follows(self) -> None:
        outbox, first, slow, again = Outbox(), monitor("A"), monitor("B"), monitor("A")
        outbox.add_monitor("p", first)
        outbox.add_monitor("p", slow)
        outbox.break_now()
        written(outbox)
        outbox.told("p", first)
        outbox.send("p", message("dropped"), "A")
        outbox.add_monitor("p", again)
        outbox.send("p", message("held"), "A")
        outbox.send("p", message("from somebody who does not know"), "B")
        outbox.send("p", message("held, too"), "C")
        self.assertEqual(written(outbox), [])
        outbox.told("p", slow)
        self.assertEqual(written(outbox), [["", "mon1", "p"], ["p", "held"], ["p", "held, too"]])

    def test_a_withdrawn_monitor_opens_its_gate(self) -> None:
        outbox, one = Outbox(), monitor()
        outbox.add_monitor("p", one)
        outbox.break_now()
        outbox.remove_monitor("p", one)
        outbox.send("p", message(1), None)
        self.assertEqual(written(outbox), [["p", 1]])

    def test_what_is_held_is_limited_and_the_hole_is_told(self) -> None:
        outbox, slow, again = Outbox(OutboxLimits(held=1000)), monitor("B"), monitor("A")
        outbox.add_monitor("p", slow)
        outbox.break_now()
        outbox.add_monitor("p", again)
        for number in range(10):
            outbox.send("p", message(number), "A")
        self.assertEqual(outbox.told("p", slow), [again])
        outbox.send("p", message("before it is told"), "C")
        outbox.told("p", again)
        outbox.send("p", message("after"), "A")
        self.assertEqual(written(outbox), [["p", 0], ["p", 1], ["p", 2], ["p", "after"]])

    def test_a_death_does_not_overtake_the_last_words(self) -> None:
        outbox, slow, again = Outbox(), monitor("B"), monitor("A")
        outbox.add_monitor("p", slow)
        outbox.break_now()
        outbox.add_monitor("p", again)
        outbox.send("p", message("last words"), "port")
        outbox.report_exit("mine", [], "port")
        outbox.report_exit("other", [], "other")
        self.assertEqual(written(outbox), [["", "kil0", "other"]])
        outbox.told("p", slow)
        self.assertEqual(written(outbox), [["", "mon1", "p"], ["p", "last words"], ["", "kil0", "mine"]])

    def test_passing_the_limit_is_a_break(self) -> None:
        outbox = Outbox(OutboxLimits(not_connected=100))
        outbox.send("p", message("a" * 60), None)
        self.assertFalse(outbox.overflowed)
        outbox.send("p", message("a" * 60), None)
        self.assertTrue(outbox.overflowed)
        outbox.break_now()
        self.assertFalse(outbox.overflowed)
        self.assertEqual(written(outbox), [])


class _Sender:
    """Somebody who sends numbers, monitors the port, and begins a new segment whenever a monitor tells of a loss."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.segment = 0
        self.number = 0
        self.monitors: list[ArmedMonitor] = []
        self.news: list[ArmedMonitor] = []


class TestPromise(unittest.TestCase):
    """Random histories: each sender's messages arrive without a hole between two pieces of its own news."""

    def test_no_silent_hole(self) -> None:
        for seed in range(400):
            with self.subTest(seed=seed):
                self.run_history(random.Random(seed))

    def run_history(self, dice: random.Random) -> None:
        outbox = Outbox(OutboxLimits(held=dice.choice([600, 1200, 10**6])))
        senders = [_Sender(name) for name in "ABC"]
        arrived: dict[str, list[tuple[int, int]]] = {sender.name: [] for sender in senders}
        complete: set[tuple[str, int]] = set()
        flight: list[bytes] = []
        """What was written and has not arrived: a break loses it."""

        def fired(monitors: list[ArmedMonitor]) -> None:
            for sender in senders:
                sender.news += [each for each in sender.monitors if each in monitors]
                sender.monitors = [each for each in sender.monitors if each not in monitors]

        def tell(sender: _Sender) -> None:
            news = sender.news.pop(dice.randrange(len(sender.news)))
            fired(outbox.told("p", news))
            sender.segment, sender.number = sender.segment + 1, 0

        def deliver(count: int) -> None:
            while data := outbox.take(1):
                flight.append(data)
            for data in flight[:count]:
                name, values = decode_frame(data)
                if name == "p":
                    sender, segment, number = values
                    assert isinstance(sender, str) and isinstance(segment, int) and isinstance(number, int)
                    arrived[sender].append((segment, number))
            del flight[:count]

        for _ in range(300):
            sender = dice.choice(senders)
            match dice.randrange(10):
                case 0:
                    if len(sender.monitors) < 3:
                        # From here on the promise holds: what was sent before without a monitor does not count.
                        sender.segment, sender.number = sender.segment + 1, 0
                        each = monitor(sender.name)
                        sender.monitors.append(each)
                        outbox.add_monitor("p", each)
                case 1 if dice.random() < 0.4:
                    fired(outbox.break_now())
                    flight.clear()
                case 2 | 3 if sender.news:
                    tell(sender)
                case 4:
                    deliver(dice.randrange(20))
                case _ if sender.monitors or sender.news:
                    outbox.send("p", encode_frame("p", [sender.name, sender.segment, sender.number]), sender.name)
                    sender.number += 1
        while any(sender.news for sender in senders):
            tell(next(sender for sender in senders if sender.news))
        deliver(10**6)
        for sender in senders:
            if sender.monitors:
                complete.add((sender.name, sender.segment))
        for sender in senders:
            segments: dict[int, list[int]] = {}
            for segment, number in arrived[sender.name]:
                self.assertGreaterEqual(segment, max(segments, default=0), "an older segment after a newer one")
                segments.setdefault(segment, []).append(number)
            for segment, numbers in segments.items():
                self.assertEqual(numbers, list(range(len(numbers))), f"{sender.name} has a hole in {segment}")
            if (sender.name, sender.segment) in complete:
                self.assertEqual(len(segments.get(sender.segment, [])), sender.number, "a loss was not told")
