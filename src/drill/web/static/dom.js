// Small helpers to build and change elements. Text is only ever set as text: no markup is parsed anywhere.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Attributes whose value is false, null or undefined are left out; functions become listeners. */
export function el(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

/** An SVG element, the same way. */
export function svg(tag, attributes = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), attributes, children);
}

function dress(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Change a text only where it differs: a selection in an unchanged text survives. */
export function setText(node, text) {
  const words = String(text);
  if (node.textContent !== words) node.textContent = words;
}

/** Change an attribute only where it differs; null takes it away. */
export function setAttribute(node, name, value) {
  if (value === null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

/**
 * Make the children of `parent` follow `items`: one child per key, in order, made once, filled every time. Nodes of
 * items that stay are kept, with their focus and their place in a scrolled list.
 */
export function keyed(parent, items, keyOf, make, fill = () => {}) {
  const known = parent.keyedNodes ?? new Map();
  const next = new Map();
  let at = parent.firstElementChild;
  while (at?.classList.contains("empty")) {
    show(at, items.length === 0);
    at = at.nextElementSibling;
  }
  for (const item of items) {
    const key = keyOf(item);
    const node = known.get(key) ?? make(item);
    fill(node, item);
    next.set(key, node);
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
  for (const [key, node] of known) if (!next.has(key)) node.remove();
  parent.keyedNodes = next;
}

/** Give each item a key of its own, made of what it says: items that say the same are told apart by their number. */
export function distinct(items, words) {
  const counts = new Map();
  return items.map((item) => {
    const said = words(item);
    counts.set(said, (counts.get(said) ?? 0) + 1);
    return { ...item, key: `${said} ${counts.get(said)}` };
  });
}

/** Addresses a click may lead to: the web's, nothing else (`javascript:` is an address too). */
export function safeAddress(text) {
  try {
    const address = new URL(text);
    return ["http:", "https:"].includes(address.protocol) ? address.href : null;
  } catch {
    return null;
  }
}

/** A link that opens in a tab of its own, or plain text where the address is no address. */
export function link(name, address) {
  const href = safeAddress(address);
  return href ? el("a", { href, target: "_blank", rel: "noopener noreferrer" }, name) : el("span", {}, name);
}
