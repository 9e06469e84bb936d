// An edge client: it speaks to a gateway of an aemp network over WebSocket, and is not a member.
//
// The promise: once a monitor is set, either every message that is sent to the port arrives, in order, or the monitor fires; after a lost
// message nothing more is sent to the port before its monitors have fired. When the connection is lost, all monitors fire first, then the own
// ports end, and only then is a new connection made.

import { Mailbox } from "./mailbox.js";

const VERSION = 1;
const CONNECTION_LOST = ["transport_error", "gateway", "connection lost"];

/** The base of the errors of this package. `reason` is that of the network. */
export class AempError extends Error {
  constructor(text, reason = []) {
    super(text);
    this.name = new.target.name;
    this.reason = reason;
  }
}
/** A call failed: the port is dead or unreachable, or there was no answer in time. */
export class CallError extends AempError {}
/** The gateway refuses what was asked for. `code` says what. */
export class RefusedError extends AempError {
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}
/** The client was closed. */
export class ClosedError extends AempError {}

/** A port of this client. It is an asynchronous iterator over its messages, and ends when the port does. */
export class Port extends Mailbox {
  #client;
  constructor(client, id) {
    super();
    this.#client = client;
    /** The port ID: give it to others so that they can send to this port. */
    this.id = id;
    /** Why the port has ended; null while it lives. */
    this.reason = null;
  }
  /** Ends the port: normally without a reason. */
  close(...reason) {
    this.#client._closePort(this, reason);
  }
  async [Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose")]() {
    this.close();
  }
  _end(reason) {
    this.reason = reason;
    this.end();
  }
}

/** A client of a gateway. It connects at once, and again whenever the connection is lost, until it is closed. */
export class Client {
  #url;
  #token;
  #WebSocket;
  #socket = null;
  #up = false;
  #closed = false;
  #attempt = 0;
  #nextId = 1;
  #timer = null;
  /** What waits for a connection: nothing that was sent over a lost one. */
  #queue = [];
  #queued = 0;
  #limit;
  #calls = new Map();
  #opening = new Map();
  #ports = new Map();
  /** Monitors by port: one at the gateway stands for all that are here. */
  #monitors = new Map();
  #byId = new Map();
  #watches = new Map();
  #pings = new Map();
  #statuses = new Set();
  #connected;
  #resolveConnected;
  #holding = null;
  #stats = { sent: 0, received: 0, connects: 0, refused: 0 };

  /**
   * @param {string} url the gateway: `wss://HOST/`
   * @param {{token: string, WebSocket?: typeof WebSocket, queueLimit?: number}} options
   */
  constructor(url, { token, WebSocket = globalThis.WebSocket, queueLimit = 4 << 20 } = {}) {
    if (typeof token !== "string" || !token) throw new TypeError("a token is needed: { token: '…' }");
    if (!WebSocket) throw new TypeError("there is no WebSocket here; pass one as an option");
    this.#url = String(url);
    this.#token = token;
    this.#WebSocket = WebSocket;
    this.#limit = queueLimit;
    this.#renewConnected();
    this.#connect();
  }

  /** Resolves when there is a connection; rejects when the client is closed or the token refused. */
  get connected() {
    return this.#connected;
  }

  /** What happens to the connection, as an asynchronous iterator: `{type: "connected" | "disconnected" | "refused" | "closed", …}`. */
  status() {
    const mailbox = new Mailbox(256, () => this.#statuses.delete(mailbox));
    this.#closed ? mailbox.end() : this.#statuses.add(mailbox);
    return mailbox;
  }

  /** Messages sent and received, connections made, refusals. */
  stats() {
    return { ...this.#stats };
  }

  /** Sends values to a port. Never waits; without a monitor losses are silent. */
  send(port, ...values) {
    this.#say(["send", port, values]);
  }

  /** Sends values with a port for the answer at their end, and resolves to the values of the answer. */
  call(port, values, { timeout = 30_000, signal } = {}) {
    return this.#wait(this.#calls, signal, (id) => ["call", id, port, values, timeout], "cancel");
  }

  /** Makes a port. It is gone when the connection is. */
  open({ signal } = {}) {
    return this.#wait(this.#opening, signal, (id) => ["open", id]);
  }

  /** Calls back once, with the reason: the port is dead, or a message to it may be lost. Returns a function that withdraws the monitor. */
  monitor(port, callback) {
    this.#check();
    const own = { callback };
    let shared = this.#monitors.get(port);
    if (!shared) {
      shared = { id: this.#nextId++, port, all: new Set() };
      this.#say(["monitor", shared.id, port]);
      this.#monitors.set(port, shared);
      this.#byId.set(shared.id, shared);
    }
    shared.all.add(own);
    return () => {
      if (!shared.all.delete(own) || shared.all.size || this.#monitors.get(port) !== shared) return;
      this.#forgetMonitor(shared);
      this.#say(["unmonitor", shared.id]);
    };
  }

  /** Watches a family: an asynchronous iterator of `{added, changed, deleted, content}`, the content first. It survives lost connections. */
  watch(family, { signal } = {}) {
    this.#check();
    const watch = { family, content: {}, renewed: false, first: true };
    watch.mailbox = new Mailbox(1024, () => {
      if (this.#watches.delete(watch.id) && !this.#closed) this.#say(["unwatch", watch.id]);
    });
    signal?.addEventListener("abort", () => watch.mailbox.return(), { once: true });
    this.#askWatch(watch);
    return watch.mailbox;
  }

  /** The time to the gateway and back, in milliseconds. */
  async rtt() {
    const begun = performance.now();
    await this.#wait(this.#pings, undefined, (id) => ["ping", id]);
    return performance.now() - begun;
  }

  /** Ends the client behind what was sent: its ports and watches end, its monitors fire. */
  async close() {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#lose(CONNECTION_LOST, new ClosedError("the client was closed"));
    this.#report({ type: "closed" });
    for (const { mailbox } of this.#watches.values()) mailbox.end();
    for (const mailbox of this.#statuses) mailbox.end();
    this.#watches.clear();
    if (socket && socket.readyState < 2) {
      const gone = new Promise((resolve) => socket.addEventListener("close", resolve, { once: true }));
      socket.close(1000);
      await gone;
    }
  }
  async [Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose")]() {
    await this.close();
  }

  _closePort(port, reason) {
    if (this.#ports.delete(port.id)) {
      this.#say(["close", port.id, reason]);
      port._end(reason);
    }
  }

  #check() {
    if (this.#closed) throw new ClosedError("the client was closed");
  }

  #say(message) {
    this.#check();
    const text = JSON.stringify(message);
    if (this.#holding) this.#holding.push(text);
    else if (this.#up) this.#write(text);
    else if (this.#queued + text.length > this.#limit) this.#lose(CONNECTION_LOST, new AempError("too much waits for a connection"));
    else {
      this.#queue.push(text);
      this.#queued += text.length;
    }
  }

  #write(text) {
    this.#stats.sent++;
    this.#socket.send(text);
  }

  #wait(waiting, signal, message, cancel) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const id = this.#nextId++;
      this.#say(message(id));
      const abort = () => {
        if (!waiting.delete(id)) return;
        if (cancel && !this.#closed) this.#say([cancel, id]);
        reject(signal.reason);
      };
      const settle = (done) => (value) => {
        signal?.removeEventListener("abort", abort);
        done(value);
      };
      waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  #connect() {
    const socket = new this.#WebSocket(this.#url);
    this.#socket = socket;
    socket.addEventListener("open", () => socket.send(JSON.stringify(["hello", VERSION, this.#token])));
    socket.addEventListener("message", ({ data }) => this.#socket === socket && this.#receive(JSON.parse(data)));
    socket.addEventListener("close", ({ code, reason }) => this.#socket === socket && this.#ended(code, reason));
    socket.addEventListener("error", () => {});
  }

  #ended(code, text) {
    this.#socket = null;
    if (this.#closed) return;
    const error = new AempError(text || "the connection to the gateway is lost");
    this.#report({ type: "disconnected", code, text });
    if (code === 4001) {
      // Trying again with the same token would not help.
      this.#rejectConnected(new RefusedError("token", text));
      return void this.close();
    }
    this.#lose(CONNECTION_LOST, error);
    if (this.#closed) return;
    const wait = Math.min(30_000, 500 * 2 ** this.#attempt++) * (0.5 + Math.random());
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  /** What was sent may be lost: monitors fire, calls fail, own ports end; then the next connection may begin. */
  #lose(reason, error) {
    if (this.#up) this.#renewConnected();
    this.#up = false;
    this.#queue = [];
    this.#queued = 0;
    const monitors = [...this.#monitors.values()];
    const waiting = [this.#calls, this.#opening, this.#pings].flatMap((map) => [...map.values()]);
    const ports = [...this.#ports.values()];
    for (const map of [this.#monitors, this.#byId, this.#calls, this.#opening, this.#pings, this.#ports]) map.clear();
    for (const { all } of monitors) fire(all, reason);
    for (const { reject } of waiting) reject(error);
    for (const port of ports) port._end(reason);
    if (this.#closed) this.#rejectConnected(error);
    else for (const watch of [...this.#watches.values()]) this.#askWatch(watch);
  }

  #receive(event) {
    this.#stats.received++;
    const [name, id, ...rest] = event;
    switch (name) {
      case "welcome": {
        this.#up = true;
        this.#attempt = 0;
        this.#stats.connects++;
        const queue = this.#queue;
        this.#queue = [];
        this.#queued = 0;
        for (const text of queue) this.#write(text);
        this.#resolveConnected();
        return this.#report({ type: "connected", node: rest[0] });
      }
      case "reply":
        return this.#take(this.#calls, id)?.resolve(rest[0]);
      case "failed":
        this.#take(this.#calls, id)?.reject(new CallError(`the call failed: ${rest[0].join(", ")}`, rest[0]));
        if (rest[1]) this.#say(["told", id]);
        return;
      case "opened": {
        const port = new Port(this, rest[0]);
        const waiting = this.#take(this.#opening, id);
        // One that was given up meanwhile is ended.
        if (!waiting) return this.#say(["close", rest[0], []]);
        this.#ports.set(port.id, port);
        return waiting.resolve(port);
      }
      case "message":
        return this.#ports.get(id)?.push(rest[0]);
      case "closed": {
        const port = this.#take(this.#ports, id);
        return port?._end(rest[0]);
      }
      case "fired":
        return this.#fired(id, rest[0]);
      case "changed":
        return this.#changed(this.#watches.get(id), ...rest);
      case "pong":
        return this.#take(this.#pings, id)?.resolve();
      case "refused":
        return this.#refused(id, ...rest);
    }
  }

  /** Until everybody here has been told, nothing that follows may reach the port: it is held, and sent behind `told`. */
  #fired(id, reason) {
    const shared = this.#byId.get(id);
    if (!shared) return this.#say(["told", id]);
    this.#forgetMonitor(shared);
    this.#holding = [];
    fire(shared.all, reason);
    const held = this.#holding;
    this.#holding = null;
    if (this.#closed || !this.#up) return;
    this.#say(["told", id]);
    for (const text of held) this.#write(text);
  }

  #forgetMonitor(shared) {
    this.#monitors.delete(shared.port);
    this.#byId.delete(shared.id);
  }

  #askWatch(watch) {
    this.#watches.delete(watch.id);
    watch.id = this.#nextId++;
    watch.renewed = true;
    this.#watches.set(watch.id, watch);
    this.#say(["watch", watch.id, watch.family]);
  }

  #changed(watch, added, changed, deleted) {
    if (!watch) return;
    if (watch.renewed) {
      // The whole content: what differs from the one that was told before the connection was lost.
      const before = watch.content;
      const content = { ...added, ...changed };
      const has = (map, key) => Object.hasOwn(map, key);
      deleted = Object.keys(before).filter((key) => !has(content, key));
      added = pick(content, (key) => !has(before, key));
      changed = pick(content, (key) => has(before, key) && JSON.stringify(before[key]) !== JSON.stringify(content[key]));
      watch.renewed = false;
    }
    const first = watch.first;
    watch.first = false;
    watch.content = pick({ ...watch.content, ...added, ...changed }, (key) => !deleted.includes(key));
    if (first || deleted.length || Object.keys(added).length || Object.keys(changed).length)
      watch.mailbox.push({ added, changed, deleted, content: watch.content });
  }

  #refused(id, code, text) {
    this.#stats.refused++;
    const error = new RefusedError(code, text);
    this.#take(this.#calls, id)?.reject(error);
    this.#take(this.#opening, id)?.reject(error);
    const shared = this.#byId.get(id);
    if (shared) {
      this.#forgetMonitor(shared);
      fire(shared.all, ["refused", code, text]);
    }
    const watch = this.#take(this.#watches, id);
    watch?.mailbox.fail(error);
    this.#report({ type: "refused", code, text });
  }

  #take(map, id) {
    const found = map.get(id);
    map.delete(id);
    return found;
  }

  #report(status) {
    for (const mailbox of this.#statuses) mailbox.push(status);
  }

  #rejectConnected = () => {};

  #renewConnected() {
    this.#connected = new Promise((resolve, reject) => {
      this.#resolveConnected = resolve;
      this.#rejectConnected = reject;
    });
    // Whoever does not ask is not told.
    this.#connected.catch(() => {});
  }
}

function fire(all, reason) {
  for (const own of [...all]) {
    // One that was withdrawn by another one meanwhile does not fire.
    if (!all.delete(own)) continue;
    try {
      own.callback([...reason]);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

function pick(map, wanted) {
  return Object.fromEntries(Object.entries(map).filter(([key]) => wanted(key)));
}
