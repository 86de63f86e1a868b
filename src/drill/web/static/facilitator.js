// The facilitator's page: everything there is to know, and everything there is to do.

import { Dashboard } from "./dashboard.js";
import { byId, distinct, el, keyed, setAttribute, setText } from "./dom.js";
import { ask, fresh, news, onSubmit, reply, saidKey, showFrame, showState, sinceView, tabs, toast } from "./frame.js";
import { follow, send } from "./live.js";
import { clockTime, duration, stopwatch } from "./words.js";

const dashboard = new Dashboard(byId("dashboard"));
const INJECT_ACTS = [["hold-inject", "Hold"], ["release-inject", "Say now"], ["skip-inject", "Skip"]];
let seen = null;

tabs();
byId("pause").addEventListener("click", async () => reply(byId("inject-answer"), await send({ do: byId("pause").dataset.do })));
byId("real-incident").addEventListener("click", realIncident);
byId("abort").addEventListener("click", abort);
onSubmit(byId("whisper"), (data, button) => ({ do: button?.value ?? "whisper", text: data.get("text") }), send);
onSubmit(byId("escalate"), (data) => data.get("scenario"), escalate);
follow(update, showState);
setInterval(() => seen && showDeadline(seen.trainee), 1000);

function update(view) {
  const { trainee } = view;
  const can = new Set(view.can);
  showFrame(trainee);
  showControls(view, can);
  showScenario(view);
  showPhases(view.phases);
  showInjects(view, can);
  showPeople(view);
  dashboard.update(trainee);
  announce(view);
  seen = view;
}

function showControls(view, can) {
  const pause = byId("pause");
  const paused = view.trainee.clock.paused;
  pause.dataset.do = paused ? "resume" : "pause";
  setText(pause, paused ? "Resume the clock" : "Pause the clock");
  pause.disabled = !can.has(pause.dataset.do);
  byId("real-incident").disabled = !can.has("real-incident");
  byId("abort").disabled = !can.has("abort");
  for (const button of byId("whisper").querySelectorAll("button")) button.disabled = !can.has(button.value);
  showEscalations(view.escalations, can.has("escalate"));
  showDeadline(view.trainee);
}

function showEscalations(scenarios, allowed) {
  const select = byId("escalate").querySelector("select");
  setText(select.options[0], scenarios.length ? "choose a scenario" : "no scenario fits now");
  const chosen = select.value;
  keyed(select, ["", ...scenarios], (name) => name, (name) => (name ? el("option", { value: name }, name) : select.options[0]));
  select.value = scenarios.includes(chosen) ? chosen : "";
  byId("escalate").querySelector("button").disabled = !allowed || scenarios.length === 0;
}

function showDeadline({ clock, phase }) {
  if (phase === "over") setText(byId("deadline"), "");
  else if (!clock.deadline) setText(byId("deadline"), "ends a while after the first page");
  else setText(byId("deadline"), `ends by itself in ${stopwatch(clock.deadline - clock.now - sinceView())}`);
}

function showScenario(view) {
  setText(byId("scenario-name"), `${view.scenario} on ${view.service} · ${view.trainee.session}`);
  setText(byId("scenario-title"), view.title || view.scenario);
  setText(byId("scenario-hypothesis"), view.hypothesis);
  setText(byId("scenario-answer"), [view.answer_component, view.answer_cause].filter(Boolean).join(": ") || "none given");
  const hurt = view.phases.some((one) => one.name === "effect" && one.at > 0);
  setText(byId("scenario-healthy"), view.healthy_since ? `healthy since ${clockTime(view.healthy_since)} UTC` : hurt ? "suffering" : "healthy");
  keyed(byId("faults"), view.injections, (one) => one.id, () => el("li", {}, el("span"), el("span"), el("span", { class: "soft small" })), (row, one) => {
    const [state, name, where] = row.children;
    setText(state, one.state);
    setAttribute(state, "class", `chip ${{ "in effect": "bad", "not clean": "bad", undone: "good" }[one.state] ?? "calm"}`);
    setText(name, `${one.fault} at ${one.service}${one.scenario === view.scenario ? "" : ` (${one.scenario})`}`);
    const since = one.effective_at ? `since ${clockTime(one.effective_at)}` : "";
    const until = one.ended_at ? `until ${clockTime(one.ended_at)}${one.removed_by ? ` by the ${one.removed_by}` : ""}` : "";
    setText(where, [one.replicas.join(", "), since, until].filter(Boolean).join(" · "));
  });
}

function showPhases(phases) {
  keyed(byId("phases"), phases, (one) => one.name, () => el("li", {}, el("span", { class: "name" }), el("b"), el("span", { class: "soft small" })), (row, one) => {
    const [name, time, more] = row.children;
    setText(name, one.name);
    setText(time, one.after_s !== null ? (one.name === "effect" ? clockTime(one.at) : `+${duration(one.after_s)}`) : "–");
    setText(more, [one.target_s ? `target ${duration(one.target_s)}` : "", one.note].filter(Boolean).join(" · "));
    setAttribute(row, "class", one.after_s === null ? "open" : one.target_s && one.after_s > one.target_s ? "slow" : "reached");
  });
}

function showInjects(view, can) {
  keyed(byId("injects"), view.injects, (one) => one.id, makeInject, (row, one) => {
    row.inject = one.id;
    setAttribute(row, "class", one.state);
    setText(row.querySelector(".when"), `${one.state === "planned" ? `at ${stopwatch(one.due_s)} after the page` : one.state} · to ${one.to}`);
    setText(row.querySelector("p"), one.text);
    setText(row.querySelector(".expects"), one.expects ? `expected: ${one.expects}` : "");
    for (const button of row.querySelectorAll("button")) {
      const fits = one.state === "planned" || (one.state === "held" && button.value !== "hold-inject");
      button.disabled = !fits || !can.has(button.value);
    }
  });
}

function makeInject() {
  const row = el("li", {}, el("span", { class: "when soft small" }), el("p"), el("span", { class: "expects soft small" }));
  const acts = el("div", { class: "row" });
  for (const [value, name] of INJECT_ACTS) {
    const button = el("button", { type: "button", class: "small-act", value }, name);
    button.addEventListener("click", async () => reply(byId("inject-answer"), await send({ do: value, id: row.inject })));
    acts.append(button);
  }
  row.append(acts);
  return row;
}

function showPeople(view) {
  const { trainee } = view;
  keyed(byId("suspicions"), trainee.suspicions.map((one, index) => ({ ...one, what: "suspicion", grade: view.grades[index] ?? "" })), saidKey,
    (one) => el("li", {}, el("span", { class: "soft small" }, clockTime(one.at)), el("p", {}, [one.component, one.text].filter(Boolean).join(": ")), el("span", { class: "small" })),
    (row, one) => setText(row.lastChild, one.grade));
  const given = new Set(trainee.hints.map((one) => one.number));
  keyed(byId("hints"), view.hints.map((text, index) => ({ text, number: index + 1 })), (one) => one.number,
    (one) => el("li", {}, el("span"), el("p", {}, one.text)),
    (row, one) => {
      setText(row.firstChild, given.has(one.number) ? "given" : "not yet");
      setAttribute(row.firstChild, "class", `chip ${given.has(one.number) ? "doubt" : "calm"}`);
    });
  keyed(byId("timeline"), distinct(view.timeline, lineWords).reverse(), (one) => one.key,
    (one) => el("li", { class: one.who }, el("span", { class: "at" }, clockTime(one.at)), el("span", { class: "who" }, one.who), el("span", {}, one.what)));
  keyed(byId("pages"), trainee.pages.map((one) => ({ ...one, what: one.status })).reverse(), (one) => `${one.at} ${one.channel} ${one.title} ${one.status}`,
    (one) => el("li", {}, el("span", { class: "soft small" }, `${clockTime(one.at)} · ${one.channel} · ${one.status}`), el("p", {}, one.title)));
}

const lineWords = (one) => `${one.at} ${one.who} ${one.what}`;

/** What the trainee does while the facilitator looks elsewhere. */
function announce(view) {
  if (seen) {
    for (const one of fresh(view.timeline, seen.timeline, lineWords)) if (one.who === "trainee") toast("Trainee", one.what);
  }
  if (view.timeline.length > (seen?.timeline.length ?? 0)) news("timeline");
  if (view.trainee.debrief && !seen?.trainee.debrief) news("debrief");
  document.title = `${view.trainee.phase} · control`;
}

async function escalate(scenario) {
  if (!scenario) return null;
  const sure = await ask({ title: `Add the faults of ${scenario}?`, text: "A second fault begins at once, on top of what is broken now.", yes: "Escalate" });
  return sure === null ? null : send({ do: "escalate", scenario });
}

async function realIncident() {
  const reason = await ask({
    title: "A real incident?", yes: "Stop the drill, tell everybody", danger: true,
    text: "Every fault is undone at once, the session ends, and everybody is told that what comes now is NOT A DRILL.",
    words: { name: "What happened", value: "Something real has begun." },
  });
  if (reason !== null) reply(byId("end-answer"), await send({ do: "real-incident", reason: reason || "Something real has begun." }));
}

async function abort() {
  const reason = await ask({
    title: "Abort the session?", yes: "Abort", danger: true, text: "Every fault is undone and the session ends.",
    words: { name: "Why", value: "" },
  });
  if (reason !== null) reply(byId("end-answer"), await send({ do: "abort", reason: reason || "no reason given" }));
}
