"""Prerequisites: what must hold before a game day begins. What cannot be seen blocks; it is never taken as well.

Each check returns findings; the runner refuses to begin while one of them blocks, unless it is forced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol

from drill.core.errors import Unavailable
from drill.core.units import format_ratio
from drill.gameday.events import Check
from drill.gameday.model import Drill

BUDGET_QUERY = "slo:period_error_budget_remaining:ratio"
"""Sloth's recording rule; also written by `drill slo generate`."""


class World(Protocol):
    """What the checks may ask of the drill's servers. Both raise Unavailable."""

    def budgets(self) -> Mapping[str, float]:
        """Return the remaining share (1: all of it, negative: overspent) of every SLO's budget, by sloth_id."""

    def open_pages(self) -> list[str]:
        """Return the alerts with severity page that are firing, in words."""


@dataclass(frozen=True)
class Given:
    """What people said on the command line. ``everybody``: --yes, all participants are there."""

    today: date
    confirmed: frozenset[str] = frozenset()
    everybody: bool = False
    approvals: Mapping[str, str] = field(default_factory=dict)


def check_all(drill: Drill, given: Given, world: World, folder: Path) -> tuple[Check, ...]:
    """Return what was found, in the order in which a person would put it right."""
    checks = [
        *_freeze(drill, folder),
        *_people(drill, given),
        *_approvals(drill, given),
        *_budget(drill, world),
        *_pages(drill, world),
    ]
    return tuple(checks)


def frozen(drill: Drill, folder: Path) -> str:
    """Return why no drill may begin or go on now: the freeze file's first line; ``''`` when there is none."""
    if not drill.prerequisites.freeze_file:
        return ""
    file = folder / Path(drill.prerequisites.freeze_file).expanduser()
    try:
        text = file.read_text(errors="replace").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"the freeze file {file.name} cannot be read: {error.strerror}"
    return f"{file.name} is there" + (f": {text.splitlines()[0][:200]}" if text else "")


def _freeze(drill: Drill, folder: Path) -> Iterator[Check]:
    if drill.prerequisites.freeze_file:
        why = frozen(drill, folder)
        fix = "wait for the end of the freeze, then remove the file" if why else ""
        yield Check(check="freeze", level="block" if why else "ok", text=why or "no freeze", fix=fix)


def _people(drill: Drill, given: Given) -> Iterator[Check]:
    if not drill.prerequisites.people_confirmed:
        return
    for role, need in drill.roles.items():
        names = [one.name for one in drill.participants if one.role == role]
        there = [
            one.name
            for one in drill.participants
            if one.role == role and (one.confirmed or given.everybody or one.name in given.confirmed)
        ]
        if there:
            by_yes = ", by --yes" if given.everybody else ""
            yield Check(check="people", level="ok", text=f"{role}: {', '.join(there)}{by_yes}")
        elif need == "required":
            who = f"{', '.join(names)} has not said to be there" if names else "nobody has this role"
            fix = f"--confirm '{names[0]}'" if names else "add somebody under 'participants'"
            yield Check(check="people", level="block", text=f"{role}: {who}", fix=fix)
        else:
            yield Check(check="people", level="note", text=f"{role}: nobody, and the drill can do without")


def _approvals(drill: Drill, given: Given) -> Iterator[Check]:
    if drill.target == "sandbox" and drill.approvals:
        yield Check(check="approval", level="ok", text="the sandbox needs nobody's approval")
        return
    for approval in drill.approvals:
        by = given.approvals.get(approval.role) or approval.by
        over = (
            approval.until and not given.approvals.get(approval.role) and approval.until < given.today.isoformat()
        )
        fix = f"--approve {approval.role}=NAME"
        if not by:
            yield Check(check="approval", level="block", text=f"{approval.role} has not agreed", fix=fix)
        elif over:
            text = f"{approval.role}: the consent of {by} ended on {approval.until}"
            yield Check(check="approval", level="block", text=text, fix=fix)
        else:
            yield Check(check="approval", level="ok", text=f"{approval.role}: {by}")


def _budget(drill: Drill, world: World) -> Iterator[Check]:
    wanted = drill.prerequisites.remaining_budget
    if wanted is None:
        return
    if drill.target == "sandbox" and not drill.servers.prometheus:
        text = "a sandbox begins with its whole budget; give servers.prometheus to ask about the real one"
        yield Check(check="budget", level="ok", text=text)
        return
    try:
        budgets = world.budgets()
    except Unavailable as error:
        yield Check(
            check="budget", level="block", text=f"the remaining budget is not known: {error}", fix=error.hint
        )
        return
    for name in wanted.slos or sorted(budgets):
        left = budgets.get(name)
        floor = format_ratio(wanted.at_least)
        if left is None:
            text = f"{name}: Prometheus has no remaining budget of it"
            yield Check(check="budget", level="block", text=text, fix=f"is {BUDGET_QUERY} recorded?")
        elif left < wanted.at_least:
            text = f"{name}: {format_ratio(left)} of its budget is left, at least {floor} is needed"
            yield Check(check="budget", level="block", text=text, fix="hold it in the sandbox, or later")
        else:
            yield Check(check="budget", level="ok", text=f"{name}: {format_ratio(left)} left")
    if not wanted.slos and not budgets:
        text = f"Prometheus has no sample of {BUDGET_QUERY}"
        yield Check(check="budget", level="block", text=text, fix="name the SLOs, or load the recording rules")


def _pages(drill: Drill, world: World) -> Iterator[Check]:
    if not drill.prerequisites.no_open_page:
        return
    if drill.target == "sandbox" and not drill.servers.alertmanager:
        text = "a sandbox begins without alerts; give servers.alertmanager to ask about the real ones"
        yield Check(check="open pages", level="ok", text=text)
        return
    try:
        pages = world.open_pages()
    except Unavailable as error:
        text = f"whether a page is open is not known: {error}"
        yield Check(check="open pages", level="block", text=text, fix=error.hint)
        return
    for page in pages:
        yield Check(check="open pages", level="block", text=f"{page} is firing", fix="a real incident comes first")
    if not pages:
        yield Check(check="open pages", level="ok", text="none")
