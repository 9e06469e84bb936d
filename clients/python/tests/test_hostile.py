"""What somebody who connects can send, and what becomes of it: the connection ends, and nothing else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aemp
from aemp.greeting import Greeting, Side, authentication_line, make_nonce

from .support import SECRET, Case, guarded


class Peer:
    """A peer made by hand, which can say anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, node: aemp.Node) -> Peer:
        host, _, port = node.listen_addresses[0].rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port), limit=2**20))

    async def handshake(self, name: str = "x", secret: str = SECRET, extra: str = "") -> None:
        line = f"aemp;1;{name};hmac_sha3_512;json{extra}".encode()
        own = Side(Greeting.parse(line), line, make_nonce())
        self.writer.write(own.text)
        line, nonce = [(await guarded(self.reader.readline())).removesuffix(b"\n") for _ in range(2)]
        theirs = Side(Greeting.parse(line), line, nonce)
        self.writer.write(authentication_line(secret.encode(), own, theirs) + b"\n")
        await guarded(self.reader.readline())

    def send(self, *message: object) -> None:
        self.writer.write(json.dumps(message).encode())

    async def ended(self) -> bool:
        """Whether the node has closed the connection without sending more than its greeting."""
        try:
            while await guarded(self.reader.read(65536)):
                pass
        except ConnectionError:
            pass
        finally:
            self.writer.transport.abort()
        return True


class TestHostile(Case):
    async def asyncSetUp(self) -> None:
        self.node = await self.start("a", listen=["127.0.0.1:0"])
        self.port = self.node.port()

    async def still_works(self) -> None:
        other = await self.start("honest", seeds=self.node.listen_addresses)
        await guarded(other.joined())
        other.send(self.port.id, "hello")
        self.assertEqual(await guarded(self.port.receive()), ["hello"])
        self.assertEqual(self.node.connected_nodes, ["honest"])

    async def test_garbage_before_trust(self) -> None:
        greeting = b"aemp;1;x;hmac_sha3_512;json\n"
        for data in (
            b"\0" * 100,
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\x16\x03\x01\x02\x00" * 1000,
            b"a" * 5000,
            b"aemp;1;x;hmac_sha3_512;json;" + b"a" * 5000,
            greeting + b"n" * 5000,
            greeting + b"nonce\n" + b"h" * 5000,
            greeting + b"nonce\nhmac_sha3_512;" + b"0" * 128 + b";json\n",
            greeting + b"nonce\ncleartext;" + SECRET.encode().hex().encode() + b";json\n",
            b"aemp;1;x;cleartext;json\nnonce\n",
            b"aemp;1;a;hmac_sha3_512;json\nnonce\n",
            b"aemp;1;x;hmac_sha3_512;json;role=s\nnonce\n",
        ):
            peer = await Peer.connect(self.node)
            peer.writer.write(data)
            peer.writer.write_eof()
            self.assertTrue(await peer.ended(), data[:40])
        await self.still_works()

    async def test_a_wrong_secret(self) -> None:
        peer = await Peer.connect(self.node)
        await peer.handshake(secret="another")
        self.assertTrue(await peer.ended())
        self.assertEqual(self.node.connected_nodes, [])
        other = await self.start("other", secret="another", seeds=self.node.listen_addresses, monitor_timeout=3.0)
        monitor = other.monitor("a#x")
        self.assertEqual((await guarded(monitor))[0], "transport_error")
        await self.still_works()

    async def test_what_a_node_says_is_not_echoed_into_trust(self) -> None:
        peer = await Peer.connect(self.node)
        greeting = await guarded(peer.reader.readline())
        nonce = await guarded(peer.reader.readline())
        peer.writer.write(greeting + nonce)
        self.assertTrue(await peer.ended())
        # Two listeners that somebody joins would both have accepted.
        other = await self.start("b", listen=["127.0.0.1:0"])
        one, two = await Peer.connect(self.node), await Peer.connect(other)

        async def join(source: Peer, sink: Peer) -> None:
            while data := await source.reader.read(4096):
                sink.writer.write(data)
            sink.writer.write_eof()

        await guarded(asyncio.gather(join(one, two), join(two, one)))
        self.assertEqual((self.node.connected_nodes, other.connected_nodes), ([], []))

    async def test_frames_that_end_the_connection(self) -> None:
        for data in (
            b"x",
            b"{}",
            b"[" * 100_000,
            b'["\xff"]',
            b"[}",
            b'["\\ud800"]',
            b'["",{"a"}]',
            b"[{}]",
            b"[1e999]",
        ):
            peer = await Peer.connect(self.node)
            await peer.handshake()
            peer.send(self.port.id.split("#")[1], "before")
            peer.writer.write(data)
            self.assertEqual(await guarded(self.port.receive()), ["before"])
            self.assertTrue(await peer.ended(), data[:40])
        await self.still_works()

    async def test_requests_that_are_refused_change_nothing(self) -> None:
        peer = await Peer.connect(self.node)
        await peer.handshake()
        own = self.port.id.split("#")[1]
        requests: list[list[Any]] = [
            ["mon1"],
            ["mon1", ""],
            ["mon1", {}],
            ["mon0", None],
            ["kil0"],
            ["kil1", ""],
            ["kil1", "x" * 5000],
            ["AnyEvent::MP::_spawn"],
            ["AnyEvent::MP::_spawn", "", "f"],
            ["AnyEvent::MP::_spawn", own, "f"],
            ["AnyEvent::MP::_spawn", own.split(".")[0] + ".999", "f"],
            ["AnyEvent::MP::DataConn::_expect"],
            ["snd"],
            ["snd", "no port id"],
            ["snd", {}],
            ["can"],
            ["time", []],
            ["eval", "1"],
            ["os::system", "true"],
            ["g_chg1", "f", {"x": 1}],
            ["g_found", "a", ["127.0.0.1:1"]],
            ["g_slave", {}],
            ["x_data", 1, "x"],
            [None, 1],
            [{}, 1],
            [[], 1],
            ["snd", "a"] * 33 + ["snd", self.port.id, "too far"],
            ["snd", "a"] * 1000 + ["snd", self.port.id, "too far"],
        ]
        for request in requests:
            peer.send("", *request)
        peer.send(own, "after")
        self.assertEqual(await guarded(self.port.receive()), ["after"])
        peer.send("", "eval", "1", self.port.id, "answer")
        self.assertEqual(await guarded(self.port.receive()), ["answer", "this node does not evaluate code"])
        peer.send("", *["snd", "a"] * 31, "snd", self.port.id, "far")
        self.assertEqual(await guarded(self.port.receive()), ["far"])
        self.assertIsNone(self.port.reason)
        self.assertEqual(self.node.connected_nodes, ["x"])
        peer.writer.transport.abort()

    async def test_a_peer_that_asks_twice_gets_two_answers(self) -> None:
        peer = await Peer.connect(self.node)
        await peer.handshake()
        name = self.port.id.split("#")[1]
        for _ in range(3):
            peer.send("", "mon1", name)
        peer.send("", "mon0", name)
        peer.send(name, "ready")
        await guarded(self.port.receive())
        self.port.kill("gone")
        text = ""
        while text.count('["","kil0"') < 2:
            text += (await guarded(peer.reader.read(4096))).decode()
        self.assertEqual(text.count(f'["","kil0","{name}","gone"]'), 2)
        peer.writer.transport.abort()

    async def test_somebody_who_greets_with_a_connected_id_does_not_break_the_connection(self) -> None:
        other = await self.start("b", seeds=self.node.listen_addresses)
        await guarded(other.joined())
        monitor = self.node.monitor("b")
        peer = await Peer.connect(self.node)
        await peer.handshake(name="b")
        self.assertTrue(await peer.ended())
        self.assertIsNone(monitor.reason)
        self.assertIsInstance((await guarded(other.call("a", "time")))[0], float)

    async def test_a_silent_peer_counts_as_dead(self) -> None:
        node = await self.start("quick", listen=["127.0.0.1:0"], monitor_timeout=2.0)
        peer = await Peer.connect(node)
        await peer.handshake(extra=f";role=c;inc={'0' * 32};hb=2")
        reason = await guarded(node.monitor("x"))
        self.assertEqual(reason[:2], ["transport_error", "x"])
        self.assertIn("no sign of life", str(reason[2]))
        peer.writer.transport.abort()
