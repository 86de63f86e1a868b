"""The coverage matrix as a table of text, as one HTML page, and as OpenMetrics. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import PurePath

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from drill.core.clock import parse_rfc3339
from drill.core.units import format_duration
from drill.history.coverage import MEANINGS, PROOF_AGE_S, Cell, Coverage, RuleCoverage, State
from drill.report.html import local_link

DAY_S = 86400.0
COLUMNS = ("rule", "severity", "state", "age of the proof", "by")
TONES: dict[State, str] = {
    "proven": "good", "late": "doubt", "silent": "bad", "failed": "bad", "noise": "bad", "fired": "calm",
    "unknown": "doubt", "untested": "calm",
}  # fmt: skip


def rows(found: Coverage) -> Sequence[Sequence[str]]:
    """Return one row for each rule, by COLUMNS."""
    return [
        (name(rule), rule.severity, rule.state, age(rule), "; ".join(cell_words(cell) for cell in rule.cells))
        for rule in found.rules
    ]


def summary(found: Coverage) -> str:
    """Return how many rules, and how many paging ones, are proven."""
    proven = sum(rule.proven_at is not None for rule in found.rules)
    pages = sum(rule.proven_at is not None for rule in found.pages)
    return f"{proven} of {len(found.rules)} alert rules are proven, {pages} of {len(found.pages)} that page"


def name(rule: RuleCoverage) -> str:
    """Return the rule's name, with its SLO where it has one and the name does not tell it apart."""
    tier = rule.labels.get("burn_tier", "")
    return f"{rule.alertname} {tier}".strip()


def age(rule: RuleCoverage) -> str:
    """Return the age of the proof: ``3d4h``; a dash for none."""
    return "–" if rule.proof_age_s is None else format_duration(max(1.0, rule.proof_age_s))


def days(rule: RuleCoverage) -> str:
    """Return the age of the proof in whole days where it has some: ``104 d``."""
    old = rule.proof_age_s
    return age(rule) if old is None or old < 2 * DAY_S else f"{old / DAY_S:.0f} d"


def cell_words(cell: Cell) -> str:
    """Return ``latency-spike checkout: proven, fired after 3.8s``."""
    fired = f" after {format_duration(cell.fired_after_s)}" if cell.fired_after_s is not None else ""
    return f"{cell.scenario} {cell.service}: {cell.state}{fired}"


def to_html(found: Coverage, base: str = "", stale_s: float = PROOF_AGE_S) -> str:
    """Render one self-contained page: rules down, scenarios across. *base* leads from it to the runs."""
    pages = found.pages
    proven = [rule for rule in found.rules if rule.proof_age_s is not None]
    todo = [rule for rule in pages if rule.state != "proven" or (rule.proof_age_s or 0.0) > stale_s]
    return _environment().get_template("coverage.html.j2").render(
        c=found, base=base, stale_s=stale_s, tones=TONES, meanings=MEANINGS, summary=summary(found), todo=todo,
        tone="bad" if any(rule.state in ("silent", "failed") for rule in pages) else "doubt" if todo else "good",
        pages=_share(pages), rules=_share(found.rules), groups=_groups(found.rules),
        columns=sorted({column for rule in found.rules for column in _cells(rule)}),
        oldest=max(proven, key=lambda rule: rule.proof_age_s or 0.0, default=None),
        untested=sum(rule.state == "untested" for rule in found.rules),
    )  # fmt: skip


def _share(rules: Sequence[RuleCoverage]) -> dict[str, int]:
    return {"proven": sum(rule.proven_at is not None for rule in rules), "all": len(rules)}


def _groups(rules: Sequence[RuleCoverage]) -> list[tuple[str, list[RuleCoverage]]]:
    """The rules by what they watch, those that page first in each group."""
    groups: dict[str, list[RuleCoverage]] = {}
    for rule in rules:
        labels = rule.labels
        about = labels.get("sloth_id") or labels.get("service") or PurePath(rule.file).name or "other"
        groups.setdefault(about, []).append(rule)
    rank = {"page": 0, "ticket": 1, "log": 2}
    return [
        (name, sorted(members, key=lambda rule: rank.get(rule.severity, 3))) for name, members in groups.items()
    ]


def _cells(rule: RuleCoverage) -> dict[tuple[str, str], Cell]:
    return {(cell.scenario, cell.service): cell for cell in rule.cells}


@cache
def _environment() -> Environment:
    loader = ChoiceLoader([PackageLoader("drill.history"), PackageLoader("drill.report")])  # its style.css is used
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "rule_name": name, "days": days, "duration": format_duration, "cells": _cells, "local_link": local_link,
    }  # fmt: skip
    return environment


def to_openmetrics(found: Coverage) -> str:
    """Render as OpenMetrics, for a textfile collector: when each rule was proven last, and its state.

    A rule without a proof has no ``last_proven`` sample: 0 would look like 1970.
    """
    proven = "drill_alert_last_proven_timestamp_seconds"
    state = "drill_alert_coverage_state"
    lines = [
        f"# TYPE {proven} gauge",
        f"# UNIT {proven} seconds",
        f"# HELP {proven} When a drill last proved that the alert fires on time and is delivered.",
    ]
    unique = {tuple(sorted(_labels(rule).items())): rule for rule in found.rules}
    for labels, rule in unique.items():
        if rule.proven_at is not None:
            lines.append(f"{proven}{_rendered(labels)} {parse_rfc3339(rule.proven_at):.3f}")
    lines += [f"# TYPE {state} stateset", f"# HELP {state} What drills say about the alert."]
    for labels, rule in unique.items():
        for one in MEANINGS:
            lines.append(f"{state}{_rendered((*labels, (state, one)))} {int(one == rule.state)}")
    return "\n".join([*lines, "# EOF"]) + "\n"


def _labels(rule: RuleCoverage) -> dict[str, str]:
    """The labels that tell rules apart; ``alertname`` is Prometheus's own word and would clash in its rules."""
    wanted = ("severity", "sloth_id", "sloth_service", "burn_tier", "service")
    return {"alert": rule.alertname, **{key: rule.labels[key] for key in wanted if key in rule.labels}}


def _rendered(labels: Sequence[tuple[str, str]]) -> str:
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
