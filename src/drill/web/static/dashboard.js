// What the measurements say: charts of one SLO, all services side by side, replicas, alerts, log lines.

import { LineChart, SparkLine } from "./charts.js";
import { distinct, el, keyed, setAttribute, setText, show } from "./dom.js";
import { clockTime, number, objective, percent, sloWord, times } from "./words.js";

const SPAN_S = { "5 min": 300, "15 min": 900, all: Infinity };
const RATIOS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];
const LEAST_BURN = 0.1;
const WINDOWS = 4;

export class Dashboard {
  #view = null;
  #chosen = null;
  #span = "5 min";

  constructor(host) {
    this.heading = el("h2", {}, "Service levels");
    this.spans = el("div", { class: "choice", role: "group", "aria-label": "How far back" });
    for (const name of Object.keys(SPAN_S)) {
      const button = el("button", { type: "button", "aria-pressed": String(name === this.#span) }, name);
      button.addEventListener("click", () => this.#setSpan(name));
      this.spans.append(button);
    }
    const bad = el("div", { class: "chart-box" });
    const burn = el("div", { class: "chart-box" });
    this.services = el("div", { class: "services" });
    this.replicas = el("div", { class: "replicas" });
    this.alerts = el("ol", { class: "alerts", tabindex: "0", "aria-label": "Alerts" }, el("li", { class: "empty soft" }, "No alert is pending or firing."));
    this.logs = el("ol", { class: "logs", tabindex: "0", "aria-label": "Log lines" }, el("li", { class: "empty soft" }, "No lines yet."));
    this.none = el("p", { class: "card soft" }, "Nothing is measured here.");
    this.parts = [
      el("section", { class: "card levels" }, el("div", { class: "card-head" }, this.heading, this.spans), bad, burn),
      el("section", { class: "card" },
        el("div", { class: "card-head" }, el("h2", {}, "All services"), el("span", { class: "soft small" }, "burn rate now; press one to see it above")),
        this.services),
      el("section", { class: "card" }, el("h2", {}, "Alerts"), this.alerts),
      el("section", { class: "card" }, el("h2", {}, "Replicas"), this.replicas),
      el("section", { class: "card" }, el("h2", {}, "Log lines"), this.logs),
    ];
    host.append(el("p", { class: "links narrow-only" }), this.none, ...this.parts);
    this.bad = new LineChart(bad, { title: "Bad requests", format: percent, levels: ratioLevels });
    this.burn = new LineChart(burn, { title: "Burn rate", format: times, levels: burnLevels });
  }

  /** Show a trainee's view. */
  update(view) {
    this.#view = view;
    const measured = view.slos.length + view.replicas.length + view.logs.length > 0 || view.phase === "preparing";
    show(this.none, !measured);
    for (const part of this.parts) show(part, measured);
    this.#services(view);
    this.#charts(view);
    this.#replicas(view.replicas);
    this.#alerts(view.alerts);
    this.#logs(view.logs);
  }

  #setSpan(name) {
    this.#span = name;
    for (const button of this.spans.children) setAttribute(button, "aria-pressed", String(button.textContent === name));
    if (this.#view) this.update(this.#view);
  }

  #choose(id) {
    this.#chosen = id;
    this.update(this.#view);
  }

  #charts(view) {
    const slo = chosen(view, this.#chosen);
    if (!slo) return;
    setText(this.heading, `${slo.service}: ${sloWord(slo.slo)}`);
    setText(this.bad.title, slo.slo === "latency" ? "Slow answers" : slo.slo === "availability" ? "Failed requests" : "Bad requests");
    const { from, to } = span(view, SPAN_S[this.#span]);
    const moments = view.clock.paged_at ? [{ at: view.clock.paged_at, name: "page" }] : [];
    const cut = (points) => points.filter(([at]) => at >= from - 5);
    const allowed = 1 - slo.objective;
    this.bad.update({
      from, to, moments,
      lines: [{ name: "share of all requests", kind: "sli-0", points: cut(slo.error_ratio) }],
      limits: [{ at: allowed, name: `objective ${objective(slo.objective)}: ${percent(allowed)} may be bad` }],
    });
    const lines = Object.entries(slo.burn_rates)
      .sort(([one], [other]) => windowSeconds(one) - windowSeconds(other))
      .slice(0, WINDOWS)
      .map(([name, points], index) => ({ name: `over ${name}`, kind: `burn-${index}`, points: cut(points) }));
    const limits = slo.page_at ? [{ at: slo.page_at, name: `pages from ${times(slo.page_at)}` }] : [];
    this.burn.update({ from, to, moments, lines, limits });
  }

  #services(view) {
    const { from, to } = span(view, SPAN_S[this.#span]);
    const rows = [...new Set(view.slos.map((slo) => slo.service))];
    const now = chosen(view, this.#chosen);
    keyed(this.services, rows, (service) => service, makeService, (row, service) => {
      const slos = view.slos.filter((slo) => slo.service === service);
      setText(row.children[0].children[0], service);
      const relation = slos[0].relation === "other" ? "" : slos[0].relation;
      setText(row.children[0].children[1], relation);
      setAttribute(row.children[0].children[1], "class", relation === "paged" ? "chip bad" : "soft small");
      keyed(row.children[1], slos, (slo) => slo.sloth_id, () => this.#makeCell(), (cell, slo) => {
        fillCell(cell, slo, from, to);
        setAttribute(cell, "aria-pressed", String(slo === now));
        cell.sloth = slo.sloth_id;
      });
      const traffic = slos[0].requests_per_second.at(-1)?.[1];
      setText(row.children[2], traffic === undefined || traffic === null ? "" : `${number(traffic)} req/s`);
    });
  }

  #makeCell() {
    const spark = new SparkLine();
    const cell = el("button", { type: "button", class: "cell" }, el("span", { class: "what" }), el("b"), spark.node);
    cell.spark = spark;
    cell.addEventListener("click", () => this.#choose(cell.sloth));
    return cell;
  }

  #replicas(replicas) {
    const services = [...new Set(replicas.map((one) => one.service))];
    keyed(this.replicas, services, (service) => service,
      (service) => el("div", { class: "replica-row" }, el("span", { class: "soft small" }, service), el("ul")),
      (row, service) => keyed(row.children[1], replicas.filter((one) => one.service === service), (one) => one.name,
        () => el("li", {}, el("span", { class: "mark" }), el("span"), el("span", { class: "soft small" })), fillReplica));
  }

  #alerts(alerts) {
    keyed(this.alerts, alerts, (one) => `${one.name} ${one.service} ${one.slo} ${one.severity}`,
      () => el("li", {}, el("span"), el("span"), el("span", { class: "soft small" })),
      (row, one) => {
        const [state, name, since] = row.children;
        setText(state, one.state);
        setAttribute(state, "class", `chip ${{ firing: "bad", pending: "doubt" }[one.state] ?? "good"}`);
        setText(name, one.name);
        setText(since, `${one.severity} · since ${clockTime(one.since)}`);
      });
  }

  #logs(logs) {
    const box = this.logs;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
    const lines = distinct(logs, (line) => `${line.at} ${line.source} ${line.text}`);
    keyed(box, lines, (line) => line.key, (line) =>
      el("li", {}, el("span", { class: "at" }, clockTime(line.at)), el("span", { class: "source" }, line.source), el("span", {}, line.text)));
    if (atEnd) box.scrollTop = box.scrollHeight;
  }
}

function chosen(view, id) {
  return view.slos.find((slo) => slo.sloth_id === id) ?? paged(view) ?? view.slos[0];
}

/** The SLO the newest page is about. */
function paged(view) {
  const line = view.alerts.find((one) => one.severity === "page" && one.state !== "resolved");
  return line && view.slos.find((slo) => slo.service === line.service && slo.slo === line.slo);
}

function span(view, seconds) {
  const firsts = view.slos.map((slo) => slo.error_ratio[0]?.[0]).filter(Number.isFinite);
  const to = view.clock.now;
  const first = Math.min(to - 60, ...firsts);
  return { from: Math.max(first, to - seconds), to };
}

function makeService() {
  return el("div", { class: "service" }, el("div", { class: "who" }, el("span"), el("span")), el("div", { class: "cells" }), el("span", { class: "traffic soft small" }));
}

function fillCell(cell, slo, from, to) {
  const allowed = Math.max(1e-9, 1 - slo.objective);
  const burn = slo.error_ratio.filter(([at]) => at >= from).map(([at, value]) => [at, Number.isFinite(value) ? Math.max(value / allowed, LEAST_BURN) : null]);
  const last = burn.at(-1)?.[1] ?? null;
  const value = last === null ? "no data" : last <= LEAST_BURN ? "0×" : times(last);
  setText(cell.children[0], sloWord(slo.slo));
  setText(cell.children[1], value);
  const tone = last === null ? "calm" : last > (slo.page_at || 14.4) ? "bad" : last > 1 ? "doubt" : "good";
  setAttribute(cell.children[1], "class", tone);
  setAttribute(cell, "aria-label", `${slo.service}, ${sloWord(slo.slo)}: burn rate ${value}`);
  cell.spark.update(burn, from, to, slo.page_at);
}

function fillReplica(row, one) {
  const tone = { serving: "good", "not serving": "bad", down: "bad" }[one.state] ?? "doubt";
  setAttribute(row.children[0], "class", `mark ${tone}`);
  setText(row.children[1], one.name);
  const restarts = one.restarts ? `, ${one.restarts} restart${one.restarts > 1 ? "s" : ""}` : "";
  setText(row.children[2], `${one.state}${restarts}`);
}

function ratioLevels({ lines }) {
  const peak = Math.max(0, ...lines.flatMap((line) => line.points.map(([, value]) => value ?? 0)));
  const high = RATIOS.find((step) => step >= peak) ?? 1;
  return { low: 0, high, marks: [0, high / 2, high].map((share) => [share, percent(share)]) };
}

function burnLevels({ lines, limits }) {
  const values = [10, ...limits.map((one) => one.at), ...lines.flatMap((line) => line.points.map(([, value]) => value ?? 0))];
  const high = 10 ** Math.ceil(Math.log10(Math.max(...values)) + 1e-9);
  const marks = [];
  for (let level = LEAST_BURN; level <= high * 1.001; level *= 10) marks.push([level, times(Number(level.toPrecision(1)))]);
  return { low: LEAST_BURN, high, marks, log: true };
}

/** `5s`, `1m`, `6h`, `1m30s` as seconds. */
export function windowSeconds(name) {
  const units = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400, w: 604800 };
  let total = 0;
  for (const [, count, unit] of name.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) total += Number(count) * units[unit];
  return total || Infinity;
}
