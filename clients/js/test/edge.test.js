import assert from "node:assert/strict";
import { test } from "node:test";

import { CallError, Client, ClosedError, RefusedError } from "../src/index.js";
import { TOKEN, network, skip } from "./network.js";

const guard = { skip, timeout: 60_000 };

async function connected(t, url) {
  const client = new Client(url, { token: TOKEN });
  t.after(() => client.close());
  await client.connected;
  return client;
}

/** The echo service, once the gateway knows it. */
async function echo(client) {
  for await (const { content } of client.watch("aemp::echo")) {
    const [port] = Object.keys(content);
    if (!port) continue;
    for (;;) {
      try {
        await client.call(port, []);
        return port;
      } catch (error) {
        assert.ok(error instanceof RefusedError, error);
      }
    }
  }
}

const next = async (iterator) => (await iterator.next()).value;

test("calls are answered with every kind of value", guard, async (t) => {
  const { url } = await network(t);
  const client = await connected(t, url);
  const port = await echo(client);
  const values = [null, true, -1, 2 ** 53, 0.5, "é€😀\0", [[]], { a: { b: [] } }];
  assert.deepEqual(await client.call(port, values), values);
  assert.ok((await client.rtt()) > 0);
  assert.ok(client.stats().received > 2);
});

test("own ports get messages and answer them", guard, async (t) => {
  const { url, direct } = await network(t);
  const [one, two] = [await connected(t, url), await connected(t, direct)];
  const port = await one.open();
  const call = two.call(port.id, ["add", 2, 3]);
  const [tag, a, b, reply] = await next(port);
  assert.equal(tag, "add");
  one.send(reply, a + b);
  assert.deepEqual(await call, [5]);
  const fired = new Promise((resolve) => two.monitor(port.id, resolve));
  await two.rtt();
  port.close("enough", 1);
  assert.deepEqual(await fired, ["enough", 1]);
  assert.equal((await port.next()).done, true);
  assert.deepEqual(port.reason, ["enough", 1]);
  await assert.rejects(two.call(port.id, []), CallError);
});

test("what is forbidden is refused", guard, async (t) => {
  const { url } = await network(t);
  const client = await connected(t, url);
  const status = client.status();
  await assert.rejects(client.call("gate", ["time"]), { code: "call" });
  client.send("gate", "eval", "1");
  assert.deepEqual((await next(status)).code, "call");
  assert.deepEqual((await next(status)).code, "send");
  assert.equal((await new Promise((resolve) => client.monitor("other#x", resolve)))[0], "refused");
  await assert.rejects(next(client.watch("'l")), { code: "watch" });
  const wrong = new Client(url, { token: "another token that is not known" });
  await assert.rejects(wrong.connected, { code: "token" });
  assert.throws(() => wrong.send("gate#x"), ClosedError);
  assert.throws(() => new Client(url, {}), TypeError);
});

test("signals give up what waits", guard, async (t) => {
  const { url } = await network(t);
  const client = await connected(t, url);
  const port = await client.open();
  const controller = new AbortController();
  const call = client.call(port.id, ["never answered"], { signal: controller.signal });
  await next(port);
  controller.abort(new Error("enough"));
  await assert.rejects(call, /enough/);
  await assert.rejects(client.call(port.id, [], { signal: AbortSignal.abort(new Error("before")) }), /before/);
  await assert.rejects(client.call(port.id, [], { timeout: 1 }), { reason: ["timeout", "no answer in time"] });
  const watching = new AbortController();
  const watch = client.watch("things", { signal: watching.signal });
  await next(watch);
  watching.abort();
  assert.equal((await watch.next()).done, true);
});

test("after a cut monitors fire first, then ports end, then it goes on", guard, async (t) => {
  const { url, direct, cut } = await network(t);
  const [one, two] = [await connected(t, url), await connected(t, direct)];
  const target = await two.open();
  const own = await one.open();
  const status = one.status();
  const watch = one.watch("things");
  assert.deepEqual((await next(watch)).content, {});
  const order = [];
  one.monitor(target.id, ([reason]) => order.push(`monitor ${reason}, port ${own.reason ? "ended" : "alive"}`));
  const call = one.call(target.id, ["never answered"]).catch((error) => order.push(`call ${error.name}`));
  await next(target);
  const gone = new Promise((resolve) => two.monitor(own.id, resolve));
  await two.rtt();
  cut();
  assert.equal((await next(status)).type, "disconnected");
  assert.equal((await own.next()).done, true);
  assert.equal(own.reason[0], "transport_error");
  await call;
  assert.deepEqual(order, ["monitor transport_error, port alive", "call AempError"]);
  // The ports of a client are gone with its connection.
  assert.deepEqual(await gone, []);
  assert.equal((await next(status)).type, "connected");
  one.send(target.id, "again");
  assert.deepEqual(await next(target), ["again"]);
  assert.equal(one.stats().connects, 2);
});

test("no silent hole, however often the connection is cut", guard, async (t) => {
  const { url, direct, cut } = await network(t, { limits: { messages_per_second: 100_000, bytes_per_second: 1 << 30 } });
  const [one, two] = [await connected(t, url), await connected(t, direct)];
  const target = await two.open();
  let [segment, number, losses] = [0, 0, 0];
  let done = false;
  const watch = () =>
    one.monitor(target.id, () => {
      if (done) return;
      [segment, number, losses] = [segment + 1, 0, losses + 1];
      watch();
    });
  watch();
  const arrived = [];
  const receiving = (async () => {
    for await (const message of target) {
      if (message[0] === "end") return;
      arrived.push(message);
    }
  })();
  for (let sent = 0; sent < 6000; sent++) {
    one.send(target.id, segment, number++);
    if (sent % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    if (sent % 2000 === 1999) {
      cut();
      await one.connected;
      while (losses * 2000 < sent - 1999) await new Promise((resolve) => setImmediate(resolve));
    }
  }
  await one.connected;
  await one.rtt().catch(() => one.connected);
  one.send(target.id, "end");
  await receiving;
  done = true;
  assert.ok(losses >= 2, `${losses} losses`);
  const segments = new Map();
  for (const [of, index] of arrived) {
    assert.ok(of >= Math.max(0, ...segments.keys()), "an older segment after a newer one");
    assert.equal(index, segments.get(of) ?? 0, `a hole in ${of}`);
    segments.set(of, index + 1);
  }
});

test("a closed client ends what it has", guard, async (t) => {
  const { url } = await network(t);
  const client = await connected(t, url);
  const port = await client.open();
  const watch = client.watch("things");
  const fired = new Promise((resolve) => client.monitor(port.id, resolve));
  await client.close();
  assert.equal((await fired)[0], "transport_error");
  assert.equal((await port.next()).done, true);
  for await (const _ of watch);
  assert.throws(() => client.send(port.id), ClosedError);
  await assert.rejects(client.connected, ClosedError);
});
