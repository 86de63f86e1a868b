"""What a session is played from: the human part of a scenario, and what its grading and debrief need. Pure.

A script is made once, before the start, and recorded; the debrief needs nothing else but the journals.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from drill.core.units import parse_duration
from drill.core.values import Value
from drill.plan.model import Plan
from drill.scenario.model import Scenario

LEAST_HEALTHY_S = 10.0
"""Health must hold at least this long to count, however much the target's time is sped up: people must see it."""


class ScriptAnswer(Value):
    """What is broken: for grading."""

    component: str = ""
    cause: str = ""
    accept: tuple[str, ...] = ()


class ScriptHint(Value):
    """A hint of the ladder; ``after_s`` is the session's clock (from the first page), 0: only when asked."""

    after_s: float
    text: str


class ScriptInject(Value):
    """Something to be said at ``due_s`` of the session's clock. ``expects`` says what should follow."""

    id: str
    due_s: float
    to: str
    text: str
    expects: str = ""


class Condition(Value):
    """Healthy when ``promql`` returns anything; all conditions of a script must hold."""

    promql: str


class Targets(Value):
    """Targets of the phases in seconds, not grades. ``detect`` from the effect, the others from the page."""

    detect_s: float | None = None
    acknowledge_s: float | None = None
    localize_s: float | None = None
    mitigate_s: float | None = None


class ServiceCalls(Value):
    """One service of the target and those it calls."""

    name: str
    calls: tuple[str, ...] = ()


class ScriptSlo(Value):
    """An SLO of the target: ``objective`` is a fraction of 1, ``page_at`` the burn rate from which on it pages."""

    sloth_id: str
    service: str
    name: str
    objective: float
    page_at: float = 0.0


class RuleText(Value):
    """What an alert rule says to people, and the labels by which its alerts are known."""

    name: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Script(Value):
    """One session, fixed before its start. Times are seconds."""

    session: str
    mode: Literal["drill", "tabletop"] = "drill"
    """``drill``: on a target, with a real fault; ``tabletop``: nothing is touched, the page is told."""
    scenario: str
    title: str
    hypothesis: str
    service: str
    seed: int
    fast_forward: float
    nonce: str
    commitment: str
    solo: bool = True
    limit_s: float
    """The fault is taken away after this long (pauses not counted), won or not."""
    answer: ScriptAnswer = ScriptAnswer()
    hints: tuple[ScriptHint, ...] = ()
    injects: tuple[ScriptInject, ...] = ()
    targets: Targets = Targets()
    healthy: tuple[Condition, ...] = ()
    healthy_for_s: float = LEAST_HEALTHY_S
    expected: tuple[dict[str, str], ...] = ()
    """Labels of the alerts whose first firing counts as detection."""
    services: tuple[ServiceCalls, ...] = ()
    slos: tuple[ScriptSlo, ...] = ()
    rules: tuple[RuleText, ...] = ()
    lesson: str = ""
    """Id of the curriculum's lesson; empty outside one."""
    brief: str = ""
    """What is said before the start; gives nothing away."""


def commitment(nonce: str, source_sha256: str, parameters: dict[str, str], seed: int) -> str:
    """SHA-256 (hex) over nonce, scenario file, parameters and seed.

    Seven known files could be told apart by their hashes alone; with the nonce, shown at the end, they cannot.
    """
    what = json.dumps([nonce, source_sha256, dict(sorted(parameters.items())), seed], separators=(",", ":"))
    return hashlib.sha256(what.encode()).hexdigest()


class Setting(Value):
    """What is decided about a session beside its scenario; see ``Script`` for the fields."""

    session: str
    nonce: str
    limit_s: float
    solo: bool = True
    mode: Literal["drill", "tabletop"] = "drill"
    services: tuple[ServiceCalls, ...] = ()
    rules: tuple[RuleText, ...] = ()
    lesson: str = ""
    brief: str = ""


def script_of(scenario: Scenario, plan: Plan, setting: Setting) -> Script:
    """Make the script of *scenario* as compiled to *plan*."""
    speed = plan.fast_forward
    people, phases, when = scenario.people, scenario.phases, scenario.mitigated_when
    return Script(
        **dict(setting),
        scenario=plan.scenario,
        title=plan.title,
        hypothesis=plan.hypothesis,
        service=plan.service,
        seed=plan.seed,
        fast_forward=speed,
        commitment=commitment(setting.nonce, plan.source_sha256, plan.parameters, plan.seed),
        answer=ScriptAnswer(
            component=people.answer.component, cause=people.answer.cause, accept=people.answer.accept
        ),
        hints=tuple(ScriptHint(after_s=hint.after, text=hint.text) for hint in people.hints),
        injects=_injects(scenario),
        targets=Targets(
            detect_s=None if phases.detect is None else phases.detect / speed,
            acknowledge_s=phases.acknowledge,
            localize_s=phases.localize,
            mitigate_s=phases.mitigate,
        ),
        healthy=healthy_when(scenario, plan),
        healthy_for_s=max(LEAST_HEALTHY_S, when.for_ / speed if when else 0.0),
        expected=tuple(alert.match for alert in plan.expected),
        slos=_slos(plan),
    )


def healthy_when(scenario: Scenario, plan: Plan) -> tuple[Condition, ...]:
    """Return ``mitigated_when``, or, where the scenario has none, that no SLO it pages for burns too fast."""
    if scenario.mitigated_when is not None:
        return (Condition(promql=scenario.mitigated_when.promql),)
    ids = sorted({alert.match["sloth_id"] for alert in plan.expected if "sloth_id" in alert.match})
    return tuple(Condition(promql=f'slo:current_burn_rate:ratio{{sloth_id="{one}"}} < 1') for one in ids)


def _slos(plan: Plan) -> tuple[ScriptSlo, ...]:
    """All SLOs; the largest factor of the windows is the page's, and the same for each of them."""
    factor = max((pair.factor for pair in plan.windows), default=0.0)
    return tuple(
        ScriptSlo(
            sloth_id=slo.sloth_id, service=slo.service, name=slo.name, objective=slo.objective, page_at=factor
        )
        for slo in plan.slos
    )


def _injects(scenario: Scenario) -> tuple[ScriptInject, ...]:
    found = []
    for number, inject in enumerate(scenario.people.injects, 1):
        try:
            due_s = parse_duration(inject.at.strip().removeprefix("+"))
        except ValueError:
            continue  # a time nobody can read: said by hand, or not at all
        expects = inject.expect.get("what", "")
        within = inject.expect.get("within", "")
        wanted = f"{expects} within {within}" if expects and within else str(expects)
        found.append(
            ScriptInject(id=f"inject-{number}", due_s=due_s, to=inject.to, text=inject.say, expects=wanted)
        )
    return tuple(sorted(found, key=lambda one: one.due_s))
