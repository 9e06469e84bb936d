"""Interop with AnyEvent::MP 2.02. Skipped by name unless AEMP_PERL_LIB names the folder with AnyEvent/MP.pm."""

from __future__ import annotations

import asyncio
import json
import os
import unittest
from typing import Any

import aemp

from .support import ROOT, SECRET, Case, Process, guarded, until, values

LIBRARY = os.environ.get("AEMP_PERL_LIB")


@unittest.skipIf(LIBRARY is None, "AEMP_PERL_LIB is not set: no AnyEvent::MP")
class PerlCase(Case):
    async def perl(self, name: str = "perl", **settings: Any) -> None:
        config = {"nodeid": name, "secret": SECRET, "binds": ["127.0.0.1:0"], "seeds": [], **settings}
        self.process = await Process.start(
            "perl",
            str(ROOT / "interop/peer.pl"),
            json.dumps(config),
            env={"PERL5LIB": LIBRARY or "", "PERL_ANYEVENT_MP_RC": "/dev/null"},
        )
        self.addAsyncCleanup(self.process.kill)
        self.waiting: list[list[Any]] = []
        self.binds: list[str] = (await self.event("ready"))[1]

    async def event(self, name: str) -> list[Any]:
        for at, event in enumerate(self.waiting):
            if event[0] == name:
                return self.waiting.pop(at)[1:]
        while (event := values(await self.process.line()))[0] != name:
            self.assertNotEqual(event[0], "failed", event)
            self.waiting.append(event)
        return event[1:]

    async def run_code(self, code: str) -> None:
        await self.process.write(code.replace("\n", " ") + "\n")


class TestPerlSeed(PerlCase):
    """The Perl node is global, and the Python node its client."""

    async def asyncSetUp(self) -> None:
        # A node whose seed is itself becomes global.
        await self.perl(binds=["127.0.0.1:0"])
        self.node = await self.start("py", listen=["127.0.0.1:0"], seeds=self.binds)
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
        await self.run_code(
            f"my $p = {port.id!r}; mon $p, sub {{ ev (gone => @_) }}; snd $p, 'hi', [1, {{ a => 'x' }}], 'é'"
        )
        message = await guarded(port.receive())
        self.assertEqual(message[:2], ["hi", [1, {"a": "x"}]])
        port.kill("because", 5)
        self.assertEqual(await self.event("gone"), ["because", 5])
        other = self.node.port()
        monitor = self.node.monitor(other.id)
        await self.run_code(f"kil {other.id!r}, 'from perl'")
        self.assertEqual(await guarded(monitor), ["from perl"])

    async def test_perl_calls_and_spawns_python(self) -> None:
        @self.node.function("py::adder")
        async def adder(port: aemp.Port, start: object) -> None:
            async for message in port:
                *numbers, reply = message
                port.send(str(reply), int(str(start)) + sum(int(str(number)) for number in numbers))

        await self.run_code("my $p = spawn 'py', 'py::adder', 40; cal $p, 1, 1, sub { ev (sum => @_) }; $main::p = $p")
        self.assertEqual(await self.event("sum"), [42])
        await self.run_code("mon $main::p, sub { ev (died => @_) }; snd $main::p, 'x', 'y'")
        self.assertEqual((await self.event("died"))[0], "die")

    async def test_the_database_is_shared(self) -> None:
        async with self.node.db.watch("things") as watch:
            self.assertEqual(await guarded(anext(watch)), aemp.Change())
            await self.run_code("$main::g = db_set things => k => [1]")
            self.assertEqual(await guarded(anext(watch)), aemp.Change(added={"k": [1]}))
            self.node.db.set("things", "mine", "x")
            self.assertEqual(await guarded(anext(watch)), aemp.Change(added={"mine": "x"}))
            await self.run_code("db_del things => 'k'")
            self.assertEqual(await guarded(anext(watch)), aemp.Change(deleted={"k": [1]}))
        await self.run_code("watch 'things'")
        self.assertEqual((await self.event("told"))[0], {"mine": "x"})
        self.assertEqual(await guarded(self.node.db.family("things")), {"mine": "x"})

    async def test_a_killed_perl_node_fires_monitors(self) -> None:
        monitor = self.node.monitor(self.node.spawn("perl", "::echo"))
        await guarded(self.node.call("perl", "time"))
        await self.process.kill()
        self.assertEqual((await guarded(monitor))[:2], ["transport_error", "perl"])

    async def test_perl_hears_of_a_shutdown(self) -> None:
        await self.event("up")
        await self.run_code("mon 'py', sub { ev (lost => @_) }")
        await self.run_code("snd 'py', 'devnull'; ev ('done')")
        await self.event("done")
        self.assertEqual(await guarded(self.node.shutdown()), [])
        self.assertEqual((await self.event("lost"))[:2], ["transport_error", "py"])


class TestPerlDials(PerlCase):
    async def test_perl_dials_a_python_node(self) -> None:
        await self.perl()
        node = await self.start("py", listen=["127.0.0.1:0"], seeds=self.binds)
        other = await self.start("py2", listen=["127.0.0.1:0"], seeds=self.binds)
        await guarded(asyncio.gather(node.joined(), other.joined()))
        await until(other, True, "perl")
        port = other.port()
        node.send(port.id, "over perl's database")
        self.assertEqual(await guarded(port.receive()), ["over perl's database"])
