// The trainee's page: the page as it would arrive, what to do about it, and what the measurements say.

import { Dashboard } from "./dashboard.js";
import { byId, el, keyed, setAttribute, setText, show } from "./dom.js";
import { ask, fresh, news, onSubmit, reply, saidKey, showFrame, showProseOf, showState, tabs, toast } from "./frame.js";
import { follow, send } from "./live.js";
import { clockTime } from "./words.js";

const CHANNELS = { pagerduty: "PagerDuty", slack: "Slack", log: "Log" };
const dashboard = new Dashboard(byId("dashboard"));
let seen = null;

tabs();
byId("acknowledge").addEventListener("click", async () => reply(byId("end-answer"), await send({ do: "acknowledge" })));
byId("hint").addEventListener("click", async () => reply(byId("end-answer"), await send({ do: "ask-hint" })));
byId("done").addEventListener("click", finish);
onSubmit(byId("suspect"), (data) => ({ do: "suspect", text: data.get("text"), component: data.get("component") }), send);
onSubmit(byId("record"), (data, button) => ({ do: button?.value ?? "note", text: data.get("text") }), send);
follow(update, showState);

function update(view) {
  showFrame(view);
  showPage(view);
  showProseOf("runbook", view.runbook);
  const can = new Set(view.can);
  byId("acknowledge").disabled = !can.has("acknowledge");
  byId("hint").disabled = !can.has("ask-hint");
  byId("done").disabled = !can.has("done");
  setText(byId("hint"), view.hints_left ? `Ask for a hint (${view.hints_left} left)` : "No hints left");
  byId("suspect").querySelector("button").disabled = !can.has("suspect");
  for (const button of byId("record").querySelectorAll("button")) button.disabled = !can.has(button.value);
  keyed(byId("components"), [...new Set(view.slos.map((slo) => slo.service))], (name) => name, (name) => el("option", { value: name }));
  showSaid(view);
  dashboard.update(view);
  announce(view);
  seen = view;
}

/** The loudest page that is not over, else the newest; the others below it. */
function mainPage(pages) {
  const open = pages.filter((page) => !pages.some((later) => later.status === "resolved" && later.at >= page.at && same(later, page)));
  return open.find((page) => page.channel === "pagerduty") ?? pages.findLast((page) => page.channel === "pagerduty") ?? pages.at(-1);
}

const pageWords = (one) => `${one.at} ${one.channel} ${one.status} ${one.title}`;
/** What it is about: that it is resolved stands beside it already. */
const titleOf = (page) => page.title.replace(/^RESOLVED: /, "");
const same = (one, other) => one.labels.alertname === other.labels.alertname && one.service === other.service;

function showPage(view) {
  const page = mainPage(view.pages);
  const state = !page ? "quiet" : page.status === "resolved" ? "resolved" : view.can.includes("acknowledge") ? "triggered" : "acknowledged";
  byId("page").dataset.state = state;
  setText(byId("page-status"), page ? state : "no page");
  setAttribute(byId("page-status"), "class", `chip ${{ triggered: "bad", acknowledged: "doubt", resolved: "good" }[state] ?? "calm"}`);
  setText(byId("acknowledge"), state === "acknowledged" ? "Acknowledged" : "Acknowledge");
  if (page) {
    setText(byId("page-meta"), [CHANNELS[page.channel] ?? page.channel, page.service, page.severity, `${clockTime(page.at)} UTC`].filter(Boolean).join(" · "));
    setText(byId("page-title"), titleOf(page));
    setText(byId("page-body"), page.body + labels(page));
  }
  const others = view.pages.filter((one) => one !== page).reverse();
  show(byId("page-others"), view.pages.length > 0);
  setAttribute(byId("page-others"), "data-count", others.length);
  keyed(byId("page-others"), others, pageWords, (one) =>
    el("p", { class: "small" }, el("span", { class: "soft" }, `${clockTime(one.at)} ${CHANNELS[one.channel] ?? one.channel} `),
      el("span", { class: one.status === "firing" ? "doubt" : "good" }, one.status), ` ${titleOf(one)}`));
}

function labels(page) {
  const pairs = Object.entries(page.labels);
  return pairs.length ? `\n\n${pairs.map(([name, value]) => `${name} = ${value}`).join("\n")}` : "";
}

function showSaid(view) {
  const said = [
    ...view.messages.map((one) => ({ at: one.at, what: one.kind, who: sayer(one), text: one.text })),
    ...view.hints.map((one) => ({ at: one.at, what: "hint", who: `Hint ${one.number}`, text: one.text })),
    ...view.suspicions.map((one) => ({ at: one.at, what: "suspicion", who: "You suspect", text: [one.component, one.text].filter(Boolean).join(": ") + (one.answer && ` (${one.answer})`) })),
    ...view.notes.map((one) => ({ at: one.at, what: "note", who: "You", text: one.text })),
  ].sort((one, other) => other.at - one.at);
  keyed(byId("said"), said, saidKey, (one) =>
    el("li", { class: one.what }, el("span", { class: "soft small" }, `${clockTime(one.at)} · ${one.who}`), el("p", {}, one.text)));
}

function sayer(message) {
  const who = message.said_by || { whisper: "Facilitator", notice: "drill" }[message.kind] || "Somebody";
  return message.to ? `${who}, to ${message.to}` : who;
}

function inSight(node) {
  const { top, bottom, height } = node.getBoundingClientRect();
  return height > 0 && bottom > 0 && top < innerHeight / 2;
}

/** What must not be missed, however deep the trainee is in a chart. */
function announce(view) {
  const before = seen ?? { pages: [], messages: [], hints: [] };
  if (seen) {
    for (const page of fresh(view.pages, before.pages, pageWords)) {
      if (page.channel === "pagerduty" && !inSight(byId("page"))) toast(page.status === "firing" ? "Page" : "Resolved", titleOf(page), page.status === "firing" ? "bad" : "good");
    }
    for (const one of view.messages.slice(before.messages.length)) toast(sayer(one), one.text);
    for (const one of view.hints.slice(before.hints.length)) toast(`Hint ${one.number}`, one.text);
  }
  if (view.pages.length > before.pages.length || view.messages.length > before.messages.length) news("incident");
  if (view.runbook && !seen?.runbook) news("runbook");
  if (view.debrief && !seen?.debrief) news("debrief");
  document.title = view.can.includes("acknowledge") ? "● PAGE · on call" : `${view.phase} · on call`;
}

async function finish() {
  const answer = await send({ do: "done" });
  reply(byId("end-answer"), answer);
  if (answer.ok) return;
  const sure = await ask({ title: "End the session all the same?", text: `${answer.text} If you end it now, the fault is undone and the debrief says that it was not mitigated.`, yes: "Give up", danger: true });
  if (sure !== null) reply(byId("end-answer"), await send({ do: "done", give_up: true }));
}
