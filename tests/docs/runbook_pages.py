"""The shipped runbooks as the tests see them, read without any code of drill's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "runbooks"
PATHS = sorted(RUNBOOKS.glob("*.md"))


@dataclass(frozen=True)
class Cell:
    runbook: str
    line: int
    heading: str
    language: str
    attributes: dict[str, str]
    body: str

    @property
    def name(self) -> str:
        return self.attributes.get("name", "")

    @property
    def tag(self) -> str:
        return self.attributes.get("tag", "diagnose")

    def __str__(self) -> str:
        return f"{self.runbook}/{self.name or self.line}"


def split(path: Path) -> tuple[dict[str, Any], str]:
    """Front matter and the Markdown after it; line numbers stay those of the file."""
    _, head, body = path.read_text().split("---\n", 2)
    return yaml.safe_load(head), "\n" * (head.count("\n") + 2) + body


def cells(path: Path) -> list[Cell]:
    found, heading = [], ""
    tokens = MarkdownIt().parse(split(path)[1])
    for before, token in zip([None, *tokens], tokens, strict=False):
        if before is not None and before.type == "heading_open" and before.tag == "h2":
            heading = token.content
        if token.type == "fence" and token.map:
            language, attributes = read_info(token.info)
            found.append(Cell(path.stem, token.map[0] + 1, heading, language, attributes, token.content))
    return found


def read_info(info: str) -> tuple[str, dict[str, str]]:
    match = re.fullmatch(r"(\w+)(?:\s+\{ (.*) \})?", info.strip())
    assert match, f"unreadable cell header: {info}"
    pairs = [word.partition("=") for word in (match[2] or "").split()]
    assert len({name for name, _, _ in pairs}) == len(pairs), f"attribute given twice: {info}"
    return match[1], {name: value for name, _, value in pairs}


ALL_CELLS = [cell for path in PATHS for cell in cells(path)]


def fill(text: str, **variables: str) -> str:
    """Replace ``$SERVICE`` and its like; a variable nobody gave stays."""
    return re.sub(r"\$([A-Z]+)", lambda match: variables.get(match[1], match[0]), text)


def anchor(heading: str) -> str:
    """The fragment GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
