// Builds the tree that drill makes of Markdown (see prose.py). Only these elements, only these attributes.

import { el, link } from "./dom.js";

const ELEMENTS = new Set(
  ("h1 h2 h3 h4 h5 h6 p ul ol li blockquote pre code em strong s a br hr table thead tbody tr th td details summary").split(" "),
);
const HEADING = /^h[1-6]$/;

/** Show `nodes` in `host` instead of what it holds. */
export function showProse(host, nodes) {
  host.replaceChildren(...nodes.map((node) => grow(node, host)));
}

function grow(node, host) {
  if (typeof node === "string") return document.createTextNode(node);
  const [tag, attributes, ...children] = node;
  const inside = children.map((child) => grow(child, host));
  if (tag === "a") return anchor(attributes, inside, host);
  if (tag === "table") return el("div", { class: "scroll", tabindex: "0" }, el("table", {}, ...inside));
  const built = el(ELEMENTS.has(tag) ? tag : "p", {}, ...inside);
  if (HEADING.test(tag)) built.dataset.slug = slug(built.textContent);
  if (tag === "pre") return listing(built, attributes.language);
  return built;
}

function listing(pre, language) {
  pre.tabIndex = 0;
  const copy = el("button", { type: "button", class: "copy", "aria-label": "Copy" }, "Copy");
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(pre.textContent);
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  });
  return el("div", { class: "listing" }, language ? el("span", { class: "language" }, language) : null, copy, pre);
}

function anchor(attributes, children, host) {
  if (attributes.href) return link(children[0] ?? attributes.href, attributes.href);
  if (!attributes.to) return el("em", {}, ...children);
  const jump = el("button", { type: "button", class: "jump" }, ...children);
  jump.addEventListener("click", () => {
    const target = [...host.querySelectorAll("[data-slug]")].find((one) => one.dataset.slug === attributes.to);
    target?.scrollIntoView({ block: "start" });
  });
  return jump;
}

/** GitHub's name of a heading: what links inside a runbook use. */
export function slug(text) {
  return text.trim().toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-");
}
