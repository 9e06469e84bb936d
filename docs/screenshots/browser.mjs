// Chromium, steered over a pipe with its own protocol: no package is needed.

import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ended, until, within } from "./network.mjs";

const OPTIONS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-quic", "--hide-scrollbars", "--remote-debugging-pipe",
];

export class Browser {
  /** Starts it with a profile of its own. */
  static async start(program = "chromium") {
    const browser = new Browser();
    browser.profile = mkdtempSync(join(tmpdir(), "aemp-browser-"));
    browser.process = spawn(program, [...OPTIONS, `--user-data-dir=${browser.profile}`, "about:blank"], {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    });
    browser.asked = new Map();
    browser.events = [];
    const ended = new Promise((_, reject) => browser.process.once("error", reject));
    browser.process.once("exit", () => browser.lost());
    let text = "";
    browser.process.stdio[4].setEncoding("utf8").on("data", (part) => {
      const messages = (text + part).split("\0");
      text = messages.pop();
      messages.forEach((message) => browser.take(JSON.parse(message)));
    });
    const { targetInfos } = await Promise.race([browser.ask("Target.getTargets"), ended]);
    const { targetId } = targetInfos.find(({ type }) => type === "page");
    browser.session = (await browser.ask("Target.attachToTarget", { targetId, flatten: true })).sessionId;
    for (const domain of ["Page", "Runtime", "Log"]) await browser.ask(`${domain}.enable`);
    return browser;
  }

  take({ id, method, params, result, error }) {
    if (method) this.events.push({ method, params });
    const asked = this.asked.get(id);
    this.asked.delete(id);
    if (error) asked?.reject(new Error(error.message));
    else asked?.resolve(result);
  }

  /** What was asked gets no answer any more. */
  lost() {
    for (const { reject } of this.asked.values()) reject(new Error("the browser has ended"));
    this.asked.clear();
  }

  ask(method, params = {}) {
    const id = (this.count = (this.count ?? 0) + 1);
    this.process.stdio[3].write(JSON.stringify({ id, method, params, sessionId: this.session }) + "\0");
    return within(new Promise((resolve, reject) => this.asked.set(id, { resolve, reject })), `an answer to ${method}`);
  }

  /** How large the page is, in which colours, and whether things may move. */
  async look({ width = 1200, height = 760, scheme = "light", motion = "no-preference" }) {
    await this.ask("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
    await this.ask("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: scheme }, { name: "prefers-reduced-motion", value: motion }],
    });
  }

  open(url) {
    return this.ask("Page.navigate", { url });
  }

  /** The value of an expression in the page. */
  async value(expression) {
    const { result, exceptionDetails } = await this.ask("Runtime.evaluate", {
      expression, returnByValue: true, awaitPromise: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Waits until an expression is true. */
  until(expression) {
    return until(async () => Boolean(await this.value(expression)), true, expression);
  }

  async press(key, text = key.length === 1 ? key : undefined) {
    const code = { Enter: 13, Escape: 27, Tab: 9, ArrowDown: 40, ArrowUp: 38, ArrowRight: 39 }[key] ?? key.charCodeAt(0);
    await this.ask("Input.dispatchKeyEvent", { type: "keyDown", key, text: key === "Enter" ? "\r" : text, windowsVirtualKeyCode: code });
    await this.ask("Input.dispatchKeyEvent", { type: "keyUp", key, windowsVirtualKeyCode: code });
  }

  /** A picture of what is seen, as PNG. */
  async shot() {
    const { data } = await this.ask("Page.captureScreenshot", { format: "png" });
    return Buffer.from(data, "base64");
  }

  /** What went wrong in the page: errors, and requests that the policy of the page forbids. */
  faults() {
    const bad = ({ method, params }) =>
      method === "Runtime.exceptionThrown" || (method === "Log.entryAdded" && params.entry.level === "error");
    return this.events.filter(bad).map(({ params }) => params.entry?.text ?? params.exceptionDetails.exception?.description);
  }

  async end() {
    await ended(this.process);
    // Its own children may still write.
    await rm(this.profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}
