// The page's line to drill: enter with the token, follow the views, send what the person does.

const SILENCE_MS = 15000;
const AGAIN_MS = 2000;

async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return response.json();
}

/** Do something; the answer is `{ok, text}`, also when drill cannot be reached. */
export async function send(command) {
  try {
    return await post("do", command);
  } catch {
    return { ok: false, text: "drill cannot be reached; nothing was done." };
  }
}

/** A Markdown text of the view (`runbook`, `debrief`) as a tree; null when it cannot be had now. */
export async function prose(name) {
  try {
    const response = await fetch(`prose/${name}`);
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

/**
 * Follow the session. `onView` gets every view; `onState` gets `live`, `stuck` (drill answers, but cannot tell what is
 * going on), `lost` (no connection; it is tried again), `locked` (this address opens nothing) or `ended`.
 */
export async function follow(onView, onState) {
  addEventListener("hashchange", () => location.hash.length > 1 && location.reload());
  if (!(await enter(onState))) return;
  new Line(onView, onState).open();
}

async function enter(onState) {
  const token = location.hash.slice(1);
  if (!token) return true; // a page that was loaded again: the cookie is there
  for (;;) {
    try {
      const answer = await post("enter", { token });
      history.replaceState(null, "", location.pathname);
      if (!answer.ok) onState("locked", answer.text);
      return answer.ok;
    } catch {
      onState("lost");
      await new Promise((resume) => setTimeout(resume, AGAIN_MS));
    }
  }
}

class Line {
  constructor(onView, onState) {
    this.onView = onView;
    this.onState = onState;
    this.heard = Date.now();
    this.ended = false;
    setInterval(() => this.#watch(), 1000);
  }

  open() {
    this.source?.close();
    const source = new EventSource("events");
    this.source = source;
    source.addEventListener("view", (event) => {
      this.#hear("live");
      this.onView(JSON.parse(event.data));
    });
    source.addEventListener("beat", (event) => this.#hear(event.data === "ok" ? "live" : "stuck"));
    source.addEventListener("end", () => {
      this.ended = true;
      source.close();
      this.onState("ended");
    });
    source.addEventListener("error", () => this.#broken(source));
  }

  #hear(state) {
    this.heard = Date.now();
    this.onState(state);
  }

  #broken(source) {
    if (this.ended || source !== this.source) return;
    this.onState("lost");
    if (source.readyState === EventSource.CLOSED) setTimeout(() => this.#again(), AGAIN_MS);
  }

  /** The browser has given up: find out whether it was refused or only unlucky. */
  async #again() {
    try {
      const response = await fetch("prose/debrief");
      if (response.status === 401 || response.status === 404) {
        this.ended = true;
        this.onState("locked", (await response.json()).text);
        return;
      }
    } catch {
      // nobody there: the next attempt tells
    }
    this.open();
  }

  /** A connection may die without a word, as when a laptop sleeps. */
  #watch() {
    if (this.ended || Date.now() - this.heard < SILENCE_MS) return;
    this.heard = Date.now();
    this.onState("lost");
    this.open();
  }
}
