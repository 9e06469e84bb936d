/** What messages are made of. Strings of bytes arrive as strings of the code points 0 to 255. */
export type Value = null | boolean | number | string | Value[] | { [key: string]: Value };
/** Why a port has ended: empty for a normal end. */
export type Reason = Value[];

/** The base of the errors of this package. `reason` is that of the network. */
export class AempError extends Error {
  reason: Reason;
}
/** A call failed: the port is dead or unreachable, or there was no answer in time. */
export class CallError extends AempError {}
/** The gateway refuses what was asked for. `code` says what. */
export class RefusedError extends AempError {
  code: string;
}
/** The client was closed. */
export class ClosedError extends AempError {}

export interface Options {
  /** Who this client is, for the gateway. */
  token: string;
  /** Instead of the global one. */
  WebSocket?: typeof globalThis.WebSocket;
  /** How many characters may wait for a connection; passing it counts as a loss. Default: 4 MiB. */
  queueLimit?: number;
}

export type Status =
  | { type: "connected"; node: string }
  | { type: "disconnected"; code: number; text: string }
  | { type: "refused"; code: string; text: string }
  | { type: "closed" };

export interface Change {
  added: Record<string, Value>;
  changed: Record<string, Value>;
  deleted: string[];
  /** The family after the change. */
  content: Record<string, Value>;
}

/** A port of this client: an asynchronous iterator over its messages, which ends when the port does. */
export class Port implements AsyncIterableIterator<Value[]>, AsyncDisposable {
  /** The port ID: give it to others so that they can send to this port. */
  readonly id: string;
  /** Why the port has ended; null while it lives. */
  readonly reason: Reason | null;
  /** Ends the port: normally without a reason. */
  close(...reason: Value[]): void;
  next(): Promise<IteratorResult<Value[], undefined>>;
  return(): Promise<IteratorResult<Value[], undefined>>;
  [Symbol.asyncIterator](): this;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A client of a gateway. It connects at once, and again whenever the connection is lost, until it is closed. */
export class Client implements AsyncDisposable {
  constructor(url: string | URL, options: Options);
  /** Resolves when there is a connection; rejects when the client is closed or the token refused. */
  readonly connected: Promise<void>;
  /** What happens to the connection. */
  status(): AsyncIterableIterator<Status>;
  /** Messages sent and received, connections made, refusals. */
  stats(): { sent: number; received: number; connects: number; refused: number };
  /** Sends values to a port. Never waits; without a monitor losses are silent. */
  send(port: string, ...values: Value[]): void;
  /** Sends values with a port for the answer at their end; resolves to the answer. `timeout` is in milliseconds. */
  call(port: string, values: Value[], options?: { timeout?: number; signal?: AbortSignal }): Promise<Value[]>;
  /** Makes a port. It is gone when the connection is. */
  open(options?: { signal?: AbortSignal }): Promise<Port>;
  /**
   * Calls back once, with the reason: the port is dead, or a message to it may be lost. From now on either every message to the port
   * arrives, in order, or this fires. Returns a function that withdraws the monitor.
   */
  monitor(port: string, callback: (reason: Reason) => void): () => void;
  /** Watches a family: its content, then its changes. It survives lost connections. */
  watch(family: string, options?: { signal?: AbortSignal }): AsyncIterableIterator<Change>;
  /** The time to the gateway and back, in milliseconds. */
  rtt(): Promise<number>;
  /** Ends the client: its ports and watches end, its monitors fire. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
