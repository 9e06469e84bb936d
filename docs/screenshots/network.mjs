// A network of real processes with a home folder of its own.

import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

export class Network {
  constructor(aemp) {
    this.aemp = resolve(aemp);
    this.home = mkdtempSync(join(tmpdir(), "aemp-network-"));
    this.options = { cwd: this.home, env: { HOME: this.home }, stdio: ["ignore", "pipe", "inherit"] };
    this.children = [];
  }

  /** Runs a command to its end. */
  run(...args) {
    return spawnSync(this.aemp, args, { ...this.options, stdio: ["ignore", "pipe", "ignore"], encoding: "utf8" });
  }

  /** Starts a command, and gives the first line that it prints. */
  start(...args) {
    const child = spawn(this.aemp, ["--log", "error", ...args], this.options);
    this.children.push(child);
    const line = new Promise((told, failed) => {
      const lines = createInterface({ input: child.stdout });
      lines.once("line", told).once("close", () => failed(new Error(`aemp ${args[0]} has ended`)));
    });
    // Others may end because one has failed.
    line.catch(() => {});
    return line;
  }

  /** Starts a node, and gives its address. */
  async node(name, ...settings) {
    return (await this.start("run", "nodeid", name, "binds", "127.0.0.1:0", ...settings)).split(" ")[2];
  }

  /** Ends the process that was started last. */
  endLast() {
    return ended(this.children.pop());
  }

  async end() {
    await Promise.all(this.children.map(ended));
    rmSync(this.home, { recursive: true, force: true });
  }
}

function ended(child) {
  return new Promise((done) => (child.exitCode === null && child.signalCode === null ? child.once("exit", done).kill() : done()));
}
