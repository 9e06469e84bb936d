// Makes docs/screenshots/web.png: a network of real processes in a real browser.
//
//     cargo build -p aemp-cli && node docs/screenshots/web.mjs target/debug/aemp [chromium]

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Browser } from "./browser.mjs";
import { Network } from "./network.mjs";
import { NODES, here, openShop, openShops } from "./shop.mjs";

const [aemp = "target/debug/aemp", chromium] = process.argv.slice(2);
const pause = (seconds) => new Promise((wait) => setTimeout(wait, seconds * 1000));
const network = new Network(aemp);
let browser;
try {
  await openShops(network);
  const page = await network.start("web", "127.0.0.1:0");
  browser = await Browser.start(chromium);
  await browser.look({ scheme: "light" });
  await browser.open(page);
  await browser.until(`document.querySelectorAll("circle[data-id]").length === ${NODES}`);
  // One more node, so that there is news; rates need two looks, and nodes some frames to settle.
  await openShop(network, "shop/lisbon");
  await browser.until(`document.querySelector("#news").textContent.includes("shop/lisbon")`);
  await browser.value(`document.querySelector('[data-id="shop/paris"]').dispatchEvent(new MouseEvent("click", { bubbles: true }))`);
  await browser.press("2");
  await pause(6);
  writeFileSync(join(here, "web.png"), await browser.shot());
  if (browser.faults().length > 0) throw new Error(browser.faults().join("\n"));
} finally {
  await network.end();
  await browser?.end();
}
