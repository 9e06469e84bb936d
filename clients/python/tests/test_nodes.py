from __future__ import annotations

import asyncio
import gc
from unittest import mock

import aemp

from .support import GUARD, Case, Relay, guarded, until


class TestMessages(Case):
    async def test_calls_both_ways_and_own_ports(self) -> None:
        a, b = await self.pair()
        for here, there in ((a, b), (b, a), (a, a)):
            async with there.port() as port:

                async def serve(port: aemp.Port = port) -> None:
                    async for message in port:
                        port.send(str(message.pop()), *message)

                task = asyncio.create_task(serve())
                self.assertEqual(await guarded(here.call(port.id, "x", [1], None)), ["x", [1], None])
                port.kill()
                await guarded(task)

    async def test_order_is_kept(self) -> None:
        a, b = await self.pair()
        port = a.port()
        for number in range(20_000):
            b.send(port.id, number)
        await guarded(b.ready(port.id))
        async with asyncio.timeout(GUARD):
            for number in range(20_000):
                self.assertEqual(await port.receive(), [number])

    async def test_selective_receive_leaves_the_rest(self) -> None:
        (node,) = [await self.start("a")]
        port = node.port()
        for number in range(5):
            node.send(port.id, number)
        self.assertEqual(await guarded(port.receive(lambda message: message[0] == 3)), [3])
        waiting = asyncio.create_task(port.receive(lambda message: message[0] == "later"))
        await asyncio.sleep(0)
        node.send(port.id, "later")
        self.assertEqual(await guarded(waiting), ["later"])
        self.assertEqual([await guarded(port.receive()) for _ in range(4)], [[0], [1], [2], [4]])

    async def test_a_message_is_a_copy(self) -> None:
        node = await self.start("a")
        port, values = node.port(), [1, 2]
        node.send(port.id, values, (3,), b"\xe9")
        values.append(3)
        self.assertEqual(await guarded(port.receive()), [[1, 2], [3], "é"])

    async def test_errors_come_before_anything_is_sent(self) -> None:
        node = await self.start("a")
        port = node.port()
        with self.assertRaises(aemp.EncodeError):
            node.send(port.id, {1})  # type: ignore[arg-type]
        for wrong in ("", "a b#c", "é#x", "#x"):
            with self.assertRaises(aemp.InvalidNameError):
                node.send(wrong, 1)
        with self.assertRaises(aemp.CallTimeoutError):
            await node.call(port.id, "never answered", timeout=0)
        with self.assertRaises(aemp.CallError) as error:
            await guarded(node.call("a#nothing", 1))
        self.assertEqual(error.exception.reason[0], "no_such_port")

    async def test_a_full_mailbox_kills_its_port(self) -> None:
        node = await self.start("a")
        port = node.port()
        monitor = node.monitor(port.id)
        with mock.patch("aemp.port.MAX_MAILBOX", 100_000):
            for _ in range(5):
                node.send(port.id, "x" * 30_000)
        self.assertEqual((await guarded(monitor))[0], "mailbox_full")


class TestMonitors(Case):
    async def test_reasons(self) -> None:
        a, b = await self.pair()
        for node in (a, b):
            port = a.port()
            callback: asyncio.Future[aemp.Reason] = asyncio.get_running_loop().create_future()
            node.monitor(port.id, callback.set_result)
            awaited = node.monitor(port.id)
            withdrawn = node.monitor(port.id, self.fail)
            withdrawn.cancel()
            node.send(port.id, "last")
            node.kill(port.id, "because", 1, {"x": None})
            self.assertEqual(await guarded(callback), ["because", 1, {"x": None}])
            self.assertEqual(await guarded(awaited), ["because", 1, {"x": None}])
            self.assertEqual(port.reason, ["because", 1, {"x": None}])
            self.assertEqual((await guarded(node.monitor(port.id)))[0], "no_such_port")
            with self.assertRaises(aemp.PortClosedError):
                await port.receive()

    async def test_the_end_of_a_block_ends_the_port(self) -> None:
        node = await self.start("a")
        async with node.port() as port:
            monitor = node.monitor(port.id)
        self.assertEqual(await guarded(monitor), [])
        with self.assertRaises(ZeroDivisionError):
            async with node.port() as port:
                monitor = node.monitor(port.id)
                _ = 1 / 0
        self.assertEqual(await guarded(monitor), ["die", "ZeroDivisionError: division by zero"])

    async def test_a_monitor_that_nobody_has_is_withdrawn(self) -> None:
        a, b = await self.pair()
        port = a.port()
        monitor = b.monitor(port.id)
        await guarded(b.call("a", "time"))
        self.assertEqual(len(a.table._watchers[port.id.split("#")[1]]), 1)
        del monitor
        gc.collect()
        await guarded(b.call("a", "time"))
        self.assertEqual(len(a.table._watchers[port.id.split("#")[1]]), 0)

    async def test_an_unreachable_node_is_told(self) -> None:
        alone = await self.start("alone")
        self.assertEqual(await guarded(alone.monitor("nobody#x")), ["transport_error", "nobody", "no known address"])
        with self.assertRaises(aemp.CallError):
            await guarded(alone.call("nobody#x", 1))


class TestFunctions(Case):
    async def test_spawn_here_and_there(self) -> None:
        a, b = await self.pair()

        @a.function("py::adder")
        async def adder(port: aemp.Port, start: int) -> None:
            total = start
            async for message in port:
                match message:
                    case ["add", int(more), str(reply)]:
                        total += more
                        port.send(reply, total)
                    case _:
                        raise ValueError("not a request")

        for node in (a, b):
            adder_id = node.spawn("a", "py::adder", 40)
            self.assertEqual(await guarded(node.call(adder_id, "add", 2)), [42])
            monitor = node.monitor(adder_id)
            node.send(adder_id, "nonsense")
            self.assertEqual(await guarded(monitor), ["die", "ValueError: not a request"])
            killed = node.spawn("a", "py::adder", 0)
            monitor = node.monitor(killed)
            node.kill(killed, "enough")
            self.assertEqual(await guarded(monitor), ["enough"])
            refused = node.spawn("a", "py::nothing")
            self.assertEqual((await guarded(node.monitor(refused)))[0], "spawn_refused")

    async def test_a_late_monitor_hears_why_a_spawned_port_died(self) -> None:
        a, b = await self.pair()

        @a.function("py::nothing")
        async def nothing(port: aemp.Port) -> None:
            pass

        port = b.spawn("a", "py::nothing")
        await guarded(b.call("a", "time"))
        await guarded(b.call("a", "time"))
        self.assertEqual(await guarded(b.monitor(port)), [])

    async def test_a_function_is_called_by_its_name(self) -> None:
        a, b = await self.pair()

        @a.function("py::double")
        async def double(port: aemp.Port, number: int, reply: str) -> None:
            port.send(reply, 2 * number)

        self.assertEqual(await guarded(b.call("a", "py::double", 21)), [42])
        self.assertEqual(await self.can(b, "py::double"), ["1"])
        self.assertEqual(await self.can(b, "py::other"), [""])

    async def can(self, node: aemp.Node, tag: str) -> aemp.Message:
        async with node.port() as port:
            node.send("a", "can", tag, port.id)
            return await guarded(port.receive())


class TestLoss(Case):
    async def through_relay(self) -> tuple[aemp.Node, aemp.Node, Relay]:
        a = await self.start("a", listen=["127.0.0.1:0"])
        relay = Relay(a.listen_addresses[0])
        self.addCleanup(relay.stop)
        b = await self.start("b", seeds=[await relay.start()])
        await guarded(b.joined())
        return a, b, relay

    async def test_a_cut_fires_monitors_at_both_ends_and_then_it_goes_on(self) -> None:
        a, b, relay = await self.through_relay()
        here, there = b.port(), a.port()
        order: list[str] = []
        b.monitor(there.id, lambda reason: order.append(f"monitor {reason[0]}"))
        far = a.monitor(here.id)
        await guarded(b.call("a", "time"))
        await guarded(a.call("b", "time"))

        async def follow() -> None:
            async for event in b.events():
                order.append("up" if event.up else "down")
                if len(order) >= 4:
                    return

        following = asyncio.create_task(follow())
        await asyncio.sleep(0)
        relay.cut()
        self.assertEqual((await guarded(far))[:2], ["transport_error", "b"])
        await guarded(following)
        self.assertEqual(order, ["up", "monitor transport_error", "down", "up"])
        b.send(there.id, "again")
        self.assertEqual(await guarded(there.receive()), ["again"])

    async def test_no_silent_hole_however_often_the_connection_is_cut(self) -> None:
        a, b, relay = await self.through_relay()
        port = a.port()
        total = 12_000
        arrived: list[aemp.Message] = []

        async def receive() -> None:
            while (message := await port.receive()) != ["end"]:
                arrived.append(message)

        receiving = asyncio.create_task(receive())
        segment = sent = losses = 0
        while sent < total:
            monitor, number = b.monitor(port.id), 0
            while monitor.reason is None and sent < total:
                b.send(port.id, segment, number)
                number, sent = number + 1, sent + 1
                if sent % 1500 == 0:
                    relay.cut()
                if sent % 50 == 0:
                    await asyncio.sleep(0)
            if monitor.reason is not None:
                segment, losses = segment + 1, losses + 1
        monitor.cancel()
        while not receiving.done():
            last = asyncio.ensure_future(_reason(b.monitor(port.id)))
            b.send(port.id, "end")
            await guarded(asyncio.wait([last, receiving], return_when=asyncio.FIRST_COMPLETED))
            last.cancel()
        self.assertGreater(losses, 2)
        segments: dict[int, list[int]] = {}
        for of, index in arrived:
            assert isinstance(of, int) and isinstance(index, int)
            self.assertGreaterEqual(of, max(segments, default=0))
            segments.setdefault(of, []).append(index)
        for each, numbers in segments.items():
            self.assertEqual(numbers, list(range(len(numbers))), f"a hole in {each}")

    async def test_calls_fail_when_the_connection_is_cut(self) -> None:
        a, b, relay = await self.through_relay()
        port = a.port()
        call = asyncio.create_task(b.call(port.id, "never answered"))
        await guarded(port.receive())
        relay.cut()
        with self.assertRaises(aemp.CallError) as error:
            await guarded(call)
        self.assertEqual(error.exception.reason[:2], ["transport_error", "a"])

    async def test_a_restarted_node_with_the_same_id_gets_in(self) -> None:
        a = await self.start("a", listen=["127.0.0.1:0"])
        first = await self.start("b", seeds=a.listen_addresses)
        await guarded(first.joined())
        monitor = a.monitor("b")
        await first.shutdown()
        self.assertEqual((await guarded(monitor))[:2], ["transport_error", "b"])
        second = await self.start("b", seeds=a.listen_addresses)
        await guarded(second.joined())
        self.assertEqual(a.connected_nodes, ["b"])

    async def test_two_nodes_that_dial_each_other_at_once_have_one_connection(self) -> None:
        for names in (("a", "b"), ("b", "a")):
            one = await self.start(names[0], listen=["127.0.0.1:0"])
            two = await self.start(names[1], listen=["127.0.0.1:0"])
            one._network.seeds._nodes[two.listen_addresses[0]] = two.id
            two._network.seeds._nodes[one.listen_addresses[0]] = one.id
            ports = [one.port(), two.port()]
            one.send(ports[1].id, "from one")
            two.send(ports[0].id, "from two")
            self.assertEqual(await guarded(ports[1].receive()), ["from one"])
            self.assertEqual(await guarded(ports[0].receive()), ["from two"])
            self.assertEqual((one.connected_nodes, two.connected_nodes), ([two.id], [one.id]))
            await two.shutdown()
            await one.shutdown()


async def _reason(monitor: aemp.Monitor) -> aemp.Reason:
    return await monitor


class TestShutdown(Case):
    async def test_what_was_sent_before_arrives(self) -> None:
        a, b = await self.pair()
        port = a.port()
        for number in range(5000):
            b.send(port.id, number)
        self.assertEqual(await guarded(b.shutdown()), [])
        async with asyncio.timeout(GUARD):
            for number in range(5000):
                self.assertEqual(await port.receive(), [number])

    async def test_afterwards_everything_fails_and_monitors_have_fired(self) -> None:
        a, b = await self.pair()
        remote, own = b.monitor("a"), b.monitor("b")
        watch = b.db.watch("things")
        await b.shutdown()
        self.assertEqual((await guarded(remote))[0], "transport_error")
        self.assertEqual((await guarded(own))[0], "transport_error")
        self.assertEqual([change async for change in watch], [])
        for verb in (lambda: b.send("a#x", 1), b.port, lambda: b.monitor("a"), lambda: b.spawn("a", "f")):
            with self.assertRaises(aemp.NodeClosedError):
                verb()
        await until(a, False, "b")

    async def test_settings_that_cannot_work_are_refused(self) -> None:
        for settings in (
            {"secret": ""},
            {"monitor_timeout": 1.0},
            {"seeds": ["nowhere"]},
            {"listen": ["127.0.0.1:70000"]},
        ):
            with self.assertRaises(aemp.ConfigError):
                aemp.Node("a", **{"secret": "s", **settings})  # type: ignore[arg-type]
        with self.assertRaises(aemp.InvalidNameError):
            aemp.Node("a;b", secret="s")
        with self.assertRaises(aemp.ConfigError):
            await aemp.Node("a", secret="s", listen=["0.0.0.0:0"]).start()
        node = await self.start("a", listen=["127.0.0.1:0"])
        with self.assertRaises(aemp.ConfigError):
            await aemp.Node("b", secret="s", listen=node.listen_addresses).start()
