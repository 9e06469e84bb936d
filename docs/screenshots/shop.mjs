// The network of the pictures: two seeds, and shops that send orders to each other (shop.rhai).

import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

export const here = dirname(fileURLToPath(import.meta.url));

const SEEDS = ["seed/a", "seed/b"];
const SHOPS = ["shop/berlin", "shop/paris", "shop/oslo", "shop/rome", "shop/madrid", "shop/prague", "shop/vienna"];

export const NODES = SEEDS.length + SHOPS.length;

/** Starts all of them. */
export async function openShops(network) {
  network.run("setsecret", "the secret of the shop");
  const seeds = [];
  for (const name of SEEDS) seeds.push(await network.node(name, "seeds", seeds.join(), "services", "aemp::global"));
  network.run("setseeds", seeds.join());
  await Promise.all(SHOPS.map((name) => openShop(network, name)));
}

/** Starts one more. */
export function openShop(network, name) {
  return network.node(name, "scripts", here, "services", "shop::,aemp::echo");
}
