// Where nodes are drawn: they push each other away, links hold them together. A node stays where it
// is when others come and go, as far as there is room.

/** Attraction and repulsion are in balance at about this distance. */
const DISTANCE = 60;

/** The unrest below which nothing moves any more, and what is left of it with each step. */
const STILL = 0.02;
const COOLING = 0.96;

/** How much further apart nodes may be in one direction than in the other, and at most. */
const STRETCH = 1.4;
const SCALE_MAX = 3;

/** A number from 0 to 1 that is always the same for a text (FNV-1a, mixed). */
export function hash(text) {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) {
    value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  }
  value = Math.imul(value ^ (value >>> 15), 0x2c1b3c6d);
  return ((value ^ (value >>> 13)) >>> 0) / 2 ** 32;
}

export class Layout {
  constructor() {
    /** Places by node. */
    this.places = new Map();
    this.ends = [];
    this.unrest = 0;
  }

  /** Takes what there is now; true if a node or link is new or gone. */
  update(ids, edges) {
    const before = this.places;
    const near = new Map();
    for (const { from, to } of edges) {
      if (before.has(from)) near.set(to, before.get(from));
      if (before.has(to)) near.set(from, before.get(to));
    }
    this.places = new Map(ids.map((id) => [id, before.get(id) ?? place(id, near.get(id), ids.length)]));
    const came = ids.some((id) => !before.has(id)) || before.size !== this.places.size;
    const signature = edges.map(({ from, to }) => from + "\n" + to).sort().join("\n\n");
    const changed = came || signature !== this.signature;
    this.signature = signature;
    this.ends = edges.map(({ from, to }) => [this.places.get(from), this.places.get(to)]);
    if (changed) this.unrest = Math.max(this.unrest, before.size === 0 ? 1 : 0.35);
    return changed;
  }

  /** Moves all a bit; false once nothing moves. */
  step() {
    if (this.unrest < STILL) return false;
    const places = [...this.places.values()];
    const count = places.length;
    for (const one of places) {
      one.dx = -one.x * 0.02;
      one.dy = -one.y * 0.02;
    }
    for (let at = 0; at < count; at += 1) {
      const one = places[at];
      for (let other_at = at + 1; other_at < count; other_at += 1) {
        const other = places[other_at];
        const x = one.x - other.x, y = one.y - other.y;
        const push = (DISTANCE * DISTANCE) / (x * x + y * y + 25);
        one.dx += x * push * 0.1;
        one.dy += y * push * 0.1;
        other.dx -= x * push * 0.1;
        other.dy -= y * push * 0.1;
      }
    }
    for (const [one, other] of this.ends) {
      const x = one.x - other.x, y = one.y - other.y;
      const distance = Math.sqrt(x * x + y * y) + 0.01;
      const pull = ((distance - DISTANCE) / distance) * 0.12;
      one.dx -= x * pull;
      one.dy -= y * pull;
      other.dx += x * pull;
      other.dy += y * pull;
    }
    const most = DISTANCE * this.unrest;
    for (const one of places) {
      const length = Math.sqrt(one.dx * one.dx + one.dy * one.dy);
      const part = Math.min(1, most / (length + 0.01));
      one.x += one.dx * part;
      one.y += one.dy * part;
    }
    this.unrest *= COOLING;
    return true;
  }

  /** The place of each node within a picture of this size. */
  fit(width, height, beside, above = beside) {
    const places = [...this.places.values()];
    const span = (of) => [Math.min(...places.map(of)), Math.max(...places.map(of))];
    if (places.length === 0) return new Map();
    const [left, right] = span((place) => place.x);
    const [top, bottom] = span((place) => place.y);
    const room = (size, margin) => Math.max(1, size - 2 * margin);
    const wide = room(width, beside) / Math.max(right - left, 1);
    const high = room(height, above) / Math.max(bottom - top, 1);
    // A bit of stretching fills the picture.
    const scale = (one, other) => Math.min(one, other * STRETCH, SCALE_MAX);
    const x = (value) => width / 2 + (value - (left + right) / 2) * scale(wide, high);
    const y = (value) => height / 2 + (value - (top + bottom) / 2) * scale(high, wide);
    return new Map([...this.places].map(([id, place]) => [id, { x: x(place.x), y: y(place.y) }]));
  }
}

/** Where a new node begins: beside one that it is linked to, else on a ring. */
function place(id, near, count) {
  const angle = hash(id) * 2 * Math.PI;
  const far = near ? DISTANCE * 0.7 : DISTANCE * Math.sqrt(count) * (0.3 + 0.7 * hash(id + "far"));
  return { x: (near?.x ?? 0) + far * Math.cos(angle), y: (near?.y ?? 0) + far * Math.sin(angle), dx: 0, dy: 0 };
}
