// A list of rows. Only those on the screen are there; cells are touched when they have changed.

import { cell, heading, keyOf, visible } from "./model.js";

const ROW_HEIGHT = 28;

export class Rows {
  constructor(panel, table, { open, sort, marked }) {
    Object.assign(this, { panel, table, sort, marked, list: [], columns: [], chosen: null });
    this.head = table.tHead;
    this.body = table.tBodies[0];
    this.above = space(this.body);
    this.below = space(this.body);
    this.made = [];
    panel.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(panel);
    this.body.addEventListener("click", (event) => {
      const at = Number(event.target.closest("tr")?.dataset.at ?? NaN);
      if (!this.list[at]) return;
      this.choose(at);
      open(this.list[at]);
    });
    table.addEventListener("keydown", (event) => {
      const page = Math.max(1, Math.floor(panel.clientHeight / ROW_HEIGHT) - 2);
      const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
      if (event.target !== table) return;
      if (by) {
        event.preventDefault();
        this.choose(this.place() + by);
      } else if (event.key === "Enter" && this.list[this.place()]) {
        event.preventDefault();
        open(this.list[this.place()]);
      }
    });
  }

  /** Another list comes: it begins at its first row. */
  reset() {
    this.chosen = null;
    this.panel.scrollTop = 0;
  }

  show(source, columns, list, { sort, descending }) {
    this.source = source;
    this.list = list;
    this.titles(columns, sort, descending);
    this.table.setAttribute("aria-rowcount", String(list.length + 1));
    this.draw();
  }

  titles(columns, sort, descending) {
    if (this.columns.join() !== columns.join()) {
      this.columns = columns;
      const row = document.createElement("tr");
      row.append(...columns.map((column) => {
        const title = document.createElement("th");
        const button = document.createElement("button");
        Object.assign(button, { type: "button", textContent: heading(column) });
        button.addEventListener("click", () => this.sort(column));
        title.scope = "col";
        title.append(button);
        return title;
      }));
      this.head.replaceChildren(row);
      this.made.forEach((made) => made.remove());
      this.made = [];
    }
    const titles = [...this.head.rows[0].cells];
    titles.forEach((title, at) => {
      const sorted = columns[at] === sort;
      if (sorted) title.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else title.removeAttribute("aria-sort");
      title.classList.toggle("number", this.isNumber(columns[at]));
      const text = heading(columns[at]) + (sorted ? (descending ? " ▼" : " ▲") : "");
      if (title.firstChild.textContent !== text) title.firstChild.textContent = text;
    });
  }

  isNumber(column) {
    const at = this.source?.columns.indexOf(column) ?? -1;
    const first = this.list.find((row) => row[at] !== null && row[at] !== undefined);
    return first !== undefined && typeof first[at] === "number";
  }

  place() {
    return this.chosen === null ? -1 : this.list.findIndex((row) => keyOf(this.source, row) === this.chosen);
  }

  choose(at) {
    if (this.list.length === 0) return;
    const place = Math.max(0, Math.min(at, this.list.length - 1));
    this.chosen = keyOf(this.source, this.list[place]);
    const { scrollTop, clientHeight } = this.panel;
    const top = place * ROW_HEIGHT;
    const head = this.head.offsetHeight;
    if (top < scrollTop) this.panel.scrollTop = top;
    else if (top + ROW_HEIGHT + head > scrollTop + clientHeight) this.panel.scrollTop = top + ROW_HEIGHT + head - clientHeight;
    this.draw();
  }

  draw() {
    if (!this.source) {
      this.made.splice(0).forEach((made) => made.remove());
      return;
    }
    const { first, last } = visible(this.list.length, this.panel.scrollTop, this.panel.clientHeight, ROW_HEIGHT);
    this.above.height(first * ROW_HEIGHT);
    this.below.height((this.list.length - last) * ROW_HEIGHT);
    while (this.made.length > last - first) this.made.pop().remove();
    while (this.made.length < last - first) this.made.push(this.make());
    const places = this.columns.map((column) => this.source.columns.indexOf(column));
    const numbers = this.columns.map((column) => this.isNumber(column));
    this.table.removeAttribute("aria-activedescendant");
    for (let at = first; at < last; at += 1) {
      this.fill(this.made[at - first], at, places, numbers);
    }
  }

  make() {
    const row = document.createElement("tr");
    row.append(...this.columns.map(() => document.createElement("td")));
    for (const made of row.cells) made.setAttribute("role", "gridcell");
    this.below.row.before(row);
    return row;
  }

  fill(made, at, places, numbers) {
    const row = this.list[at];
    const key = keyOf(this.source, row);
    const chosen = key === this.chosen;
    made.dataset.at = String(at);
    made.id = `row${at}`;
    made.className = (chosen ? "chosen " : "") + (this.marked(key) ? "new" : "");
    made.setAttribute("aria-selected", String(chosen));
    made.setAttribute("aria-rowindex", String(at + 2));
    if (chosen) this.table.setAttribute("aria-activedescendant", made.id);
    places.forEach((place, column) => {
      const target = made.cells[column];
      const text = cell(this.columns[column], row[place]);
      if (target.textContent !== text) target.textContent = text;
      target.className = numbers[column] ? "number" : "";
      if (text.length > 24) target.title = text;
      else target.removeAttribute("title");
    });
  }
}

/** Stands for rows that are not on the screen. */
function space(body) {
  const row = document.createElement("tr");
  row.className = "space";
  row.setAttribute("aria-hidden", "true");
  const made = document.createElement("td");
  row.append(made);
  body.append(row);
  return { row, height: (size) => (made.style.height = `${size}px`) };
}
