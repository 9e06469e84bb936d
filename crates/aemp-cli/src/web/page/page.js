// The page: what is chosen, the stream of pictures, keys. What comes from the network is only ever
// set as text.

import { Graph } from "./graph.js";
import { Rows } from "./rows.js";
import { follow, request } from "./stream.js";
import { LISTS, arrange, changes, cell, graphOf, heading, keyOf, news, summary, withRecords } from "./model.js";

/** Above so many nodes the graph shows groups of them. */
const NODES_DRAWN = 1200;

/** Changes that are told, and for how many milliseconds a new row is marked. */
const NEWS_MAX = 50;
const NEW_FOR = 3000;

const $ = (id) => document.getElementById(id);
const names = Object.keys(LISTS);

const state = {
  view: "nodes",
  sorts: Object.fromEntries(names.map((name) => [name, { sort: LISTS[name].sort, descending: LISTS[name].descending }])),
  filter: "",
  of: null,
  tables: null,
  time: null,
  marked: new Map(),
  acts: [],
  // Whether the next press of kill kills.
  armed: false,
  streams: [],
  logs: null,
};

let token = "";

const graph = new Graph($("graph"), $("hover"), (id) => choose(id));
const rows = new Rows($("panel"), $("table"), { open, sort, marked: (key) => (state.marked.get(key) ?? 0) > Date.now() });

/** Shows only what belongs to this node, or everything; of a kind of nodes what has its name. */
function choose(node) {
  const is_node = state.tables.nodes.rows.some((row) => row[0] === node);
  if (node !== null && node !== state.of && !is_node) state.filter = $("filter").value = node;
  else state.of = node === state.of ? null : node;
  show();
}

function sort(column) {
  const chosen = state.sorts[state.view];
  if (chosen.sort === column) chosen.descending = !chosen.descending;
  else Object.assign(chosen, { sort: column, descending: false });
  show();
}

function view(name) {
  if (state.view === name) return;
  state.view = name;
  rows.reset();
  show();
  // Ports, lost messages and logs are asked for only while they are seen.
  listen();
}

/** A list as it was last told of. */
function tableOf(name) {
  return name === "logs" ? state.logs : state.tables?.[name];
}

/** Draws everything again, in the next frame. */
function show() {
  state.frame ??= requestAnimationFrame(() => {
    state.frame = null;
    tabs();
    if (state.tables === null) return;
    // Two tasks, so that keys and clicks come between.
    setTimeout(() => graph.update(graphOf(state.tables, NODES_DRAWN), state.of));
    const table = tableOf(state.view);
    const sorts = state.sorts[state.view];
    const of = state.view === "nodes" || state.view === "families" ? null : state.of;
    const list = table ? arrange(table, { ...sorts, filter: state.filter, of }) : [];
    rows.show(table, LISTS[state.view].columns, list, sorts);
    const searched = state.filter !== "" || of !== null;
    $("empty").hidden = list.length > 0;
    $("empty").textContent = !table ? "being asked for" : searched ? "no row has this text" : LISTS[state.view].nothing;
  });
}

function tabs() {
  for (const button of $("tabs").children) {
    const count = tableOf(button.dataset.view)?.rows.length;
    const text = `${button.dataset.view}${count === undefined ? "" : ` ${count}`}`;
    if (button.textContent !== text) button.textContent = text;
    const selected = button.dataset.view === state.view;
    button.setAttribute("aria-selected", String(selected));
    button.tabIndex = selected ? 0 : -1;
  }
  $("level").hidden = state.view !== "logs";
  $("missed").hidden ||= state.view !== "logs";
  $("all").hidden = state.of === null;
  $("all").textContent = `of ${state.of} ×`;
  $("all").setAttribute("aria-label", `show all, not only what belongs to ${state.of}`);
}

function seen({ time, tables }) {
  const before = state.tables;
  // What was not asked for this time is what it was.
  state.tables = Object.fromEntries(names.map((name) => [name, tables[name] ?? before?.[name] ?? null]));
  state.time = time;
  if (before) mark(before);
  if (state.of !== null && !tables.nodes.rows.some((row) => row[0] === state.of)) state.of = null;
  const parts = summary(state.tables);
  $("summary").replaceChildren(...parts.map(([name, value]) => {
    const pair = document.createElement("div");
    pair.append(text("dt", name), text("dd", value));
    return pair;
  }));
  if (!document.hidden) show();
}

function mark(before) {
  const until = Date.now() + NEW_FOR;
  for (const [name, column] of [["nodes", "state"], ["families", "entries"]]) {
    const { added, changed } = changes(before[name], state.tables[name], column);
    for (const key of [...added, ...changed.map(({ key }) => key)]) state.marked.set(key, until);
  }
  for (const [key, end] of state.marked) if (end < Date.now()) state.marked.delete(key);
  const clock = new Date(state.time * 1000).toLocaleTimeString();
  for (const line of news(before, state.tables)) $("news").prepend(text("li", `${clock}  ${line}`));
  while ($("news").childElementCount > NEWS_MAX) $("news").lastElementChild.remove();
}

function text(name, content) {
  const made = document.createElement(name);
  made.textContent = content;
  return made;
}

function status(words, bad = false) {
  if ($("status").textContent !== words) $("status").textContent = words;
  $("status").className = bad ? "bad" : "";
}

/** Follows the pictures, and the logs while they are seen. */
function listen() {
  const wanted = ["ports", "lost"].includes(state.view) ? `?want=${state.view}` : "";
  state.streams.splice(0).forEach((stream) => stream.abort());
  start(`/events${wanted}`, (events) => seen(events.at(-1)));
  if (state.view === "logs") start(`/logs?level=${$("level").value}`, (events) => events.forEach(logged));
}

function start(path, taken) {
  const stream = new AbortController();
  state.streams.push(stream);
  const take = (events) => {
    status("live");
    taken(events);
  };
  follow(token, path, stream.signal, { take, tell: (words) => status(words, true), ask });
}

/** Takes log records. */
function logged(event) {
  state.logs = withRecords(state.logs, event);
  $("missed").hidden = event.lost === 0;
  $("missed").textContent = `${event.lost} records were lost: they came faster than they could be taken`;
  if (!document.hidden) show();
}

/** Asks for the token: it is missing or wrong. */
function ask() {
  sessionStorage.removeItem("token");
  status(token === "" ? "the token is missing" : "this token is wrong", true);
  $("entry").hidden = false;
  document.querySelector("main").hidden = true;
  $("token").focus();
}

async function begin(given) {
  token = given;
  if (token === "") return ask();
  sessionStorage.setItem("token", token);
  $("entry").hidden = true;
  document.querySelector("main").hidden = false;
  listen();
  try {
    state.acts = (await (await request(token, "/acts")).json()).acts;
  } catch {
    // The stream tells what is wrong.
    state.acts = [];
  }
}

/** Shows all that is known of a row, and what may be done. */
function open(row) {
  const table = tableOf(state.view);
  const at = (column) => row[table.columns.indexOf(column)];
  $("what").textContent = state.view === "logs" ? at("node") : keyOf(table, row).replaceAll("\n", " – ");
  $("facts").replaceChildren(...table.columns.flatMap((column, index) =>
    [text("dt", heading(column)), text("dd", cell(column, row[index]))]));
  $("told").textContent = "";
  state.armed = false;
  // Closing comes first: what is done by mistake then is nothing.
  const choices = [choice("close", () => $("details").close())];
  const node = state.view === "nodes" ? at("node") : state.view === "links" ? at("peer") : null;
  if (node !== null) {
    for (const name of ["ports", "links", "lost"]) choices.push(choice(`its ${name}`, () => to(name, node)));
    choices.push(choices.shift());
  }
  const port = state.view === "ports" ? at("port") : null;
  $("message").hidden = port === null || !state.acts.some((act) => act !== "kill");
  if (port !== null) {
    for (const act of state.acts) choices.push(choice(act, () => perform(act, port), act === "kill" ? "danger" : ""));
  }
  $("choices").replaceChildren(...choices);
  $("details").showModal();
}

function choice(name, action, className = "") {
  const button = text("button", name);
  button.type = "button";
  button.className = className;
  button.addEventListener("click", action);
  return button;
}

function to(name, node) {
  $("details").close();
  state.of = node;
  if (state.view === name) show();
  else view(name);
}

async function perform(act, port) {
  if (act === "kill" && !state.armed) {
    state.armed = true;
    $("told").textContent = `press kill again, and ${port} dies`;
    return;
  }
  state.armed = false;
  $("told").textContent = "under way";
  try {
    const wish = act === "kill" ? { port } : { port, values: JSON.parse($("values").value || "[]") };
    const response = await request(token, `/${act}`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(wish),
    });
    const { answer, dead } = await response.json();
    $("told").textContent = answer ? `answer: ${JSON.stringify(answer)}` : dead ? `dead: ${dead}` : "it has arrived";
  } catch (error) {
    $("told").textContent = error.message;
  }
}

function press(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || $("details").open || !$("entry").hidden) return;
  if (event.key === "Escape") {
    if (state.filter !== "") state.filter = $("filter").value = "";
    else state.of = null;
    $("table").focus();
    show();
  } else if (event.target !== $("filter") && event.target !== $("level")) {
    const name = names[Number(event.key) - 1];
    if (name) {
      view(name);
      $("table").focus();
    } else if (event.key === "/") {
      event.preventDefault();
      $("filter").focus();
    }
  } else if (event.target === $("filter") && (event.key === "Enter" || event.key === "ArrowDown")) {
    event.preventDefault();
    $("table").focus();
  }
}

function build() {
  for (const name of names) {
    const button = text("button", name);
    Object.assign(button, { type: "button", role: "tab" });
    button.dataset.view = name;
    button.setAttribute("aria-controls", "panel");
    button.addEventListener("click", () => view(name));
    $("tabs").append(button);
  }
  $("tabs").addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: names.length - 1 }[event.key];
    if (!by) return;
    view(names[(names.indexOf(state.view) + by) % names.length]);
    [...$("tabs").children].find((button) => button.dataset.view === state.view).focus();
  });
  $("all").addEventListener("click", () => choose(state.of));
  $("filter").addEventListener("input", () => {
    state.filter = $("filter").value;
    show();
  });
  $("level").addEventListener("change", listen);
  $("entry").addEventListener("submit", (event) => {
    event.preventDefault();
    begin($("token").value.trim());
  });
  $("message").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", press);
  document.addEventListener("visibilitychange", () => document.hidden || show());
  tabs();
  // The token does not stay in the address, where it would be copied with it.
  const given = location.hash.slice(1) || sessionStorage.getItem("token") || "";
  history.replaceState(null, "", location.pathname);
  begin(given);
}

build();
