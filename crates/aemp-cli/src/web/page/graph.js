// The picture of nodes and links. What is drawn stays: with each picture only what is new, gone or
// changed is touched. Many links are drawn as a few paths, one for each strength.

import { Layout } from "./layout.js";
import { cell, kindOf, short, strength } from "./model.js";

const SVG = "http://www.w3.org/2000/svg";

/** Above so many links they are no elements of their own, and of so many at most any are drawn. */
const SINGLE_LINKS = 250;
const LINKS_MAX = 4000;

/** Up to so many nodes and links each has a text. */
const NAMED_NODES = 60;
const NAMED_LINKS = 20;

/** Above so many nodes they are many: links are thin, and only the nodes with most links are named. */
const MANY = 200;
const HUBS = 8;

/** Milliseconds of each frame in which nodes are moved, and between two drawings of many. */
const BUDGET = 8;
const MANY_PAUSE = 300;

/** Room for names at the edges. */
const MARGIN_X = 60;
const MARGIN_OF_GROUPS = 100;
const MARGIN_Y = 30;

function element(name, parent, className) {
  const made = document.createElementNS(SVG, name);
  if (className) made.setAttribute("class", className);
  parent.append(made);
  return made;
}

export class Graph {
  constructor(svg, hover, choose) {
    this.svg = svg;
    this.layout = new Layout();
    this.paths = [0, 1, 2, 3].map((level) => element("path", svg, `link r${level}`));
    this.links = element("g", svg);
    this.marked = element("path", svg, "link chosen");
    this.circles = element("g", svg);
    this.texts = element("g", svg);
    this.drawn = { nodes: new Map(), links: new Map(), names: new Map(), rates: new Map() };
    this.graph = { nodes: [], edges: [], grouped: false };
    this.chosen = null;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    svg.addEventListener("click", (event) => choose(event.target.dataset?.id ?? null));
    svg.addEventListener("pointermove", (event) => {
      hover.textContent = this.told(event.target.dataset?.id);
    });
    new ResizeObserver(() => this.draw()).observe(svg);
  }

  told(id) {
    const node = this.graph.nodes.find((node) => node.id === id);
    if (!node) return "";
    const members = node.members > 1 ? `${node.members} nodes ` : "";
    const bad = node.members > 1 && node.bad > 0 ? `, ${node.bad} not up` : "";
    return `${members}${node.id}: ${node.state}${bad}, ${node.degree} links`;
  }

  /** Takes what there is now. */
  update(graph, chosen) {
    this.graph = graph;
    this.chosen = chosen;
    const { nodes, edges } = graph;
    const strongest = edges.length > LINKS_MAX
      ? edges.toSorted((one, other) => (other.rate ?? 0) - (one.rate ?? 0)).slice(0, LINKS_MAX) : edges;
    this.edges = strongest;
    this.layout.update(nodes.map((node) => node.id), strongest);
    this.keep();
    const groups = graph.grouped ? ", nodes of one kind as one" : "";
    this.svg.setAttribute("aria-label", `${nodes.length} nodes and ${edges.length} links${groups}; the lists tell the same`);
    this.settle();
  }

  /** Makes and removes elements, and gives them their kinds and texts. */
  keep() {
    const { nodes, edges, grouped } = this.graph;
    const most = Math.max(1, ...nodes.map((node) => node.members));
    const degrees = nodes.map((node) => node.degree).sort((one, other) => other - one);
    const hub = Math.max(3, degrees[HUBS] ?? 0);
    const named = (node) => nodes.length <= NAMED_NODES || grouped || node.id === this.chosen || node.degree > hub;
    this.degrees = new Map(nodes.map((node) => [node.id, node.degree]));
    this.svg.classList.toggle("many", nodes.length > MANY);
    this.match(this.drawn.nodes, nodes, (node) => node.id, () => element("circle", this.circles), (circle, node) => {
      set(circle, "class", kindOf(node.state) + (node.id === this.chosen ? " chosen" : ""));
      set(circle, "data-id", node.id);
      const size = grouped ? 8 + 16 * Math.sqrt(node.members / most) : radius(node, nodes.length);
      set(circle, "r", size.toFixed(1));
    });
    this.match(this.drawn.names, nodes.filter(named), (node) => node.id, () => element("text", this.texts), (text, node) => {
      const name = node.id.length > 22 ? node.id.slice(0, 10) + "…" + node.id.slice(-11) : node.id;
      const bad = node.bad > 0 ? `, ${node.bad} not up` : "";
      put(text, node.members > 1 ? `${name} × ${node.members}${bad}` : name);
    });
    const single = edges.length <= SINGLE_LINKS ? edges : [];
    this.match(this.drawn.links, single, (edge) => edge.key, () => element("line", this.links), (line, edge) => {
      const chosen = edge.from === this.chosen || edge.to === this.chosen;
      set(line, "class", `link r${strength(edge.rate)}` + (chosen ? " chosen" : ""));
    });
    const told = edges.length <= NAMED_LINKS
      ? edges : edges.filter((edge) => edge.from === this.chosen || edge.to === this.chosen).slice(0, NAMED_LINKS);
    this.match(this.drawn.rates, told, (edge) => edge.key, () => element("text", this.texts, "rate"), (text, edge) => {
      const trip = edge.trip === null ? "" : cell("round_trip_ms", edge.trip);
      const rate = edge.rate ? `${short(edge.rate)}/s` : "";
      put(text, [rate, trip].filter((part) => part !== "").join(" · "));
    });
  }

  match(drawn, items, key, make, change) {
    const there = new Map(items.map((item) => [key(item), item]));
    for (const [id, made] of drawn) {
      if (!there.has(id)) {
        made.remove();
        drawn.delete(id);
      }
    }
    for (const [id, item] of there) {
      let made = drawn.get(id);
      if (!made) drawn.set(id, (made = make()));
      change(made, item);
    }
  }

  /** Moves nodes until they have found their places, a bit in each frame. */
  settle() {
    if (this.moving) return;
    const frame = () => {
      const now = performance.now();
      const end = now + BUDGET;
      let moves = true;
      let steps = 0;
      // Who wants no motion sees the places once they are found.
      while (moves && performance.now() < end && (this.still.matches || steps < 3)) {
        moves = this.layout.step();
        steps += 1;
      }
      const pause = this.drawn.nodes.size > MANY ? MANY_PAUSE : 0;
      if (!moves || (!this.still.matches && now - (this.drew ?? 0) >= pause)) {
        this.drew = now;
        this.draw();
      }
      this.moving = moves && requestAnimationFrame(frame);
    };
    this.moving = requestAnimationFrame(frame);
  }

  draw() {
    const { width, height } = this.svg.getBoundingClientRect();
    if (width === 0) return;
    const places = this.layout.fit(width, height, this.graph.grouped ? MARGIN_OF_GROUPS : MARGIN_X, MARGIN_Y);
    for (const [id, circle] of this.drawn.nodes) {
      const { x, y } = places.get(id);
      set(circle, "cx", x.toFixed(1));
      set(circle, "cy", y.toFixed(1));
    }
    for (const [id, text] of this.drawn.names) {
      const { x, y } = places.get(id);
      set(text, "x", x.toFixed(1));
      set(text, "y", (y - Number(this.drawn.nodes.get(id).getAttribute("r")) - 5).toFixed(1));
    }
    this.drawLinks(places);
  }

  drawLinks(places) {
    const paths = ["", "", "", ""];
    let marked = "";
    for (const edge of this.edges ?? []) {
      const from = places.get(edge.from), to = places.get(edge.to);
      const line = this.drawn.links.get(edge.key);
      if (line) {
        set(line, "x1", from.x.toFixed(1));
        set(line, "y1", from.y.toFixed(1));
        set(line, "x2", to.x.toFixed(1));
        set(line, "y2", to.y.toFixed(1));
      } else {
        const text = `M${from.x.toFixed(1)} ${from.y.toFixed(1)}L${to.x.toFixed(1)} ${to.y.toFixed(1)}`;
        paths[strength(edge.rate)] += text;
        if (edge.from === this.chosen || edge.to === this.chosen) marked += text;
      }
      const rate = this.drawn.rates.get(edge.key);
      if (rate) {
        // Nearer to the end with fewer links, where there is more room.
        const part = 0.5 + 0.14 * Math.sign(this.degrees.get(edge.from) - this.degrees.get(edge.to));
        set(rate, "x", (from.x + (to.x - from.x) * part).toFixed(1));
        set(rate, "y", (from.y + (to.y - from.y) * part + 4).toFixed(1));
      }
    }
    this.paths.forEach((path, level) => set(path, "d", paths[level]));
    set(this.marked, "d", marked);
  }
}

function radius(node, count) {
  const most = count > MANY ? 3 : count > NAMED_NODES ? 4.5 : 7;
  return most + Math.min(6, Math.sqrt(node.degree));
}

function set(made, name, value) {
  if (made.getAttribute(name) !== value) made.setAttribute(name, value);
}

function put(made, text) {
  if (made.textContent !== text) made.textContent = text;
}
