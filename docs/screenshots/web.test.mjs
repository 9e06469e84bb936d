// The page of `aemp web` in a real browser. tests/web.rs of aemp-cli runs this where Chromium is:
//
//     AEMP=target/debug/aemp node --test docs/screenshots/web.test.mjs

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { Browser } from "./browser.mjs";
import { Network, until } from "./network.mjs";

const HOSTILE = "<img src=x onerror=alert(1)>";
const network = new Network(process.env.AEMP ?? "target/debug/aemp");
let browser;

// Looks for what keeps people out who use a keyboard or a screen reader.
const AXE = new URL("../../target/js-tools/node_modules/axe-core/axe.min.js", import.meta.url);
const axe = existsSync(AXE) ? readFileSync(AXE, "utf8") : null;

const drawn = () => browser.value(`[...document.querySelectorAll("circle[data-id]")].map((circle) => circle.dataset.id + " " + circle.classList[0]).sort().join()`);
const lists = () => browser.value(`[...document.querySelectorAll("tbody tr:not(.space)")].map((row) => [...row.cells].map((cell) => cell.textContent))`);

const serious = () => browser.value(`axe.run().then(({ violations }) => violations
  .filter(({ impact }) => impact === "serious" || impact === "critical")
  .map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html).join(" ")))`);

before(async () => {
  network.run("setsecret", "the secret of the tests");
  network.run("setseeds", await network.node("seed", "services", "aemp::echo"));
  network.run("snd", "seed#nobody", HOSTILE);
  const page = await network.start("web", "127.0.0.1:0", "--allow", "kill");
  browser = await Browser.start(process.env.CHROMIUM);
  await browser.look({});
  await browser.open(page);
  await browser.until(`document.querySelector("circle[data-id]") !== null`);
});

after(async () => {
  // Processes that are left would keep this one from ending.
  await network.end();
  await browser?.end();
});

test("the token does not stay in the address", async () => {
  assert.match(await browser.value("location.href"), /^http:\/\/127\.0\.0\.1:\d+\/$/);
});

test("a node that joins or leaves is on the graph", async () => {
  await network.node("worker");
  await until(drawn, "seed up,worker up");
  await network.endLast();
  await until(drawn, "seed up,worker gone");
  await browser.until(`document.querySelector("#news").textContent.includes("node worker is unreachable")`);
});

test("what nodes tell is text", async () => {
  await browser.press("5");
  await browser.until(`document.querySelector("tbody").textContent.includes("onerror")`);
  assert.ok((await lists()).some((cells) => cells.includes(HOSTILE)));
  assert.equal(await browser.value(`document.querySelector("img")`), null);
});

test("what nodes log is shown while it is wanted, down to a level", async () => {
  await browser.press("6");
  await browser.until(`!document.querySelector("#level").hidden`);
  let number = 0;
  const heard = (text) => until(async () => {
    network.run("snd", "seed", `${HOSTILE}${(number += 1)}`);
    return browser.value(`document.querySelector("tbody").textContent.includes(${JSON.stringify(text)})`);
  }, true, text);
  await heard(HOSTILE);
  assert.equal(await browser.value(`document.querySelector("img")`), null);
  await browser.value(`{ const level = document.querySelector("#level"); level.value = "debug"; level.dispatchEvent(new Event("change")); }`);
  await heard("node down");
  await browser.press("1");
  await browser.until(`document.querySelector("#level").hidden`);
});

test("axe finds nothing serious", { skip: axe === null && "axe-core is not installed" }, async () => {
  await browser.value(axe);
  for (const scheme of ["light", "dark"]) {
    // Colours that are changing have no contrast of their own.
    await browser.look({ scheme, motion: "reduce" });
    for (const list of ["1", "2", "3", "4", "5", "6"]) {
      await browser.press(list);
      await browser.until(`!document.querySelector("#empty").textContent.includes("being asked for")`);
      assert.deepEqual(await serious(), [], `list ${list}, ${scheme}`);
    }
    await browser.press("1");
    // It is drawn in the next frame, and only what is drawn can be chosen.
    await browser.until(`document.querySelector("tbody tr:not(.space)")?.cells[0].textContent === "seed"`);
    await browser.press("ArrowDown");
    await browser.press("Enter");
    await browser.until(`document.querySelector("#details").open`);
    assert.deepEqual(await serious(), [], `details, ${scheme}`);
    await browser.press("Escape");
  }
  await browser.look({});
});

test("a port is found, looked at and killed with keys alone", async () => {
  await browser.press("3");
  await browser.until(`document.querySelector("tbody").textContent.includes("idle")`);
  await browser.press("/");
  for (const key of "idle") await browser.press(key);
  await browser.press("Enter");
  await browser.press("ArrowDown");
  await browser.press("Enter");
  await browser.until(`document.querySelector("#details").open`);
  await browser.press("Escape");
  await browser.until(`!document.querySelector("#details").open`);
  await browser.press("Enter");
  await browser.until(`document.activeElement.textContent === "close"`);
  await browser.press("Tab");
  await browser.until(`document.activeElement.textContent === "kill"`);
  await browser.press("Enter");
  await browser.until(`document.querySelector("#told").textContent.startsWith("press kill again")`);
  await browser.press("Enter");
  await browser.until(`document.querySelector("#told").textContent.startsWith("dead: killed by aemp web")`);
  await browser.press("Escape");
});

test("it follows the colours that are wanted", async () => {
  const background = () => browser.value("getComputedStyle(document.body).backgroundColor");
  const light = await background();
  await browser.look({ scheme: "dark" });
  assert.notEqual(await background(), light);
});

test("nothing was forbidden or went wrong, and nothing was asked for elsewhere", async () => {
  assert.deepEqual(browser.faults(), []);
  const asked = await browser.value(`performance.getEntriesByType("resource").map(({ name }) => new URL(name).host)`);
  const host = await browser.value("location.host");
  assert.ok(asked.length > 5 && asked.every((other) => other === host), String(asked));
});

test("without the token it asks for it", async () => {
  await browser.value(`sessionStorage.clear()`);
  await browser.open((await browser.value("location.href")) + "?");
  await browser.until(`document.querySelector("#entry")?.hidden === false`);
  assert.equal(await browser.value(`document.activeElement.id`), "token");
  if (axe !== null) {
    await browser.value(axe);
    assert.deepEqual(await serious(), []);
  }
});
