// What both pages have: header, tabs, alarm, toasts, the question before something that cannot be taken back.

import { byId, el, keyed, link, setAttribute, setText, show } from "./dom.js";
import { prose } from "./live.js";
import { showProse } from "./prose.js";
import { stopwatch } from "./words.js";

const STATES = {
  live: "live",
  stuck: "drill cannot tell what goes on",
  lost: "connection lost, trying again",
  locked: "no entry",
  ended: "session closed",
};
const PHASES = {
  preparing: ["setting up", "calm"],
  quiet: ["quiet", "good"],
  paged: ["paged", "bad"],
  acknowledged: ["acknowledged", "doubt"],
  mitigated: ["mitigated", "good"],
  over: ["over", "calm"],
};
const TOAST_MS = 20000;

let clock = null;
let received = 0;

/** Show whether what the page says is still true. */
export function showState(state, why = "") {
  byId("link").dataset.state = state;
  setText(byId("link-text"), STATES[state]);
  document.body.classList.toggle("stale", state === "lost" || state === "stuck");
  if (state === "locked") lock(why);
}

function lock(why) {
  document.querySelector("main").replaceChildren(
    el("section", { class: "card locked" }, el("h2", {}, "This page stays closed"), el("p", {}, `${why}.`),
      el("p", { class: "soft" }, "Open the whole address that drill printed when the session began. It ends with # and a long word.")));
}

/** Phase, clock, alarm and links of a trainee's view. */
export function showFrame(view) {
  const [word, tone] = PHASES[view.phase] ?? [view.phase, "calm"];
  setText(byId("phase"), view.clock.paused && view.phase !== "over" ? `${word}, paused` : word);
  setAttribute(byId("phase"), "class", `chip ${tone}`);
  clock = { ...view.clock, running: view.phase !== "over" && !view.clock.paused };
  received = Date.now() / 1000;
  tick();
  const alarm = byId("alarm");
  setText(alarm, view.real_incident ? `NOT A DRILL: ${view.real_incident}` : view.ending);
  setAttribute(alarm, "class", view.real_incident ? "alarm real" : "alarm");
  show(alarm, Boolean(view.real_incident || view.ending));
  for (const place of document.querySelectorAll(".links")) {
    keyed(place, view.links, (one) => `${one.name} ${one.url}`, (one) => link(one.name, one.url));
  }
  showProseOf("debrief", view.debrief);
  show(byId("tab-debrief"), Boolean(view.debrief));
}

/** Seconds since the last view, as far as the session's clock goes on between views. */
export function sinceView() {
  return clock?.running ? Math.max(0, Date.now() / 1000 - received) : 0;
}

/** The clock that counts for people starts with the page; before it, it says how long nothing has happened. */
function tick() {
  setText(byId("clock-label"), clock.paged_at ? "since the page" : "on call for");
  setText(byId("clock"), stopwatch((clock.paged_at ? clock.elapsed_s : clock.now - clock.started_at) + sinceView()));
  document.body.classList.toggle("paused", clock.paused);
}

setInterval(() => clock && !document.body.classList.contains("stale") && tick(), 250);

/** Fetch a Markdown text when it has changed, and show it in the element of that name. */
export async function showProseOf(name, digest) {
  const host = byId(name);
  if (!digest || host.dataset.digest === digest) return;
  host.dataset.digest = digest;
  const nodes = await prose(name);
  if (nodes) showProse(host, nodes);
  else delete host.dataset.digest;
}

/** Let the tab buttons choose a part of the page. */
export function tabs(onChoose = () => {}) {
  const buttons = [...document.querySelectorAll(".tabs [data-tab]")];
  const choose = (name) => {
    document.body.dataset.tab = name;
    for (const button of buttons) {
      setAttribute(button, "aria-current", button.dataset.tab === name ? "page" : null);
      if (button.dataset.tab === name) button.classList.remove("news");
    }
    onChoose(name);
  };
  for (const button of buttons) button.addEventListener("click", () => choose(button.dataset.tab));
  const wide = matchMedia("(min-width: 980px)");
  const first = buttons[0].dataset.tab;
  const follow = () => {
    if (wide.matches && document.body.dataset.tab === first) choose(buttons[1].dataset.tab);
    else choose(document.body.dataset.tab);
  };
  wide.addEventListener("change", follow);
  follow();
  return choose;
}

/** Mark a tab that has something new. */
export function news(tab) {
  if (document.body.dataset.tab !== tab) document.querySelector(`.tabs [data-tab="${tab}"]`)?.classList.add("news");
}

/** Say something over everything, until it is put away or old. */
export function toast(head, text, tone = "") {
  const note = el("div", { class: `toast ${tone}` }, el("b", {}, head), el("p", {}, text));
  const away = el("button", { type: "button", "aria-label": "Put away" }, "×");
  away.addEventListener("click", () => note.remove());
  note.append(away);
  byId("toasts").append(note);
  setTimeout(() => note.remove(), TOAST_MS);
}

/**
 * Ask before something that cannot be taken back, in a dialog that lives as long as the question. `words`: the name
 * of a text to give with it, and its first value. Resolves to the text (empty where none was asked for), or null.
 */
export function ask({ title, text, yes, danger = false, words = null }) {
  const field = el("textarea", { id: "ask-words", rows: 2, maxlength: 2000 });
  field.value = words?.value ?? "";
  const go = el("button", { type: "submit", value: "yes", id: "ask-yes", class: danger ? "danger" : "main-act" }, yes);
  const dialog = el("dialog", { id: "ask", "aria-labelledby": "ask-title" },
    el("form", { method: "dialog" },
      el("h2", { id: "ask-title" }, title),
      el("p", {}, text),
      words && el("label", {}, `${words.name} `, field),
      el("div", { class: "row end" }, el("button", { type: "submit", value: "no", formnovalidate: true }, "Go back"), go)));
  document.body.append(dialog);
  dialog.showModal();
  (words ? field : go).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? field.value : null);
    });
  });
}

/** Send a form's command and show the answer beside its buttons; the form is emptied when it was taken. */
export function onSubmit(form, command, act) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await act(command(new FormData(form), event.submitter));
    if (!answer) return;
    reply(form.querySelector(".answer"), answer);
    if (answer.ok) form.reset();
  });
}

/** Show an answer, for as long as it takes to read it. */
export function reply(place, answer) {
  setText(place, answer.text);
  setAttribute(place, "data-ok", String(answer.ok));
  clearTimeout(place.fading);
  place.fading = setTimeout(() => setText(place, ""), TOAST_MS);
}

/** What tells things that were said apart. */
export const saidKey = (one) => `${one.at} ${one.what} ${one.text}`;

/** What is in `list` and was not in `before`, wherever it was put in. */
export function fresh(list, before, words) {
  const known = new Set((before ?? []).map(words));
  return list.filter((one) => !known.has(words(one)));
}
