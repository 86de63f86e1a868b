// Our own charts: lines over time with thresholds, and small lines for tables. SVG, redrawn whole: a few dozen nodes.

import { el, setAttribute, setText, svg } from "./dom.js";
import { clockTime } from "./words.js";

const LEFT = 52;
const RIGHT = 14;
const TOP = 10;
const BOTTOM = 22;
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400];
const TICK_ROOM = 92;

/** Maps `[low, high]` to `[start, end]`, linearly or by logarithm; what is outside is clamped. */
export function scale(low, high, start, end, log = false) {
  const way = log ? Math.log10 : (value) => value;
  const width = way(high) - way(low);
  return (value) => {
    const inside = Math.min(Math.max(value, low), high);
    return start + (width > 0 ? (way(inside) - way(low)) / width : 0) * (end - start);
  };
}

/** Round times in `[low, high]`, at most about `most` of them. */
export function timeTicks(low, high, most) {
  const step = STEPS_S.find((one) => (high - low) / one <= most) ?? STEPS_S.at(-1);
  const ticks = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) ticks.push(at);
  return ticks;
}

/** A path through points `[time, value]`, with a gap wherever a value is null. */
export function pathOf(points, x, y) {
  let pen = "M";
  let path = "";
  for (const [at, value] of points) {
    if (!Number.isFinite(value)) {
      pen = "M";
      continue;
    }
    path += `${pen}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
  }
  return path;
}

/** The last value at or before `at`; null where there is none, or it is older than the gap between samples allows. */
export function valueAt(points, at) {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] <= at) low = middle + 1;
    else high = middle;
  }
  return low > 0 ? points[low - 1][1] : null;
}

/** A chart of fixed height that follows the width it is given. */
export class LineChart {
  #host;
  #drawing;
  #legend;
  #moment;
  #data = null;
  #cursor = null;
  #options;

  /** `options`: `title`, `format` (of values), `levels` (data → `{low, high, marks, log}`), `height`. */
  constructor(host, options) {
    this.#host = host;
    this.#options = { height: 190, ...options };
    this.#moment = el("span", { class: "moment soft" });
    this.#legend = el("ul", { class: "legend" });
    this.#drawing = svg("svg", { class: "chart", role: "img", tabindex: "0", height: this.#options.height });
    const title = el("h3", {}, options.title);
    this.title = title;
    host.append(el("div", { class: "chart-head" }, title, this.#moment), this.#legend, this.#drawing);
    new ResizeObserver(() => this.#draw()).observe(this.#drawing);
    this.#drawing.addEventListener("pointermove", (event) => this.#point(event));
    this.#drawing.addEventListener("pointerleave", () => this.#moveTo(null));
    this.#drawing.addEventListener("keydown", (event) => this.#key(event));
    this.#drawing.addEventListener("blur", () => this.#moveTo(null));
  }

  /** `data`: `from`, `to`, `lines` `[{name, kind, points}]`, `limits` `[{at, name}]`, `moments` `[{at, name}]`. */
  update(data) {
    this.#data = data;
    this.#draw();
  }

  #draw() {
    const width = this.#drawing.clientWidth;
    if (!this.#data || width < 60) return;
    const { from, to, lines, limits, moments = [] } = this.#data;
    const bottom = this.#options.height - BOTTOM;
    const levels = this.#options.levels(this.#data);
    const x = scale(from, to, LEFT, width - RIGHT);
    const y = scale(levels.low, levels.high, bottom, TOP, levels.log);
    this.x = x;
    const parts = [];
    for (const [value, name] of levels.marks) {
      parts.push(rule("grid", LEFT, width - RIGHT, y(value), y(value)));
      parts.push(label(name, LEFT - 7, y(value) + 4, "tick", "end"));
    }
    for (const at of timeTicks(from, to, (width - LEFT - RIGHT) / TICK_ROOM)) {
      parts.push(rule("grid", x(at), x(at), TOP, bottom));
      parts.push(label(clockTime(at), x(at), bottom + 16, "tick", "middle"));
    }
    for (const one of moments.filter((one) => one.at >= from && one.at <= to)) {
      const late = x(one.at) > width - 110;
      parts.push(rule("moment-line", x(one.at), x(one.at), TOP, bottom));
      parts.push(label(one.name, x(one.at) + (late ? -5 : 5), TOP + 10, "moment-name", late ? "end" : "start"));
    }
    for (const limit of limits) {
      parts.push(rule("limit", LEFT, width - RIGHT, y(limit.at), y(limit.at)));
      parts.push(label(limit.name, LEFT + 5, y(limit.at) - 5, "limit-name", "start"));
    }
    for (const line of [...lines].reverse()) {
      parts.push(svg("path", { class: `curve ${line.kind}`, d: pathOf(line.points, x, y) }));
    }
    if (this.#cursor !== null) parts.push(rule("cursor", x(this.#cursor), x(this.#cursor), TOP, bottom));
    setAttribute(this.#drawing, "viewBox", `0 0 ${width} ${this.#options.height}`);
    this.#drawing.replaceChildren(...parts);
    this.#say();
  }

  /** The legend is the readout: the newest values, or those under the cursor. */
  #say() {
    const { to, lines, limits } = this.#data;
    const at = this.#cursor ?? to;
    setText(this.#moment, this.#cursor === null ? "now" : `${clockTime(at)} UTC`);
    const values = lines.map((line) => [line, valueAt(line.points, at)]);
    while (this.#legend.children.length > lines.length) this.#legend.lastChild.remove();
    while (this.#legend.children.length < lines.length) {
      this.#legend.append(el("li", {}, el("span", { class: "swatch" }), el("span"), el("b")));
    }
    values.forEach(([line, value], index) => {
      const [swatch, name, number] = this.#legend.children[index].children;
      setAttribute(swatch, "class", `swatch ${line.kind}`);
      setText(name, line.name);
      setText(number, value === null ? "–" : this.#options.format(value));
    });
    const said = values.map(([line, value]) => `${line.name} ${value === null ? "no value" : this.#options.format(value)}`);
    const limit = limits.map((one) => one.name).join(", ");
    setAttribute(this.#drawing, "aria-label", `${this.title.textContent}: ${said.join(", ")}${limit && `; ${limit}`}`);
  }

  #point(event) {
    if (!this.#data) return;
    const { from, to } = this.#data;
    const width = this.#drawing.clientWidth - LEFT - RIGHT;
    const share = (event.clientX - this.#drawing.getBoundingClientRect().left - LEFT) / width;
    this.#moveTo(from + Math.min(Math.max(share, 0), 1) * (to - from));
  }

  #key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !this.#data) return;
    event.preventDefault();
    const { from, to } = this.#data;
    this.#moveTo(Math.min(Math.max((this.#cursor ?? to) + (step * (to - from)) / 60, from), to));
  }

  #moveTo(at) {
    if (this.#cursor === at) return;
    this.#cursor = at;
    this.#draw();
  }
}

/** A line for a table cell: by logarithm of the burn rate, so that services compare; the threshold is dashed. */
export class SparkLine {
  constructor() {
    this.line = svg("path", { class: "curve spark" });
    this.limit = svg("line", { class: "limit" });
    this.node = svg("svg", { class: "sparkline", viewBox: "0 0 120 30", preserveAspectRatio: "none", "aria-hidden": "true" }, this.limit, this.line);
  }

  update(points, from, to, threshold) {
    const x = scale(from, to, 1, 119);
    const y = scale(0.1, 1000, 28, 2, true);
    setAttribute(this.line, "d", pathOf(points, x, y));
    const at = y(threshold || 14.4).toFixed(1);
    for (const [name, value] of [["x1", 0], ["x2", 120], ["y1", at], ["y2", at]]) setAttribute(this.limit, name, value);
  }
}

function rule(kind, x1, x2, y1, y2) {
  return svg("line", { class: kind, x1: x1.toFixed(1), x2: x2.toFixed(1), y1: y1.toFixed(1), y2: y2.toFixed(1) });
}

function label(text, x, y, kind, anchor) {
  return svg("text", { class: kind, x: x.toFixed(1), y: y.toFixed(1), "text-anchor": anchor }, text);
}
