// What the page of `aemp web` reckons: `node --test`, which tests/web.rs runs.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

// The files are served as they are, so no package.json says that they are modules.
const load = (name) => {
  const source = readFileSync(new URL(`../src/web/page/${name}`, import.meta.url), "utf8");
  return import("data:text/javascript," + encodeURIComponent(source));
};
const { LISTS, arrange, cell, changes, compare, duration, eventsIn, graphOf, groupOf, kindOf, news, short, strength, summary, visible, RECORDS_MAX, withRecords } =
  await load("model.js");
const { Layout, hash } = await load("layout.js");

const nodes = (...rows) => ({
  columns: ["node", "state", "ports", "messages_per_s", "bytes_per_s", "undeliverable"], keys: 1, rows,
});
const links = (...rows) => ({
  columns: ["node", "peer", "connection", "round_trip_ms", "messages_per_s", "bytes_per_s"], keys: 2, rows,
});

test("numbers and times are short", () => {
  assert.deepEqual([0, 999, 1000, 1234, 99_400, 123_456, 5e9].map(short), ["0", "999", "1.0k", "1.2k", "99.4k", "123k", "5.0G"]);
  assert.deepEqual([0.25, 5, 61, 7260, 90_000].map(duration), ["250 ms", "5 s", "1 min 1 s", "2 h 1 min", "1 d 1 h"]);
  assert.equal(cell("uptime", 59), "59 s");
  assert.equal(cell("round_trip_ms", 0.1234), "0.12 ms");
  assert.equal(cell("bytes", 1536), "1.5 kB");
  assert.equal(cell("bytes", null), "–");
  assert.equal(cell("addresses", ["a", "b"]), "a b");
  assert.equal(cell("tag", "<b>"), "<b>");
});

test("what is not known is less than all else, and numbers are compared as such", () => {
  assert.deepEqual([10, null, 9, 2].sort(compare), [null, 2, 9, 10]);
  assert.deepEqual(["b", null, "a"].sort(compare), [null, "a", "b"]);
});

test("rows are sorted, filtered and those of one node", () => {
  const ports = { columns: ["port", "bytes"], keys: 1, rows: [["a#x", 1], ["ab#y", 3], ["a#z", 2], ["a", null]] };
  const ids = (how) => arrange(ports, { sort: "bytes", descending: true, ...how }).map((row) => row[0]);
  assert.deepEqual(ids({}), ["ab#y", "a#z", "a#x", "a"]);
  assert.deepEqual(ids({ of: "a" }), ["a#z", "a#x", "a"]);
  assert.deepEqual(ids({ filter: "Z" }), ["a#z"]);
  assert.deepEqual(ids({ descending: false }), ["a", "a#x", "a#z", "ab#y"]);
  // The list itself stays as it came.
  assert.equal(ports.rows[0][0], "a#x");
  for (const { columns, sort } of Object.values(LISTS)) assert.ok(columns.includes(sort));
});

test("the last log records are kept, and each is told from those like it", () => {
  const columns = ["time", "node", "level", "context", "text"];
  const logs = withRecords(null, { columns, records: [["t", "a", "info", "c", "x"], ["t", "a", "info", "c", "x"]] });
  assert.deepEqual(logs.columns, ["number", ...columns]);
  assert.deepEqual(logs.rows.map((row) => row[0]), [1, 2]);
  assert.deepEqual(arrange(logs, { ...LISTS.logs, of: "b" }), []);
  const many = Array.from({ length: RECORDS_MAX }, (_, at) => ["t", "a", "info", "c", String(at)]);
  const { rows } = withRecords(logs, { columns, records: many.slice(1) });
  assert.equal(rows.length, RECORDS_MAX);
  assert.deepEqual([rows[0][0], rows.at(-1)[5]], [2, String(RECORDS_MAX - 1)]);
});

test("what came, went and changed is told", () => {
  const before = { nodes: nodes(["a", "up"], ["b", "up"]), families: null };
  const after = { nodes: nodes(["a", "silent"], ["c", "up"]), families: null };
  assert.deepEqual(news(before, after), ["node c is there", "node a is silent", "node b is gone"]);
  assert.deepEqual(news(null, after), []);
  const family = (count) => ({ columns: ["family", "entries"], keys: 1, rows: [["f", count]] });
  assert.deepEqual(changes(family(1), family(2), "entries").changed, [{ key: "f", from: 1, to: 2 }]);
  assert.deepEqual(news({ ...after, families: family(1) }, { ...after, families: family(2) }), ["family f has 2 entries, after 1"]);
});

test("both ends of a link are one line, with what the end tells that has seen more", () => {
  const graph = graphOf({
    nodes: nodes(["a", "up"], ["b", "up"], ["c", "unreachable"]),
    links: links(["a", "b", "aemp1", 0.5, 10, 100], ["b", "a", "aemp1", null, 12, 90], ["a", "c", null, null, null, null],
      ["a", "unknown", "aemp1", 1, 1, 1]),
  }, 100);
  assert.deepEqual(graph.edges.map(({ from, to, rate, bytes, trip }) => [from, to, rate, bytes, trip]), [["a", "b", 12, 100, 0.5]]);
  assert.deepEqual(graph.nodes.map(({ id, degree, state }) => [id, degree, kindOf(state)]), [["a", 1, "up"], ["b", 1, "up"], ["c", 0, "gone"]]);
  assert.deepEqual([null, 0, 5, 500, 50_000].map(strength), [0, 0, 1, 2, 3]);
});

test("above the limit nodes of one kind are one", () => {
  assert.deepEqual(["seed", "worker/1/x", "w12", "w-3", "7"].map(groupOf), ["seed", "worker/1", "w", "w", "7"]);
  const many = Array.from({ length: 1000 }, (_, at) => [`w${at}`, at === 7 ? "silent" : "up"]);
  const star = many.flatMap(([id]) => [["seed", id, "aemp1", 1, 2, 2], [id, "seed", "aemp1", 1, 2, 2]]);
  const graph = graphOf({ nodes: nodes(["seed", "up"], ...many), links: links(...star) }, 500);
  assert.deepEqual(graph.nodes.map(({ id, members, bad, state }) => [id, members, bad, state]), [["seed", 1, 0, "up"], ["w", 1000, 1, "up"]]);
  assert.deepEqual(graph.edges.map(({ rate }) => rate), [2000]);
  // No finer than there is room for, and no coarser.
  const kinds = (limit) => {
    const ids = Array.from({ length: 60 }, (_, at) => [`a${at % 4}/b${at % 12}/c${at}`, at % 12 === 0 ? "silent" : "up"]);
    return graphOf({ nodes: nodes(...ids), links: links() }, limit).nodes;
  };
  assert.deepEqual([60, 59, 12, 11, 4, 3, 1].map((limit) => kinds(limit).length), [60, 12, 12, 4, 4, 1, 1]);
  assert.equal(kinds(12)[0].state, "silent");
});

test("the summary counts each link and message once", () => {
  const told = summary({
    nodes: nodes(["a", "up", 2, 10, 100, 1], ["b", "silent", null, null, null, null]),
    links: links(["a", "b", "aemp1", 1, 1, 1], ["b", "a", "aemp1", 1, 1, 1], ["a", "c", null, 1, 1, 1]),
  });
  assert.deepEqual(told, [["nodes", "1 of 2"], ["links", "1"], ["ports", "2"], ["messages/s", "5"], ["bytes/s", "50 B"], ["lost", "1"]]);
});

test("a stream is read in any pieces", () => {
  const stream = 'data: {"time":1}\n\n: nothing\n\ndata: {"time":2}\n\n';
  let left = "";
  const seen = [];
  for (const character of stream) {
    const { events, rest } = eventsIn(left + character);
    left = rest;
    seen.push(...events.map(({ time }) => time));
  }
  assert.deepEqual([seen, left], [[1, 2], ""]);
});

test("only rows on the screen are there", () => {
  assert.deepEqual(visible(1000, 2800, 280, 28, 2), { first: 98, last: 112 });
  assert.deepEqual(visible(3, 0, 280, 28), { first: 0, last: 3 });
  assert.deepEqual(visible(0, 500, 280, 28), { first: 0, last: 0 });
});

function settled(layout) {
  let steps = 0;
  while (layout.step()) steps += 1;
  return steps;
}

test("nodes get places of their own, and the same ones each time", () => {
  const ids = Array.from({ length: 30 }, (_, at) => `n${at}`);
  const edges = ids.slice(1).map((id) => ({ from: "n0", to: id }));
  const run = () => {
    const layout = new Layout();
    layout.update(ids, edges);
    settled(layout);
    return layout.fit(600, 400, 20);
  };
  const places = [...run().values()];
  for (const [at, one] of places.entries()) {
    assert.ok(one.x >= 19.9 && one.x <= 580.1 && one.y >= 19.9 && one.y <= 380.1);
    for (const other of places.slice(at + 1)) assert.ok(Math.hypot(one.x - other.x, one.y - other.y) > 8);
  }
  assert.deepEqual([...run()], [...run()]);
  assert.equal(hash("a"), hash("a"));
});

test("nodes stay about where they are when another one comes, and nothing moves without news", () => {
  const layout = new Layout();
  const ids = ["a", "b", "c", "d", "e"];
  const edges = ids.slice(1).map((id) => ({ from: "a", to: id }));
  layout.update(ids, edges);
  settled(layout);
  assert.equal(layout.update(ids, edges), false);
  assert.equal(layout.step(), false);
  const before = new Map([...layout.places].map(([id, { x, y }]) => [id, [x, y]]));
  assert.equal(layout.update([...ids, "f"], [...edges, { from: "a", to: "f" }]), true);
  assert.ok(settled(layout) < 200);
  for (const [id, [x, y]] of before) {
    const now = layout.places.get(id);
    assert.ok(Math.hypot(now.x - x, now.y - y) < 60, id);
  }
  layout.update(ids.slice(1), []);
  assert.deepEqual([...layout.places.keys()], ids.slice(1));
});
