from __future__ import annotations

import json
import re
import unittest

from aemp.errors import HandshakeError
from aemp.greeting import Greeting, Side, authentication_line, check_greeting, make_nonce, own_greeting, verify_line

from .support import FIXTURES, ROOT, SECRET


def side(line: str, nonce: str) -> Side:
    return Side(Greeting.parse(line.encode()), line.encode(), nonce.encode())


class TestVector(unittest.TestCase):
    def test_the_vector_of_the_protocol_page_is_reproduced(self) -> None:
        section = (ROOT / "PROTOCOL.md").read_text().split("To check an implementation:")[1].split("\n## ")[0]
        blocks = re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)
        sender, receiver, expected = ([line.strip() for line in block.splitlines()] for block in blocks[:3])
        method, digest, _ = expected[0].split(";")
        line = authentication_line(SECRET.encode(), side(*sender), side(*receiver))
        self.assertEqual(line.decode().split(";")[:2], [method, digest])

    def test_recorded_handshakes_of_perl_are_reproduced(self) -> None:
        seen = 0
        for name in ("handshake_json", "handshake_cbor", "mon_kil_json", "db_slave_json"):
            session = json.loads((FIXTURES / "aemp-2.02" / f"{name}.json").read_text())
            for connection in session["connections"]:
                lines: dict[str, list[str]] = {}
                for entry in session["handshake"]:
                    if entry["conn"] == connection["conn"]:
                        lines.setdefault(entry["dir"], []).append(entry["line"])
                if len(lines) != 2:
                    continue
                first, second = lines.values()
                for one, other in ((first, second), (second, first)):
                    if len(one) < 3 or not one[2].startswith("hmac_sha3_512;"):
                        continue
                    sender, receiver = side(*one[:2]), side(*other[:2])
                    digest = authentication_line(SECRET.encode(), sender, receiver).decode().split(";")[1]
                    self.assertEqual(one[2].split(";")[1], digest, name)
                    if one[2].endswith(";json"):
                        verify_line(SECRET.encode(), receiver, sender, one[2].encode())
                    seen += 1
        self.assertGreater(seen, 5)


class TestGreeting(unittest.TestCase):
    def test_what_is_not_a_greeting_is_refused(self) -> None:
        for line in (
            b"",
            b"GET / HTTP/1.1",
            b"SSH-2.0-OpenSSH_9",
            b"\x16\x03\x01\x02\x00",
            b"aemp",
            b"aemp;1;n;a",
            b"aemp-;1;n;a;b",
            b"aemp;2;n;a;b",
            b"aemp;1;;a;b",
            b"aemp;1;a#b;a;b",
            b"aemp;1;a b;a;b",
            b"aemp;1;n\xe9;a;b",
            b"aemp;1;n;a;b;k=1;k=2",
        ):
            with self.subTest(line=line), self.assertRaises(HandshakeError):
                Greeting.parse(line)

    def test_a_greeting_survives_print_and_parse(self) -> None:
        greeting = Greeting("aemp", "n/1", ("a", "b"), ("json",), {"k": "a;b%c%3b", "x": ""})
        self.assertEqual(Greeting.parse(greeting.to_line()), greeting)

    def test_a_heartbeat_has_a_floor_and_a_ceiling(self) -> None:
        for text, seconds in (("0.04", 1.0), ("5e-324", 1.0), ("1.5", 1.5), ("30", 30.0), ("1e300", 86400.0)):
            self.assertEqual(Greeting.parse(f"aemp;1;n;a;b;hb={text}".encode()).heartbeat(), seconds)
        for text in ("0", "-1", "nan", "inf", "", "soon", "1s", "0x1", "1e400", "."):
            with self.subTest(text=text), self.assertRaises(HandshakeError):
                Greeting.parse(f"aemp;1;n;a;b;hb={text}".encode()).heartbeat()

    def own(self, dialled: bool = True) -> Side:
        greeting = own_greeting("me", "10.0.0.2:4040", dialled=dialled, incarnation="0" * 32, heartbeat=30)
        return Side(greeting, greeting.to_line(), make_nonce())

    def test_peers_that_must_not_be_trusted_are_refused(self) -> None:
        ok = "aemp;1;you;hmac_sha3_512;json"
        own = self.own()
        check_greeting(own, side(f"{ok};role=s;inc={'1' * 32}", "x"), local_address="10.0.0.1:1")
        check_greeting(own, side(f"{ok};peeraddr=10.0.0.1:1", "x"), local_address="10.0.0.1:1")
        check_greeting(own, side(f"{ok};peeraddr=9.9.9.9:1", "x"), local_address=None)
        for line, nonce in (
            ("aemp;1;me;hmac_sha3_512;json", "x"),
            ("aemp-dataconn;1;you;hmac_sha3_512;json", "x"),
            ("aemp;1;you;tls_sha3_512,cleartext;json", "x"),
            ("aemp;1;you;hmac_sha3_512;cbor,storable", "x"),
            (f"{ok};role=c;inc={'1' * 32}", "x"),
            (f"{ok};role=s;inc=1", "x"),
            (f"{ok};hb=never", "x"),
            (f"{ok};peeraddr=9.9.9.9:1", "x"),
            (ok, own.nonce.decode()),
        ):
            with self.subTest(line=line), self.assertRaises(HandshakeError):
                check_greeting(own, side(line, nonce), local_address="10.0.0.1:1")

    def test_a_peer_may_see_a_node_where_it_can_be_dialled(self) -> None:
        advertised = ["203.0.113.7:14040", "node.example:14040"]
        for dialled, local, seen_as, fits in (
            (False, "10.0.0.1:1", "203.0.113.7:14040", True),
            (False, "10.0.0.1:1", "[::ffff:203.0.113.7]:14040", True),
            (False, "10.0.0.1:1", "203.0.113.7:4040", False),
            (False, "10.0.0.1:1", "203.0.113.8:14040", False),
            # A Perl node that has dialled a name says the name.
            (False, "10.0.0.1:1", "Node.Example:14040", True),
            (False, "10.0.0.1:1", "node.example:4040", False),
            (False, "10.0.0.1:1", "other.example:14040", False),
            (False, "10.0.0.1:1", "nonsense", False),
            (False, "[::ffff:10.0.0.1]:1", "10.0.0.1:1", True),
            # Who dials all addresses of its own host reaches loopback.
            (False, "127.0.0.1:1", "0.0.0.0:1", True),
            (False, "10.0.0.1:1", "0.0.0.0:1", False),
            # Where a node dials from, address translation chooses the port.
            (True, "10.0.0.1:1", "203.0.113.7:50000", True),
            (True, "10.0.0.1:1", "203.0.113.8:50000", False),
        ):
            theirs = side(f"aemp;1;you;hmac_sha3_512;json;peeraddr={seen_as}", "x")
            with self.subTest(dialled=dialled, local=local, seen_as=seen_as):
                try:
                    check_greeting(self.own(dialled), theirs, local_address=local, advertised=advertised)
                    refused = False
                except HandshakeError:
                    refused = True
                self.assertEqual(refused, not fits)

    def test_a_wrong_line_proves_nothing(self) -> None:
        own, theirs = self.own(), side("aemp;1;you;hmac_sha3_512;json;role=s", "x")
        good = authentication_line(b"s", theirs, own)
        verify_line(b"s", own, theirs, good)
        for line in (
            b"",
            b";;",
            good[:-5],
            good.replace(b"json", b"cbor"),
            good.replace(b"hmac_sha3_512", b"cleartext"),
            authentication_line(b"s", own, theirs),
            authentication_line(b"other", theirs, own),
            b"hmac_sha3_512;\xff\xff;json",
        ):
            with self.subTest(line=line), self.assertRaises(HandshakeError):
                verify_line(b"s", own, theirs, line)
