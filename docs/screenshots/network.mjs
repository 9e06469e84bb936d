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
    return within(line, `the first line of aemp ${args[0]}`);
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

/** Waits until what is looked at again and again is this. */
export async function until(look, expected, what = expected, seconds = 30) {
  let seen;
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    seen = await look();
    if (seen === expected) return;
    await new Promise((wait) => setTimeout(wait, 20));
  }
  throw new Error(`not within ${seconds} s: ${what}, but ${seen}`);
}

/** What is promised, if it comes in time. */
export function within(promised, what, seconds = 30) {
  let timer;
  const late = new Promise((_, failed) => {
    timer = setTimeout(() => failed(new Error(`not within ${seconds} s: ${what}`)), seconds * 1000);
  });
  return Promise.race([promised, late]).finally(() => clearTimeout(timer));
}

/** Ends a process, and waits until it has; one that does not end in time is killed. */
export async function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const over = new Promise((done) => child.once("exit", done));
  child.kill();
  await within(over, "the end of a process").catch(() => child.kill("SIGKILL") && over);
}
