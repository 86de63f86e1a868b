"""The policy check: reasons why the alerting cannot be relied on, or why no drill may be held now. Pure.

Four rules: the error budget is above its floor; every alert that pages was proven lately; no action item is
overdue without a green re-run; every runbook that scenarios name was proven.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from drill.core.units import format_duration, format_ratio
from drill.history.coverage import PROOF_AGE_S, Coverage
from drill.history.coverage_text import name as rule_name
from drill.history.index import PastRun
from drill.report.model import ActionItem

DAY_S = 86400.0
BUDGET, PAGES, ACTIONS, RUNBOOKS = "budget", "pages", "actions", "runbooks"
RULES = (BUDGET, PAGES, ACTIONS, RUNBOOKS)


@dataclass(frozen=True)
class Limits:
    """What the policy demands. Ages are seconds, the floor is a fraction of 1."""

    budget_floor: float = 0.2
    """docs/error-budget-policy.md: below 20 % no drill runs against the real service."""
    proof_age_s: float = PROOF_AGE_S


@dataclass(frozen=True)
class Proof:
    """When a runbook was proven last, and whether the one that was proven is the one there is."""

    at: float
    current: bool = True


@dataclass(frozen=True)
class Breach:
    """One reason. ``fix`` is what would mend it."""

    rule: str
    text: str
    fix: str = ""


def check_budgets(budgets: Mapping[str, float], limits: Limits) -> list[Breach]:
    """Return the SLOs (remaining share by sloth_id) whose budget is below the floor."""
    return [
        Breach(BUDGET, f"{slo}: {format_ratio(left)} of the error budget is left, the floor is "
               f"{format_ratio(limits.budget_floor)}", "hold drills on this service in the sandbox only")
        for slo, left in sorted(budgets.items())
        if not left >= limits.budget_floor  # not a number is not enough either
    ]  # fmt: skip


def check_pages(found: Coverage, limits: Limits) -> list[Breach]:
    """Return the alert rules that page and have no proof, an old one, or a later failure."""
    breaches = []
    for rule in found.pages:
        about = f"{rule_name(rule)} ({rule.labels.get('sloth_service') or rule.labels.get('service') or 'page'})"
        if rule.proof_age_s is None:
            tried = "" if rule.state == "untested" else f" (last: {rule.state})"
            breaches.append(
                Breach(PAGES, f"{about} was never proven{tried}", "drill run a scenario that expects it")
            )
        elif rule.state in ("late", "silent", "failed", "noise"):
            breaches.append(Breach(PAGES, f"{about} failed its last drill: {rule.state}", "see the run's actions"))
        elif rule.proof_age_s > limits.proof_age_s:
            old = format_duration(rule.proof_age_s)
            limit = format_duration(limits.proof_age_s)
            breaches.append(
                Breach(PAGES, f"{about} was proven {old} ago, at most {limit} is allowed", "drill again")
            )
    return breaches


def _tests(run: PastRun) -> bool:
    """False for a training: what its alerts did was people's doing as well, and its drafts are in the debrief."""
    return run.report.occasion != "training"


def closing_runs(runs: Sequence[PastRun], name: str) -> dict[str, str]:
    """Return which later run closes which action item (by title) of the run called *name*; *runs* oldest first.

    A run closes it when it drills the same, passes, and does not ask for it again. A training never does.
    """
    place = next((number for number, run in enumerate(runs) if run.name == name), None)
    if place is None:
        return {}
    this, closed = runs[place], dict[str, str]()
    for later in runs[place + 1 :]:
        if later.subject == this.subject and later.report.verdict == "pass" and _tests(later):
            asked = {item.title for item in later.report.action_items}
            for item in this.report.action_items:
                if item.title not in asked:
                    closed.setdefault(item.title, later.name)
    return closed


def check_actions(runs: Sequence[PastRun], today: date) -> list[Breach]:
    """Return the action items that are overdue (*runs* oldest first).

    An item is closed by a later run of the same drill that passes and does not ask for it again; one that is asked
    for again keeps the day it had first.
    """
    waiting: dict[tuple[str, tuple[str, str]], tuple[ActionItem, str]] = {}
    for run in filter(_tests, runs):
        asked = {item.title for item in run.report.action_items}
        if run.report.verdict == "pass":
            for title, subject in list(waiting):
                if subject == run.subject and title not in asked:
                    del waiting[title, subject]
        for item in run.report.action_items:
            waiting.setdefault((item.title, run.subject), (item, run.name))
    return [
        Breach(
            ACTIONS,
            f"{item.title} ({item.owner}, due {item.due}, from {name}) has no green re-run",
            f"mend it, then: drill run {scenario} --service {service}",
        )
        for (_, (scenario, service)), (item, name) in waiting.items()
        if item.due < today.isoformat()
    ]


def check_runbooks(
    wanted: Mapping[str, str], proofs: Mapping[str, Proof], limits: Limits, now: float
) -> list[Breach]:
    """Return the runbooks (name -> a scenario that names it) without a proof of the text there is now."""
    breaches = []
    for runbook, scenario in sorted(wanted.items()):
        proof, fix = proofs.get(runbook), f"drill runbook prove {scenario}"
        if proof is None:
            breaches.append(Breach(RUNBOOKS, f"{runbook} was never proven", fix))
        elif not proof.current:
            breaches.append(Breach(RUNBOOKS, f"{runbook} was changed since it was proven", fix))
        elif now - proof.at > limits.proof_age_s:
            old = format_duration(now - proof.at)
            breaches.append(Breach(RUNBOOKS, f"{runbook} was proven {old} ago", fix))
    return breaches
