"""Interop with the `aemp` command, as processes on loopback. Skipped by name where it is not built."""

from __future__ import annotations

import asyncio
import json
import signal
import unittest

import aemp

from .support import SECRET, Case, Process, binary, guarded, until, values

AEMP = binary()
SERVICES = "aemp::global,aemp::echo,aemp::sink"


@unittest.skipIf(AEMP is None, "the aemp command is not built: cargo build -p aemp-cli, or set AEMP_BIN")
class RustCase(Case):
    """A Rust node that is global, and the command line."""

    async def rust(
        self, name: str = "rust", listen: str = "127.0.0.1:0", seeds: str = "", services: str = SERVICES
    ) -> Process:
        process = await self.command(
            "run",
            "norc",
            "1",
            "nodeid",
            name,
            "secret",
            SECRET,
            "binds",
            listen,
            "services",
            services,
            "monitor_timeout",
            "3",
            *(["seeds", seeds] if seeds else []),
        )
        self.address = json.loads(await process.line())["listeners"][0]
        return process

    async def command(self, name: str, *arguments: str) -> Process:
        process = await Process.start(str(AEMP), name, "--json", *arguments, env={"AEMP_RC": "/dev/null"})
        self.addAsyncCleanup(process.kill)
        return process

    async def client(self, name: str, *arguments: str) -> Process:
        """One of the short-lived commands, in the network of the seed."""
        options = [f"--set=seeds={self.seed}", f"--set=secret={SECRET}", "--set=norc=1"]
        return await self.command(name, *options, *arguments)

    async def asyncSetUp(self) -> None:
        self.process = await self.rust()
        self.seed = self.address
        self.node = await self.start("py", listen=["127.0.0.1:0"], seeds=[self.seed], monitor_timeout=3.0)
        await guarded(self.node.joined())

    async def any(self, family: str) -> str:
        return await guarded(self.node.db.any(family))


class TestFromPython(RustCase):
    async def test_every_value_comes_back(self) -> None:
        echo = await self.any("aemp::echo")
        sent: list[aemp.Sendable] = [
            None,
            True,
            False,
            0,
            -1,
            2**63,
            2**64 - 1,
            -(2**63),
            0.5,
            1e300,
            "",
            "é€😀\0",
            [],
            [[1]],
            {},
            {"a": {"b": [None]}},
        ]
        self.assertEqual(await guarded(self.node.call(echo, *sent)), sent)
        self.assertEqual(await guarded(self.node.call(echo, b"\x00\xff", (1, 2))), ["\x00\xff", [1, 2]])

    async def test_messages_arrive_in_order_and_all(self) -> None:
        port, echo = self.node.port(), await self.any("aemp::echo")
        async with asyncio.timeout(30):
            for number in range(20_000):
                self.node.send(echo, number, port.id)
            for number in range(20_000):
                self.assertEqual(await port.receive(), [number])

    async def test_spawn_monitor_and_kill(self) -> None:
        port = self.node.spawn("rust", "aemp::echo")
        self.assertEqual(await guarded(self.node.call(port, "x")), ["x"])
        monitor = self.node.monitor(port)
        self.node.kill(port, "enough", 1)
        self.assertEqual(await guarded(monitor), ["enough", 1])
        self.assertEqual((await guarded(self.node.monitor(port)))[0], "enough")
        refused = self.node.monitor(self.node.spawn("rust", "no::such"))
        self.assertEqual((await guarded(refused))[0], "spawn_refused")
        self.assertEqual((await guarded(self.node.monitor("rust#nothing")))[0], "no_such_port")

    async def test_the_database_is_shared(self) -> None:
        port = self.node.port()
        self.node.db.register("pys", port, {"v": [1]})
        self.assertEqual(await guarded(self.node.db.family("pys")), {port.id: {"v": [1]}})
        async with self.node.db.watch("things") as watch:
            self.assertEqual(await guarded(anext(watch)), aemp.Change())
            entry = self.node.db.set("things", "k", 1)
            self.assertEqual(await guarded(anext(watch)), aemp.Change(added={"k": 1}))
            second = await self.start("py2", seeds=[self.seed])
            second.db.set("things", "other", "x")
            self.assertEqual(await guarded(anext(watch)), aemp.Change(added={"other": "x"}))
            self.node.db.set("things", "k", 2)
            self.assertEqual(await guarded(anext(watch)), aemp.Change(changed={"k": 2}))
            entry.delete()
            self.node.db.delete("things", "k")
            self.assertEqual(await guarded(anext(watch)), aemp.Change(deleted={"k": 2}))
            self.assertEqual(await guarded(second.db.keys("things")), ["other"])
            self.assertEqual(await guarded(second.db.values("things")), ["x"])
            await second.shutdown()
            self.assertEqual(await guarded(anext(watch)), aemp.Change(deleted={"other": "x"}))
        port.kill()
        async with self.node.db.watch("pys") as watch:
            async for change in watch:
                if change.deleted or not change.added:
                    break

    async def test_two_python_nodes_find_each_other_through_a_rust_seed(self) -> None:
        other = await self.start("other", listen=["127.0.0.1:0"], seeds=[self.seed])
        port = other.port()
        other.db.register("others", port)
        self.node.send(await self.any("others"), "direct")
        self.assertEqual(await guarded(port.receive()), ["direct"])
        self.assertIn("other", self.node.connected_nodes)
        self.assertEqual((await guarded(self.node.monitor("nobody#x")))[2], "no known address")


class TestFromRust(RustCase):
    async def test_call_and_send_of_the_command(self) -> None:
        async with self.node.port() as port:
            calling = await self.client("cal", port.id, "add", "[20, 22]")
            tag, *numbers, reply = await guarded(port.receive())
            self.assertEqual((tag, numbers), ("add", [[20, 22]]))
            port.send(str(reply), 42, "é")
            self.assertEqual(values(await calling.line()), [42, "é"])
            sending = await self.client("snd", port.id, "hello", '{"a":[null]}')
            self.assertEqual(await guarded(port.receive()), ["hello", {"a": [None]}])
            self.assertEqual(json.loads(await sending.line())["sent"], True)

    async def test_requests_to_the_node_port(self) -> None:
        self.assertIsInstance(values(await (await self.client("cal", "py", "time")).line())[0], float)

        @self.node.function("py::greet")
        async def greet(port: aemp.Port, name: str, reply: str) -> None:
            port.send(reply, f"hello {name}")

        self.assertEqual(values(await (await self.client("cal", "py", "py::greet", "rust")).line()), ["hello rust"])

    async def test_the_command_monitors_a_port(self) -> None:
        port = self.node.port()
        monitoring = await self.client("mon", port.id)
        name = port.id.split("#")[1]
        async with asyncio.timeout(30):
            while not self.node.table._watchers.get(name):
                await anext(aiter(self.node.events()))
                await asyncio.sleep(0.01)
        port.kill("because", {"x": 1})
        self.assertEqual(values(await monitoring.line()), ["because", {"x": 1}])

    async def test_the_command_shows_entries(self) -> None:
        self.node.db.set("pys", "k", [1, None])
        await guarded(self.node.db.keys("pys"))
        shown = await (await self.client("db", "pys")).output()
        self.assertEqual(json.loads(shown), {"key": "k", "value": [1, None]})


class TestLossOfRust(RustCase):
    async def test_kill_9_fires_monitors_and_a_restart_is_found(self) -> None:
        echo = await self.any("aemp::echo")
        order: list[str] = []
        self.node.monitor(echo, lambda reason: order.append(str(reason[0])))
        watch = self.node.db.watch("aemp::echo")
        self.assertEqual(list((await guarded(anext(watch))).added), [echo])
        down = asyncio.create_task(until(self.node, False, "rust"))
        await asyncio.sleep(0)
        await self.process.kill()
        await down
        self.assertEqual(order, ["transport_error"])
        self.node.send(echo, "into the void")
        self.process = await self.rust(listen=self.seed)
        change = await guarded(anext(watch))
        self.assertEqual(list(change.deleted), [echo])
        [again] = change.added
        self.assertEqual(await guarded(self.node.call(again, "x")), ["x"])
        self.assertEqual((await guarded(self.node.monitor(echo)))[0], "no_such_port")

    async def test_an_entry_leaves_with_a_killed_node(self) -> None:
        second = await self.rust("second", seeds=self.seed, services="aemp::sink")
        async with self.node.db.watch("aemp::sink") as watch:
            keys: set[str] = set()
            async with asyncio.timeout(30):
                while not any(key.startswith("second#") for key in keys):
                    keys |= set((await anext(watch)).added)
                await second.kill()
                deleted = (await anext(watch)).deleted
            self.assertTrue(all(key.startswith("second#") for key in deleted) and deleted)

    async def test_a_stopped_process_counts_as_dead(self) -> None:
        monitor = self.node.monitor("rust")
        self.process.signal(signal.SIGSTOP)
        self.addCleanup(self.process.signal, signal.SIGCONT)
        reason = await guarded(monitor)
        self.assertEqual(reason[:2], ["transport_error", "rust"])

    async def test_a_killed_python_node_is_noticed(self) -> None:
        monitoring = await self.client("mon", "py")
        async with asyncio.timeout(30):
            async for event in self.node.events():
                if event.up and event.node != "rust":
                    break
        await self.node.shutdown()
        self.assertEqual(values(await monitoring.line())[:2], ["transport_error", "py"])

    async def test_a_wrong_secret_is_refused_by_both(self) -> None:
        stranger = await self.start("stranger", secret="another", seeds=[self.seed], monitor_timeout=3.0)
        self.assertEqual((await guarded(stranger.monitor("rust")))[0], "transport_error")
        self.assertEqual(stranger.connected_nodes, [])
        echo = await self.any("aemp::echo")
        self.assertEqual(await guarded(self.node.call(echo, 1)), [1])

    async def test_shutdown_delivers(self) -> None:
        sink = await self.any("aemp::sink")
        second = await self.start("py2", seeds=[self.seed])
        for number in range(10_000):
            second.send(sink, "count", number)
        self.assertEqual(await guarded(second.shutdown()), [])
        self.assertEqual((await guarded(self.node.call(sink, "stats")))[0], 10_000)
