"""The guardrails that are computed from what was seen: budget spent, and a page that is not the drill's. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from drill.core.labels import matches, render
from drill.core.units import format_ratio
from drill.engine.state import LabelKey, State

SANDBOX = "sandbox"
"""Where nobody is paged for real, and a page nobody expected is a finding, not an emergency."""
PAGES = frozenset({"page", "critical"})


def firing_keys(state: State) -> frozenset[LabelKey]:
    """The alerts that are firing now."""
    return frozenset(_key(span.labels) for span in state.seen.spans if span.open and span.state == "firing")


def over_budget(state: State) -> str:
    """Say which SLO has lost more of its budget since T0 than the scenario allows; empty while none has."""
    limit = state.plan.guardrails.max_budget_spend
    found = state.spent.over(state.plan.slos, limit)
    if found is None:
        return ""
    slo, share = found
    return f"{slo.sloth_id} lost {format_ratio(share)} of its error budget; the limit is {format_ratio(limit)}"


def stray_page(state: State) -> str:
    """Name a page that began to fire since T0 and is not expected, predicted or allowed; empty if there is none.

    It may be a real incident, which a drill must not make worse or hide. In the sandbox nobody is paged.
    """
    plan = state.plan
    if plan.target == SANDBOX:
        return ""
    known = [alert.match for alert in plan.expected] + [alert.labels for alert in state.foreseen] + [*plan.allow]
    for span in state.seen.spans:
        if not span.open or span.state != "firing" or _key(span.labels) in state.before:
            continue
        severity = span.labels.get("severity") or span.labels.get("sloth_severity")
        if severity in PAGES and not any(matches(match, span.labels) for match in known):
            return f"{render(span.labels)} pages, and this drill is not the reason"
    return ""


def _key(labels: Mapping[str, str]) -> LabelKey:
    return tuple(sorted(labels.items()))
