// Makes docs/screenshots/top.svg and demo.svg: what `aemp top` and `aemp demo` show on a real terminal (tmux), frame by
// frame.
//
//     cargo build -p aemp-cli && node docs/screenshots/terminal.mjs target/debug/aemp

import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Network, until } from "./network.mjs";
import { here, openShops } from "./shop.mjs";
import { film } from "./film.mjs";

const [aemp = "target/debug/aemp"] = process.argv.slice(2);
const pause = (seconds) => new Promise((wait) => setTimeout(wait, seconds * 1000));

/** A terminal of its own, with a command in it. */
class Terminal {
  constructor(network, width, height, ...command) {
    this.server = `aemp-film-${process.pid}`;
    this.network = network;
    this.tmux("new-session", "-d", "-s", "film", "-x", String(width), "-y", String(height), ...command);
    this.tmux("set-option", "-g", "status", "off");
  }

  tmux(...args) {
    const options = { ...this.network.options, stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" };
    options.env = { ...options.env, PATH: process.env.PATH, TERM: "xterm-256color", LANG: "C.UTF-8" };
    const ran = spawnSync("tmux", ["-L", this.server, "-f", "/dev/null", ...args], options);
    if (ran.status !== 0) throw new Error(`tmux ${args[0]}: ${ran.error ?? ran.stderr}`);
    return ran.stdout;
  }

  press(...keys) {
    this.tmux("send-keys", "-t", "film", ...keys);
  }

  /** What is seen, with its colours. */
  frame() {
    return this.tmux("capture-pane", "-p", "-e", "-t", "film");
  }

  async sees(text) {
    await until(() => this.frame().includes(text), true, text);
  }

  end() {
    this.tmux("kill-server");
  }
}

async function top(network) {
  await openShops(network);
  const terminal = new Terminal(network, 110, 20, network.aemp, "top");
  const frames = [];
  const show = async (seconds, text, ...keys) => {
    if (keys.length > 0) terminal.press(...keys);
    await terminal.sees(text);
    // Rates need two looks.
    await pause(keys.length > 0 ? 1.2 : 2.5);
    frames.push({ seconds, text: terminal.frame() });
  };
  await show(3, "shop/vienna");
  await show(3, "shop/vienna", "2");
  await show(1, "shop/vienna", "Down");
  await show(3, "shop/vienna", "3");
  await show(3, "shop::workers", "4");
  await show(4, "quit", "?");
  terminal.end();
  writeFileSync(join(here, "top.svg"), film(frames, 110, 20, "aemp top: nodes, links, ports and families of a network"));
}

async function demo(network) {
  // The window stays when the command has ended.
  const terminal = new Terminal(network, 110, 30, "sh", "-c", `${network.aemp} demo ${join(here, "../../crates")}; read end`);
  const frames = [];
  do {
    const text = terminal.frame();
    if (text === frames.at(-1)?.text) frames.at(-1).seconds += 0.2;
    else frames.push({ seconds: 0.2, text });
    await pause(0.2);
  } while (!frames.at(-1).text.includes("the plain count"));
  frames.at(-1).seconds = 6;
  terminal.end();
  // Before the first line there is nothing to see.
  const shown = frames.filter(({ text }) => text.trim() !== "");
  writeFileSync(join(here, "demo.svg"), film(shown, 110, 30, "aemp demo: a worker is killed, and nothing is lost"));
}

for (const make of [top, demo]) {
  const network = new Network(aemp);
  try {
    await make(network);
  } finally {
    await network.end();
  }
}
