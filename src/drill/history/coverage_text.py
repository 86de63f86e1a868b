"""The coverage matrix as a table of text, as one HTML page, and as OpenMetrics. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from drill.core.clock import parse_rfc3339
from drill.core.units import format_duration
from drill.history.coverage import MEANINGS, Cell, Coverage, RuleCoverage, State

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


def cell_words(cell: Cell) -> str:
    """Return ``latency-spike checkout: proven, fired after 3.8s``."""
    fired = f" after {format_duration(cell.fired_after_s)}" if cell.fired_after_s is not None else ""
    return f"{cell.scenario} {cell.service}: {cell.state}{fired}"


def to_html(found: Coverage) -> str:
    """Render one self-contained page: rules down, scenarios across."""
    cells = {
        (index, f"{cell.scenario} {cell.service}"): cell
        for index, rule in enumerate(found.rules)
        for cell in rule.cells
    }
    return _environment().get_template("coverage.html.j2").render(
        c=found, cells=cells, tones=TONES, meanings=MEANINGS, summary=summary(found)
    )  # fmt: skip


@cache
def _environment() -> Environment:
    loader = ChoiceLoader([PackageLoader("drill.history"), PackageLoader("drill.report")])  # its style.css is used
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"rule_name": name, "age": age, "duration": format_duration}
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
