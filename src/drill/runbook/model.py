"""What a runbook says: any Markdown file is one; front matter and fence attributes each add a power.

Lines count from 1 and are those of the file. Nothing here runs a cell: that a cell is marked read-only is its
author's word, which the runner must not trust further than ``tagged``.
"""

from __future__ import annotations

from typing import Literal, get_args

from drill.core.values import Value

Tag = Literal["diagnose", "mitigate", "verify", "undo"]
TAGS: tuple[Tag, ...] = get_args(Tag)
CHANGING: frozenset[Tag] = frozenset({"mitigate", "undo"})

Kind = Literal["promql", "shell", "text"]
SHELLS = frozenset({"bash", "sh", "shell", "zsh"})


class FrontMatter(Value):
    """What the file says about itself above its text; keys of other tools are left alone.

    ``lines`` holds, for each key of ours that is given, the line it stands on.
    """

    title: str = ""
    alerts: tuple[str, ...] = ()
    service: str = ""
    owner: str = ""
    escalate: str = ""
    lines: dict[str, int] = {}


class Section(Value):
    """One heading with the Markdown below it, up to the next heading of any level."""

    title: str
    level: int
    line: int
    text: str


class ExpectedOutput(Value):
    """What a cell should print (Innovation Engine's comment): a ratio like ``0.8`` or a pattern, and the text."""

    similarity: str
    text: str


class Cell(Value):
    """One code block.

    ``name`` is the author's or, without one, made from the section and a number. ``tag`` is ``diagnose``
    where nothing was said; ``tagged`` tells whether something was. ``attributes`` are those of the fence as
    written, unchecked (:mod:`drill.runbook.lint` checks them). ``line`` is the line of the opening fence.
    """

    name: str
    language: str
    tag: Tag = "diagnose"
    tagged: bool = False
    attributes: dict[str, str] = {}
    body: str
    line: int
    section: str = ""
    output: ExpectedOutput | None = None

    @property
    def kind(self) -> Kind:
        """How it can be run: as a query, by a shell, or not at all."""
        if self.language == "promql":
            return "promql"
        return "shell" if self.language in SHELLS else "text"

    @property
    def changing(self) -> bool:
        """True when the author says that it changes something."""
        return self.tag in CHANGING

    @property
    def excluded(self) -> bool:
        """True when it must not run with all the others."""
        return self.attributes.get("excludeFromRunAll") == "true"


class HumanStep(Value):
    """A check box: something only a person can do."""

    text: str
    line: int
    checked: bool = False
    section: str = ""


class Hint(Value):
    """A ``<details>`` block: help that is shown when asked for."""

    title: str
    text: str
    line: int


class Runbook(Value):
    """A whole runbook; ``sha256`` is of its text in UTF-8."""

    file: str
    title: str
    text: str
    sha256: str
    front: FrontMatter | None = None
    sections: tuple[Section, ...] = ()
    cells: tuple[Cell, ...] = ()
    steps: tuple[HumanStep, ...] = ()
    hints: tuple[Hint, ...] = ()

    def cell(self, name: str) -> Cell | None:
        """Return the first cell called *name*, or None."""
        return next((cell for cell in self.cells if cell.name == name), None)
