// What a terminal has shown, as one SVG file that plays it: no program is needed to look at it but a browser.

const WIDTH = 8.4;
const HEIGHT = 18;
const MARGIN = 14;

/** The sixteen colours of a terminal, on a dark ground. */
const COLOURS = [
  "#3b4048", "#ff7b72", "#7ee787", "#e3b341", "#79c0ff", "#d2a8ff", "#76e3ea", "#c9d1d9",
  "#8b949e", "#ffa198", "#aff5b4", "#f8e3a1", "#a5d6ff", "#e2c5ff", "#b3f0ff", "#f0f6fc",
];
const FRONT = "#c9d1d9";
const BACK = "#0d1117";

/** Frames of `{ seconds, text }`, the text as `tmux capture-pane -e` gives it. */
export function film(frames, columns, rows, title) {
  const [width, height] = [columns * WIDTH + 2 * MARGIN, rows * HEIGHT + 2 * MARGIN];
  const all = frames.reduce((sum, { seconds }) => sum + seconds, 0);
  let begin = 0;
  const styles = [];
  const drawn = frames.map(({ seconds, text }, at) => {
    const [from, to] = [begin / all, (begin + seconds) / all].map((part) => (part * 100).toFixed(3));
    begin += seconds;
    styles.push(`.f${at}{animation:f${at} ${all.toFixed(1)}s step-end infinite}`);
    const first = at === 0 ? "" : "0%{opacity:0}";
    styles.push(`@keyframes f${at}{${first}${from}%{opacity:1}${at + 1 < frames.length ? `${to}%{opacity:0}` : ""}}`);
    return `<g class="f${at}" opacity="${at === 0 ? 1 : 0}">${lines(text)}</g>`;
  });
  // Who wants nothing to move sees the last frame.
  const still = `@media (prefers-reduced-motion:reduce){g{animation:none!important}.f0{opacity:0}.f${frames.length - 1}{opacity:1}}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">
<style>text{font:14px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;white-space:pre;fill:${FRONT}}${styles.join("")}${still}</style>
<rect width="${width}" height="${height}" rx="8" fill="${BACK}"/>
${drawn.join("\n")}
</svg>
`;
}

function lines(text) {
  let state = {};
  const out = [];
  text.split("\n").forEach((line, row) => {
    let column = 0;
    for (const part of line.split(/(\x1b\[[0-9;]*m)/)) {
      const codes = /^\x1b\[([0-9;]*)m$/.exec(part);
      if (codes) state = styled(state, codes[1].split(";").map(Number));
      else if (part !== "") {
        out.push(piece(part, column, row, state));
        column += [...part].length;
      }
    }
  });
  return out.join("");
}

function styled(before, codes) {
  const state = { ...before };
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at];
    if (code === 0) Object.assign(state, { bold: false, dim: false, reverse: false, front: undefined, back: undefined });
    else if (code === 1) state.bold = true;
    else if (code === 2) state.dim = true;
    else if (code === 7) state.reverse = true;
    else if (code === 22) state.bold = state.dim = false;
    else if (code === 27) state.reverse = false;
    else if (code >= 30 && code <= 37) state.front = COLOURS[code - 30];
    else if (code >= 90 && code <= 97) state.front = COLOURS[code - 82];
    else if (code === 39) state.front = undefined;
    else if (code >= 40 && code <= 47) state.back = COLOURS[code - 40];
    else if (code >= 100 && code <= 107) state.back = COLOURS[code - 92];
    else if (code === 49) state.back = undefined;
    else if ((code === 38 || code === 48) && codes[at + 1] === 5) {
      state[code === 38 ? "front" : "back"] = COLOURS[codes[at + 2]];
      at += 2;
    }
  }
  return state;
}

function piece(text, column, row, { bold, dim, reverse, front, back }) {
  const [x, y] = [MARGIN + column * WIDTH, MARGIN + row * HEIGHT];
  const [ink, ground] = reverse ? [back ?? BACK, front ?? FRONT] : [front, back];
  const length = [...text].length * WIDTH;
  const behind = ground ? `<rect x="${x.toFixed(1)}" y="${y}" width="${length.toFixed(1)}" height="${HEIGHT}" fill="${ground}"/>` : "";
  const trimmed = text.trimEnd();
  if (trimmed === "") return behind;
  const style = [ink && `fill:${ink}`, bold && "font-weight:600", dim && "opacity:.65"].filter(Boolean).join(";");
  const size = ([...trimmed].length * WIDTH).toFixed(1);
  return `${behind}<text x="${x.toFixed(1)}" y="${y + 13}" textLength="${size}"${style && ` style="${style}"`}>${escape(trimmed)}</text>`;
}

function escape(text) {
  return text.replace(/[&<>"]/g, (letter) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[letter]);
}
