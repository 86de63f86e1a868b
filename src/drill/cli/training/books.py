"""The runbooks as a trainee reads them: values of the page filled in, windows as the target really runs them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import yaml

from drill.runbook.attributes import fill
from drill.runbook.hasten import hastened
from drill.scenario.library import shipped
from drill.target.sandbox.kubectl.objects import NAMESPACE
from drill.training.script import RuleText

_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_FENCE = re.compile(r"^(```\w+) \{[^}\n]*\}$", re.MULTILINE)
_CELL = re.compile(r"(?<=^```promql)([^\n]*\n)(.*?)(?=\n```)", re.DOTALL | re.MULTILINE)
"""The rest of a query's fence, and the query."""


def reader(fast_forward: float) -> Callable[[str, str], str]:
    """Return what gives a runbook by its name for a service, ready to be read; empty when there is none."""
    texts = {path.stem: path.read_text() for path in shipped("runbooks")}

    @cache
    def read(name: str, service: str) -> str:
        values = {"SERVICE": service, "NAMESPACE": NAMESPACE}
        return readable(texts[name], values, fast_forward) if name in texts else ""

    return read


def rule_texts(rules_file: str) -> tuple[RuleText, ...]:
    """Return what the alert rules of a Prometheus rule file say to people."""
    groups = yaml.safe_load(rules_file).get("groups", [])
    return tuple(
        RuleText(name=rule["alert"], labels=rule.get("labels", {}), annotations=rule.get("annotations", {}))
        for group in groups
        for rule in group.get("rules", [])
        if "alert" in rule
    )


def readable(text: str, values: dict[str, str], fast_forward: float) -> str:
    """Return a runbook's Markdown for people: no front matter, no fence attributes, queries that can be pasted."""
    text = _FRONT.sub("", text)
    text = _CELL.sub(lambda cell: cell[1] + _sped_up(fill(cell[2], values), fast_forward), text)
    return fill(_FENCE.sub(r"\1", text), values).lstrip()


def _sped_up(query: str, fast_forward: float) -> str:
    """*query* as the target has to be asked, laid out to be read; as it stands when it cannot be divided."""
    if fast_forward <= 1:
        return query
    import promql_parser  # only where a runbook is really read

    try:
        return promql_parser.parse(hastened(query, fast_forward)).prettify()
    except ValueError:
        return query
