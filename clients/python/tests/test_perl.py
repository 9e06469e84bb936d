"""Interop with AnyEvent::MP 2.02. Skipped by name unless AEMP_PERL_LIB names the folder with AnyEvent/MP.pm."""

from __future__ import annotations

import asyncio
import json
import os
import unittest
from typing import Any

import aemp

from .support import ROOT, SECRET, Case, Process, Relay, guarded, until, values

LIBRARY = os.environ.get("AEMP_PERL_LIB")


class Perl:
    """A Perl node: lines of Perl in, events out."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.binds: list[str] = []
        self._waiting: list[list[Any]] = []

    @classmethod
    async def start(cls, name: str, **settings: Any) -> Perl:
        config = {"nodeid": name, "secret": SECRET, "binds": ["127.0.0.1:0"], "seeds": [], **settings}
        peer = ROOT / "interop/peer.pl"
        env = {"PERL5LIB": LIBRARY or "", "PERL_ANYEVENT_MP_RC": "/dev/null"}
        perl = cls(await Process.start("perl", str(peer), json.dumps(config), env=env))
        perl.binds = (await perl.event("ready"))[1]
        return perl

    async def event(self, name: str) -> list[Any]:
        for at, event in enumerate(self._waiting):
            if event[0] == name:
                return self._waiting.pop(at)[1:]
        while (event := values(await self.process.line()))[0] != name:
            assert event[0] != "failed", event
            self._waiting.append(event)
        return event[1:]

    async def run(self, code: str) -> None:
        await self.process.write(code.replace("\n", " ") + "\n")

    async def up(self, node: str) -> None:
        while (await self.event("up"))[0] != node:
            pass


@unittest.skipIf(LIBRARY is None, "AEMP_PERL_LIB is not set: no AnyEvent::MP")
class PerlCase(Case):
    async def start_perl(self, name: str = "perl", **settings: Any) -> Perl:
        perl = await Perl.start(name, **settings)
        self.addAsyncCleanup(perl.process.kill)
        return perl


class TestPerlSeed(PerlCase):
    """The Perl node is global, and the Python node its client."""

    async def asyncSetUp(self) -> None:
        # A node whose seed is itself becomes global.
        self.perl = await self.start_perl()
        self.node = await self.start("py", listen=["127.0.0.1:0"], seeds=self.perl.binds)
        await guarded(self.node.joined())

    async def test_values_calls_and_order(self) -> None:
        echo = self.node.spawn("perl", "::echo")
        sent: list[aemp.Sendable] = [None, 0, -1, 2**53, 0.5, "", "é", "€😀\0", [], [[1]], {}, {"a": {"b": [None]}}]
        self.assertEqual(await guarded(self.node.call(echo, *sent)), sent)
        self.assertEqual(await guarded(self.node.call(echo, b"\x00\xff")), ["\x00\xff"])
        counter = self.node.spawn("perl", "::counter")
        for number in range(20_000):
            self.node.send(counter, number)
        self.assertEqual((await guarded(self.node.call(counter, "end")))[0], 20_000)

    async def test_monitor_kill_and_failing_spawn(self) -> None:
        echo = self.node.spawn("perl", "::echo")
        monitor = self.node.monitor(echo)
        self.assertEqual(await guarded(self.node.call(echo, 1)), [1])
        self.node.kill(echo, "enough", [1])
        self.assertEqual(await guarded(monitor), ["enough", [1]])
        for function in ("::dying", "::without_receiver", "::missing"):
            monitor = self.node.monitor(self.node.spawn("perl", function))
            self.assertNotEqual(await guarded(monitor), [], function)

    async def test_perl_sends_monitors_and_kills(self) -> None:
        port = self.node.port()
        await self.perl.run(
            f"my $p = {port.id!r}; mon $p, sub {{ ev (gone => @_) }}; snd $p, 'hi', [1, {{ a => 'x' }}], 'é'"
        )
        message = await guarded(port.receive())
        self.assertEqual(message[:2], ["hi", [1, {"a": "x"}]])
        port.kill("because", 5)
        self.assertEqual(await self.perl.event("gone"), ["because", 5])
        other = self.node.port()
        monitor = self.node.monitor(other.id)
        await self.perl.run(f"kil {other.id!r}, 'from perl'")
        self.assertEqual(await guarded(monitor), ["from perl"])

    async def test_perl_calls_and_spawns_python(self) -> None:
        @self.node.function("py::adder")
        async def adder(port: aemp.Port, start: object) -> None:
            async for message in port:
                *numbers, reply = message
                port.send(str(reply), int(str(start)) + sum(int(str(number)) for number in numbers))

        await self.perl.run("my $p = spawn 'py', 'py::adder', 40; cal $p, 1, 1, sub { ev (sum => @_) }; $main::p = $p")
        self.assertEqual(await self.perl.event("sum"), [42])
        await self.perl.run("mon $main::p, sub { ev (died => @_) }; snd $main::p, 'x', 'y'")
        self.assertEqual((await self.perl.event("died"))[0], "die")

    async def test_the_database_is_shared(self) -> None:
        async with self.node.db.watch("things") as watch:
            self.assertEqual(await guarded(anext(watch)), aemp.Change())
            await self.perl.run("$main::g = db_set things => k => [1]")
            self.assertEqual(await guarded(anext(watch)), aemp.Change(added={"k": [1]}))
            self.node.db.set("things", "mine", "x")
            self.assertEqual(await guarded(anext(watch)), aemp.Change(added={"mine": "x"}))
            await self.perl.run("db_del things => 'k'")
            self.assertEqual(await guarded(anext(watch)), aemp.Change(deleted={"k": [1]}))
        await self.perl.run("watch 'things'")
        self.assertEqual((await self.perl.event("told"))[0], {"mine": "x"})
        self.assertEqual(await guarded(self.node.db.family("things")), {"mine": "x"})

    async def test_a_registered_port_is_found_until_it_dies(self) -> None:
        await self.perl.run("watch 'workers'")
        self.assertEqual((await self.perl.event("told"))[0], {})
        port = self.node.port()
        self.node.db.register("workers", port)
        self.assertEqual((await self.perl.event("told"))[0], {port.id: None})
        await self.perl.run("db_keys workers => sub { snd $_[0][0], 'found' }")
        self.assertEqual(await guarded(port.receive()), ["found"])
        port.kill("enough")
        self.assertEqual((await self.perl.event("told"))[0], {})

    async def test_a_killed_perl_node_fires_monitors(self) -> None:
        monitor = self.node.monitor(self.node.spawn("perl", "::echo"))
        await guarded(self.node.call("perl", "time"))
        await self.perl.process.kill()
        self.assertEqual((await guarded(monitor))[:2], ["transport_error", "perl"])

    async def test_perl_hears_of_a_shutdown(self) -> None:
        await self.perl.event("up")
        await self.perl.run("mon 'py', sub { ev (lost => @_) }")
        await self.perl.run("snd 'py', 'devnull'; ev ('done')")
        await self.perl.event("done")
        self.assertEqual(await guarded(self.node.shutdown()), [])
        self.assertEqual((await self.perl.event("lost"))[:2], ["transport_error", "py"])


class TestPerlDials(PerlCase):
    async def test_perl_dials_a_python_node(self) -> None:
        perl = await self.start_perl()
        node = await self.start("py", listen=["127.0.0.1:0"], seeds=perl.binds)
        other = await self.start("py2", listen=["127.0.0.1:0"], seeds=perl.binds)
        await guarded(asyncio.gather(node.joined(), other.joined()))
        await until(other, True, "perl")
        port = other.port()
        node.send(port.id, "over perl's database")
        self.assertEqual(await guarded(port.receive()), ["over perl's database"])

    async def test_perl_dials_a_python_node_by_the_name_that_it_advertises(self) -> None:
        hub = await self.start_perl("hub")
        relay = Relay("127.0.0.1:0")
        self.addCleanup(relay.stop)
        name = "localhost:" + (await relay.start()).rpartition(":")[2]
        node = await self.start("py", listen=["127.0.0.1:0"], advertise=[name], seeds=hub.binds)
        relay.lead_to(node.listen_addresses[0])
        await guarded(node.joined())
        far = await self.start_perl("far", seeds=hub.binds)
        await far.up("hub")
        port = node.port()
        await far.run(f"cal {port.id!r}, 'over a name', sub {{ ev (answer => @_) }}")
        word, reply = await guarded(port.receive())
        self.assertEqual(word, "over a name")
        port.send(str(reply), "heard")
        self.assertEqual(await far.event("answer"), ["heard"])


class TestPerlComesBack(PerlCase):
    async def test_monitors_fire_before_the_connection_is_made_again(self) -> None:
        perl = await self.start_perl()
        relay = Relay(perl.binds[0])
        self.addCleanup(relay.stop)
        # The relay is seen instead of the node, as behind address translation.
        node = await self.start("py", seeds=[await relay.start()], verify_peeraddr=False)
        await guarded(node.joined())
        echo = node.spawn("perl", "::echo")
        own = node.port()
        for number in range(3):
            self.assertEqual(await guarded(node.call(echo, number)), [number])
            happened: list[str] = []
            node.monitor(echo, lambda reason: happened.append(str(reason[0])))  # noqa: B023
            await perl.run(f"mon {own.id!r}, sub {{ ev (lost => @_) }}; snd {own.id!r}, 'monitored'")
            self.assertEqual(await guarded(own.receive()), ["monitored"])
            events = node.events()
            self.assertTrue((await guarded(anext(events))).up)
            relay.cut()
            self.assertFalse((await guarded(anext(events))).up)
            self.assertEqual(happened, ["transport_error"])
            self.assertEqual((await perl.event("lost"))[:2], ["transport_error", "py"])
            self.assertTrue((await guarded(anext(events))).up)
        # Neither port has died.
        self.assertEqual(await guarded(node.call(echo, "again")), ["again"])
        await perl.run(f"snd {own.id!r}, 'again'")
        self.assertEqual(await guarded(own.receive()), ["again"])
