// A gateway as a process, behind a relay whose connections can be cut.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const root = new URL("../../../", import.meta.url).pathname;
const candidates = process.env.AEMP_BIN ? [process.env.AEMP_BIN] : ["release", "debug"].map((kind) => `${root}target/${kind}/aemp`);
const built = candidates.filter((path) => existsSync(path));
/** The `aemp` command that was built last. */
export const binary = built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
export const skip = binary ? false : "the aemp command is not built: cargo build -p aemp-cli, or set AEMP_BIN";

export const TOKEN = "0123456789abcdef";
const SECRET = "fixture-secret";

class Relay {
  #sockets = new Set();
  #server;
  target = null;

  async start() {
    this.#server = createServer((near) => {
      const far = connect(this.target);
      for (const [one, other] of [[near, far], [far, near]]) {
        this.#sockets.add(one);
        one.on("error", () => other.destroy());
        one.on("close", () => (this.#sockets.delete(one), other.destroy()));
        one.pipe(other);
      }
    });
    await new Promise((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `127.0.0.1:${this.#server.address().port}`;
  }
  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }
  stop() {
    this.cut();
    this.#server.close();
  }
}

/** Starts a gateway; all of it ends with the test. */
export async function network(test, { limits = {} } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "aemp-edge-"));
  const relay = new Relay();
  const address = await relay.start();
  const client = { name: "one", token: TOKEN, send: ["@aemp::echo", "gate#*"], call: ["@aemp::echo", "gate#*"], watch: ["aemp::echo", "things"], ports: 8, limits };
  writeFileSync(join(folder, "clients.json"), JSON.stringify({ hosts: [address], clients: [client] }));
  const settings = ["norc", "1", "nodeid", "gate", "secret", SECRET, "binds", "127.0.0.1:0", "services", "aemp::global,aemp::echo"];
  const process = spawn(binary, ["run", "--json", ...settings, "ws", "127.0.0.1:0", "ws_clients", join(folder, "clients.json")], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  test.after(() => {
    process.kill("SIGKILL");
    relay.stop();
    rmSync(folder, { recursive: true });
  });
  const [line] = await new Promise((resolve) => createInterface(process.stdout).on("line", (text) => resolve([text])));
  const { ws, listeners } = JSON.parse(line);
  const [host, port] = ws.split(":");
  relay.target = { host, port: Number(port) };
  return { url: `ws://${address}/`, direct: `ws://${ws}/`, cut: () => relay.cut(), seed: listeners[0], process };
}
