"""Markdown as a tree of few, harmless elements: what a page builds by itself, without ever parsing HTML.

A node is a text, or ``[element, attributes, *children]``. Raw HTML in the Markdown stays text, but for
``<details>`` and ``<summary>``, which runbooks use for hints. Images are shown as their description: nothing is
loaded from elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

ELEMENTS = frozenset({
    "h1", "h2", "h3", "h4", "h5", "h6", "p", "ul", "ol", "li", "blockquote", "pre", "code", "em", "strong", "s",
    "a", "br", "hr", "table", "thead", "tbody", "tr", "th", "td", "details", "summary",
})  # fmt: skip
DETAILS = re.compile(r"<(/?)(details|summary)(?: open)?>", re.IGNORECASE)
_MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
Node = list[Any]


def digest(markdown: str) -> str:
    """Return a short name for the text: the same for the same text, empty for none."""
    return hashlib.sha256(markdown.encode("utf-8", "replace")).hexdigest()[:16] if markdown else ""


def tree(markdown: str) -> list[Any]:
    """Return the nodes of *markdown*, in order."""
    root: Node = ["", {}]
    _grow(_MARKDOWN.parse(without_front_matter(markdown)), [root])
    return root[2:]


def without_front_matter(markdown: str) -> str:
    """Return the text after a leading block of YAML between two lines ``---``."""
    return re.sub(r"\A---\n.*?\n---\n", "", markdown, count=1, flags=re.DOTALL)


def _grow(tokens: list[Token], path: list[Node]) -> None:
    """Add *tokens* to the last node of *path*, which is as deep as the element they are in."""
    for token in tokens:
        if token.type == "inline":
            depth = len(path)
            _grow(token.children or [], path)
            del path[depth:]
        elif token.nesting == 1:
            _open(path, token.tag, _attributes(token))
        elif token.nesting == -1:
            _close(path, token.tag)
        else:
            _leaf(token, path)


def _open(path: list[Node], tag: str, attributes: dict[str, str]) -> None:
    node: Node = [tag if tag in ELEMENTS else "p", attributes]
    path[-1].append(node)
    path.append(node)


def _close(path: list[Node], tag: str) -> None:
    if len(path) > 1 and path[-1][0] == tag:
        path.pop()


def _leaf(token: Token, path: list[Node]) -> None:
    here = path[-1]
    if token.type in ("fence", "code_block"):
        language = token.info.split(maxsplit=1)[0] if token.info.strip() else ""
        here.append(["pre", {"language": language} if language.isalnum() else {}, ["code", {}, token.content]])
    elif token.type == "code_inline":
        here.append(["code", {}, token.content])
    elif token.type in ("softbreak", "hardbreak"):
        here.append("\n" if token.type == "softbreak" else ["br", {}])
    elif token.type == "hr":
        here.append(["hr", {}])
    elif token.type == "image":
        here.append(f"[{token.content}]")
    elif token.type in ("html_block", "html_inline"):
        _html(token.content, path)
    elif token.content:
        here.append(token.content)


def _html(text: str, path: list[Node]) -> None:
    """Raw HTML: ``details`` and ``summary`` become elements, everything else is text."""
    at = 0
    for found in DETAILS.finditer(text):
        _text(text[at : found.start()], path)
        at = found.end()
        tag = found[2].lower()
        _close(path, tag) if found[1] else _open(path, tag, {})
    _text(text[at:], path)


def _text(text: str, path: list[Node]) -> None:
    if text.strip():
        path[-1].append(text)


def _attributes(token: Token) -> dict[str, str]:
    if token.tag != "a":
        return {}
    address = str(token.attrGet("href") or "")
    if address.startswith("#"):
        return {"to": unquote(address[1:])}
    return {"href": address} if _scheme(address) in ("http", "https") else {}


def _scheme(address: str) -> str:
    try:
        return urlsplit(address).scheme
    except ValueError:
        return ""
