// What is shown, as pure functions: no document, no clock, no network. test/model.test.mjs runs them.

/** The lists, their columns (the others stand in the details), and how they are sorted at first. */
export const LISTS = {
  nodes: {
    columns: ["node", "state", "uptime", "ports", "peers", "mailbox_bytes", "messages_per_s", "bytes_per_s", "undeliverable"],
    sort: "node", descending: false, nothing: "no node was seen yet",
  },
  links: {
    columns: ["node", "peer", "round_trip_ms", "queue_bytes", "queue_age", "messages_per_s", "bytes_per_s", "breaks", "lost"],
    sort: "messages_per_s", descending: true, nothing: "no node is connected to another",
  },
  ports: {
    columns: ["port", "state", "bytes", "monitors"],
    sort: "bytes", descending: true, nothing: "no port was told of",
  },
  families: {
    columns: ["family", "entries", "bytes"],
    sort: "family", descending: false, nothing: "no family was told of",
  },
  lost: {
    columns: ["time", "node", "port", "tag", "reason"],
    sort: "time", descending: true, nothing: "no message was lost",
  },
  logs: {
    columns: ["time", "node", "level", "context", "text"],
    sort: "time", descending: true, nothing: "no node has logged anything since this was opened",
  },
};

const HEADINGS = {
  mailbox_bytes: "mailbox", messages_per_s: "msgs/s", bytes_per_s: "bytes/s", round_trip_ms: "round trip",
  queue_bytes: "queue", queue_age: "oldest", bytes: "bytes", undeliverable: "lost",
};

/** What stands above a column. */
export function heading(column) {
  return HEADINGS[column] ?? column.replaceAll("_", " ");
}

/** A number with three digits and a unit of a thousand. */
export function short(number) {
  const units = ["", "k", "M", "G", "T", "P"];
  let at = 0;
  while (Math.abs(number) >= 999.5 && at < units.length - 1) {
    number /= 1000;
    at += 1;
  }
  const digits = at === 0 || Math.abs(number) >= 99.5 ? 0 : 1;
  return number.toFixed(digits) + units[at];
}

/** A number of bytes. */
export function bytes(number) {
  return short(number).replace(/[kMGTP]?$/, " $&B");
}

/** Seconds, in the two units that matter. */
export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${Number.isInteger(seconds) ? seconds : seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = units.findIndex(([size]) => whole >= size);
  const [size, name] = units[at];
  const [below, small] = units[at + 1];
  return `${Math.floor(whole / size)} ${name} ${Math.floor((whole % size) / below)} ${small}`;
}

/** A cell as text. */
export function cell(column, value) {
  if (value === null || value === undefined) return "–";
  if (Array.isArray(value)) return value.join(" ");
  if (typeof value !== "number") return String(value);
  if (column === "round_trip_ms") return `${value < 10 ? value.toFixed(2) : Math.round(value)} ms`;
  if (column === "uptime" || column === "queue_age") return duration(value);
  if (column.endsWith("bytes") || column === "bytes_per_s") return bytes(value);
  return Number.isInteger(value) && Math.abs(value) < 100000 ? String(value) : short(value);
}

/** Log records that are kept. */
export const RECORDS_MAX = 1000;

/** A list with these records behind the others; each has a number, which tells it from those like it. */
export function withRecords(table, { columns, records }) {
  const before = table?.rows ?? [];
  const next = (before.at(-1)?.[0] ?? 0) + 1;
  const rows = [...before, ...records.map((record, at) => [next + at, ...record])];
  return { columns: ["number", ...columns], keys: 1, rows: rows.slice(-RECORDS_MAX) };
}

/** Puts what is not known before all else. */
export function compare(one, other) {
  const absent = (value) => value === null || value === undefined;
  if (absent(one) || absent(other)) return Number(absent(other)) - Number(absent(one));
  if (typeof one === "number" && typeof other === "number") return one - other;
  const [left, right] = [String(one), String(other)];
  return left < right ? -1 : Number(left > right);
}

/** What tells a row from others. */
export function keyOf(table, row) {
  return row.slice(0, table.keys).join("\n");
}

/** The rows that have a text and belong to a node, sorted. */
export function arrange(table, { sort, descending, filter = "", of = null }) {
  const at = Math.max(0, table.columns.indexOf(sort));
  const text = filter.toLowerCase();
  const has = (row) => row.some((value) => value !== null && String(value).toLowerCase().includes(text));
  const rows = table.rows.filter((row) => (of === null || belongs(table, row, of)) && (text === "" || has(row)));
  const sign = descending ? -1 : 1;
  return rows.sort((one, other) => sign * compare(one[at], other[at]) || compare(keyOf(table, one), keyOf(table, other)));
}

function belongs(table, row, node) {
  const [node_at, port_at] = [table.columns.indexOf("node"), table.columns.indexOf("port")];
  if (node_at >= 0) return row[node_at] === node;
  return port_at < 0 || row[port_at] === node || row[port_at].startsWith(node + "#");
}

/** What came and went in a list, and whose number has changed. */
export function changes(before, after, column) {
  if (!before || !after) return { added: [], removed: [], changed: [] };
  const at = after.columns.indexOf(column);
  const values = (table) => new Map(table.rows.map((row) => [keyOf(table, row), row[at]]));
  const [old, now] = [values(before), values(after)];
  return {
    added: [...now.keys()].filter((key) => !old.has(key)),
    removed: [...old.keys()].filter((key) => !now.has(key)),
    changed: [...now].filter(([key, value]) => old.has(key) && old.get(key) !== value)
      .map(([key, value]) => ({ key, from: old.get(key), to: value })),
  };
}

/** What has changed from one picture to the next, as sentences. */
export function news(before, after) {
  const nodes = changes(before?.nodes, after.nodes, "state");
  const families = changes(before?.families, after.families, "entries");
  const entries = (count) => `${count} ${count === 1 ? "entry" : "entries"}`;
  return [
    ...nodes.added.map((node) => `node ${node} is there`),
    ...nodes.changed.map(({ key, to }) => `node ${key} is ${to}`),
    ...nodes.removed.map((node) => `node ${node} is gone`),
    ...families.added.map((family) => `family ${family} is there`),
    ...families.changed.map(({ key, from, to }) => `family ${key} has ${entries(to)}, after ${from}`),
    ...families.removed.map((family) => `family ${family} is gone`),
  ];
}

/** What nodes of one kind share: all of the ID but its last part, or what stands before its last digits. */
export function groupOf(id) {
  const slash = id.lastIndexOf("/");
  return slash > 0 ? id.slice(0, slash) : id.replace(/[-_.]?\d+$/, "") || id;
}

/** How nodes are named so that there are no more than `limit`: as they are, by kind, or by kind of kind. */
function naming(ids, limit) {
  let name = (id) => id;
  for (let count = new Set(ids).size; count > limit; ) {
    const finer = name;
    const coarser = (id) => groupOf(finer(id));
    const left = new Set(ids.map(coarser)).size;
    if (left === count) return () => "all nodes";
    [name, count] = [coarser, left];
  }
  return name;
}

/** Nodes and links to draw. Above `limit` nodes those of one kind are one; links have both ends. */
export function graphOf(tables, limit) {
  const { nodes, links } = tables;
  const at = (table, name) => table.columns.indexOf(name);
  const grouped = nodes.rows.length > limit;
  const name = naming(nodes.rows.map((row) => row[0]), limit);
  const drawn = new Map();
  for (const row of nodes.rows) {
    const id = name(row[0]);
    const node = drawn.get(id) ?? { id, members: 0, bad: 0, state: "up", degree: 0 };
    const state = row[at(nodes, "state")];
    node.members += 1;
    node.bad += Number(state !== "up");
    node.state = worse(node.state, state);
    drawn.set(id, node);
  }
  // A few that are not up do not make a kind of them bad; their number stands beside it.
  for (const node of drawn.values()) if (node.bad * 2 < node.members) node.state = "up";
  const columns = ["messages_per_s", "bytes_per_s", "round_trip_ms", "connection"].map((column) => at(links, column));
  const edges = new Map();
  for (const row of links.rows) {
    const ends = [name(row[0]), name(row[1])].sort();
    if (ends[0] === ends[1] || !ends.every((end) => drawn.has(end))) continue;
    const key = ends.join("\n");
    const [rate, bytes, trip, connection] = columns.map((column) => row[column]);
    const edge = edges.get(key) ?? { key, from: ends[0], to: ends[1], rate: null, bytes: null, trip: null, up: false };
    // Both ends count the same messages: the one that has seen more is nearer to the truth.
    edge.rate = grouped ? (edge.rate ?? 0) + (rate ?? 0) / 2 : most(edge.rate, rate);
    edge.bytes = grouped ? (edge.bytes ?? 0) + (bytes ?? 0) / 2 : most(edge.bytes, bytes);
    // Of many links none stands for all.
    edge.trip = grouped || trip === null ? edge.trip : Math.min(edge.trip ?? Infinity, trip);
    edge.up ||= connection !== null;
    edges.set(key, edge);
  }
  const up = [...edges.values()].filter((edge) => edge.up);
  for (const { from, to } of up) {
    drawn.get(from).degree += 1;
    drawn.get(to).degree += 1;
  }
  return { nodes: [...drawn.values()], edges: up, grouped };
}

function most(one, other) {
  return one === null || other === null ? one ?? other : Math.max(one, other);
}

function worse(one, other) {
  const order = ["up", "up, tells nothing", "silent", "unreachable"];
  return order.indexOf(one) > order.indexOf(other) ? one : other;
}

/** How a node is drawn. */
export function kindOf(state) {
  return state === "up" ? "up" : state.startsWith("up") ? "untold" : "gone";
}

/** How thick a link is, by its messages a second: 0 to 3. */
export function strength(rate) {
  return rate === null || rate < 1 ? 0 : rate < 100 ? 1 : rate < 10000 ? 2 : 3;
}

/** What is said of all. */
export function summary({ nodes, links }) {
  const sum = (name) => {
    const at = nodes.columns.indexOf(name);
    return nodes.rows.reduce((sum, row) => sum + (row[at] ?? 0), 0);
  };
  const connection = links.columns.indexOf("connection");
  const pairs = new Set(links.rows.filter((row) => row[connection] !== null).map((row) => [row[0], row[1]].sort().join("\n")));
  const state = nodes.columns.indexOf("state");
  const up = nodes.rows.filter((row) => row[state].startsWith("up")).length;
  return [
    ["nodes", up === nodes.rows.length ? String(up) : `${up} of ${nodes.rows.length}`],
    ["links", String(pairs.size)],
    ["ports", short(sum("ports"))],
    // Each message is counted where it was written and where it was read.
    ["messages/s", short(sum("messages_per_s") / 2)],
    ["bytes/s", bytes(sum("bytes_per_s") / 2)],
    ["lost", short(sum("undeliverable"))],
  ];
}

/** The events in a stream so far, and what is left of it. */
export function eventsIn(text) {
  const parts = text.split("\n\n");
  const rest = parts.pop();
  const events = parts.filter((part) => part.startsWith("data: ")).map((part) => JSON.parse(part.slice(6)));
  return { events, rest };
}

/** The rows on the screen: from which on, and up to which. */
export function visible(count, top, height, row, around = 8) {
  const first = Math.max(0, Math.min(Math.floor(top / row) - around, count));
  return { first, last: Math.min(count, Math.ceil((top + height) / row) + around) };
}
