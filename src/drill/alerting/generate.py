"""SLOs to Prometheus rules: Sloth's recorded series and labels, one alert rule per window pair.

Owns the PromQL. Refuses objectives for which a pair can never fire (``F·b >= 1``). Recording rules and alert
rules stand in two files and therefore in different groups: alerts are *chained*, they see a recorded value up
to one evaluation later (c = 1 in the firing formula). Output is deterministic.

Guard: a ratio is recorded only while there is traffic (``total > 0``), so a quiet service has no sample
instead of NaN, which would poison the 30-day average. One ``…NoTraffic`` alert per service tells silence from
health; it starts from traffic once seen, so it cannot fire while a system is coming up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

from drill.alerting.rulefile import Group, Rule
from drill.alerting.windows import PAIRS, QUIET_FOR_S, REAL_TIME, RECORDED_S, Pair, RuleTiming
from drill.core.errors import ProblemsFound
from drill.core.problems import Problem
from drill.core.units import format_duration
from drill.slo.model import DAY_S, WINDOW, Slo

CHAINED = True
"""Our alert rules are never in the group that records what they read."""

_JOIN = "on(sloth_id, sloth_slo, sloth_service) group_left"


def check(slos: Iterable[Slo], pairs: Sequence[Pair] = PAIRS) -> list[Problem]:
    """Return a problem for every pair that cannot work: its threshold is over an error ratio of 1, or its long
    window is no part of the budget's period."""
    problems = []
    for slo in slos:
        for pair in _pairs_of(slo, pairs):
            if pair.long_s >= slo.period_s:
                window, period = format_duration(pair.long_s), format_duration(slo.period_s)
                text = f"'{slo.sloth_id}': the {pair.severity} alert looks {window} back in a period of {period}"
                hint = "choose a longer period, or disable this alert"
                problems.append(Problem(slo.file, slo.line, 1, text, hint))
            if pair.factor * slo.budget >= 1:
                lowest = (1 - 1 / pair.factor) * 100
                problems.append(
                    Problem(
                        slo.file, slo.line, 1,
                        f"'{slo.sloth_id}': {pair.factor:g}x of a {slo.objective_percent} % objective is an error "
                        f"ratio of {pair.factor * slo.budget:.4g}: the {pair.severity} alert can never fire",
                        f"choose an objective over {lowest:.4g} %, or disable this alert",
                    )
                )  # fmt: skip
    return problems


def recording_groups(slos: Sequence[Slo], timing: RuleTiming = REAL_TIME) -> list[Group]:
    """Return the groups that record each SLO's error ratios and meta data, in the order of *slos*."""
    groups = []
    for slo in slos:
        sli = tuple(_sli_rule(slo, window, timing) for window in RECORDED_S if window < slo.period_s)
        sli += (_period_rule(slo, timing),)
        groups.append(
            Group(name=f"sloth-slo-sli-recordings-{slo.sloth_id}", interval_s=timing.interval_s, rules=sli)
        )
        meta = tuple(_meta_rules(slo, timing))
        groups.append(
            Group(name=f"sloth-slo-meta-recordings-{slo.sloth_id}", interval_s=timing.interval_s, rules=meta)
        )
    return groups


def alert_groups(slos: Sequence[Slo], timing: RuleTiming = REAL_TIME, pairs: Sequence[Pair] = PAIRS) -> list[Group]:
    """Return one group of alert rules per SLO, then one with the services' NoTraffic alerts.

    Raises ProblemsFound when an alert could never fire (see :func:`check`).
    """
    problems = check(slos, pairs)
    if problems:
        raise ProblemsFound(problems)
    groups = []
    for slo in slos:
        rules = tuple(_burn_rule(slo, pair, timing) for pair in _pairs_of(slo, pairs))
        if rules and slo.alerting.name:
            groups.append(Group(name=f"sloth-slo-alerts-{slo.sloth_id}", interval_s=timing.interval_s, rules=rules))
    quiet = tuple(_no_traffic_rule(slo, timing) for slo in _first_of_each_service(slos))
    if quiet:
        groups.append(Group(name="slo-no-traffic", interval_s=timing.interval_s, rules=quiet))
    return groups


def _pairs_of(slo: Slo, pairs: Sequence[Pair]) -> list[Pair]:
    off = {"page": slo.alerting.page.disable, "ticket": slo.alerting.ticket.disable}
    off["log"] = slo.alerting.log.disable or (off["page"] and off["ticket"])
    return [pair for pair in pairs if not off.get(pair.severity, False)]


def _selector(slo: Slo) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(slo.id_labels.items())) + "}"


def _ratio_series(window_s: float, timing: RuleTiming) -> str:
    return f"slo:sli_error:ratio_rate{timing.window(window_s)}"


def _sli_rule(slo: Slo, window_s: float, timing: RuleTiming) -> Rule:
    window = timing.window(window_s)
    if slo.sli.error_ratio:
        expr = f"({slo.sli.error_ratio.replace(WINDOW, window)})"
    else:
        error, total = (query.replace(WINDOW, window) for query in (slo.sli.error, slo.sli.total))
        expr = f"({error})\n/\n(({total}) > 0)"
    labels = {**slo.labels, **slo.id_labels, "sloth_window": window}
    return Rule(record=_ratio_series(window_s, timing), expr=expr, labels=labels)


def _period_rule(slo: Slo, timing: RuleTiming) -> Rule:
    """The whole period, as Sloth's optimised form: the average of the shortest window's ratios."""
    window = timing.window(slo.period_s)
    series = f"{_ratio_series(RECORDED_S[0], timing)}{_selector(slo)}[{window}]"
    expr = f"sum_over_time({series})\n/ ignoring (sloth_window)\ncount_over_time({series})"
    labels = {**slo.labels, **slo.id_labels, "sloth_window": window}
    return Rule(record=_ratio_series(slo.period_s, timing), expr=expr, labels=labels)


def _meta_rules(slo: Slo, timing: RuleTiming) -> Iterable[Rule]:
    ids, labels = _selector(slo), {**slo.labels, **slo.id_labels}
    days = Decimal(str(slo.period_s)) / Decimal(str(DAY_S)) / Decimal(str(timing.fast_forward))
    short, period = (_ratio_series(window, timing) for window in (RECORDED_S[0], slo.period_s))
    budget = f"slo:error_budget:ratio{ids}"
    expressions = {
        "slo:objective:ratio": f"vector({slo.objective})",
        "slo:error_budget:ratio": f"vector(1-{slo.objective})",
        "slo:time_period:days": f"vector({_number(float(days))})",
        "slo:current_burn_rate:ratio": f"{short}{ids}\n/ {_JOIN}\n{budget}",
        "slo:period_burn_rate:ratio": f"{period}{ids}\n/ {_JOIN}\n{budget}",
        "slo:period_error_budget_remaining:ratio": f"1 - slo:period_burn_rate:ratio{ids}",
    }
    for record, expr in expressions.items():
        yield Rule(record=record, expr=expr, labels=labels)
    info = {"sloth_mode": "drill", "sloth_spec": "prometheus/v1", "sloth_objective": slo.objective_percent}
    yield Rule(record="sloth_slo_info", expr="vector(1)", labels={**labels, **info})


def _burn_rule(slo: Slo, pair: Pair, timing: RuleTiming) -> Rule:
    threshold = f"({_number(pair.factor)} * {_number(slo.budget)})"
    conditions = [
        f"max({_ratio_series(window, timing)}{_selector(slo)} > {threshold}) without (sloth_window)"
        for window in (pair.short_s, pair.long_s)
    ]
    settings = {"page": slo.alerting.page, "ticket": slo.alerting.ticket, "log": slo.alerting.log}.get(
        pair.severity
    )
    labels = {**slo.labels, **slo.alerting.labels, **(settings.labels if settings else {})}
    labels |= {**slo.id_labels, "severity": pair.severity, "burn_tier": pair.burn_tier}
    annotations = _annotations(slo, pair, timing) | slo.alerting.annotations
    annotations |= settings.annotations if settings else {}
    return Rule(alert=slo.alerting.name, expr="\nand\n".join(conditions), labels=labels, annotations=annotations)


def _annotations(slo: Slo, pair: Pair, timing: RuleTiming) -> dict[str, str]:
    long, short = timing.window(pair.long_s), timing.window(pair.short_s)
    price = pair.factor * pair.long_s / slo.period_s * 100
    period = format_duration(timing.run_s(slo.period_s))
    return {
        "title": f"({pair.severity}) {slo.service} {slo.name} burns its error budget {pair.factor:g}x too fast",
        "description": (
            f"The error ratio over the last {long} and the last {short} is above {pair.factor:g} times what "
            f"{slo.objective_percent} % allow: {price:.3g} % of the {period} error budget went in {long}."
        ),
        "summary": slo.description or f"{slo.service} {slo.name} burns its error budget.",
    }


def _first_of_each_service(slos: Sequence[Slo]) -> list[Slo]:
    first: dict[str, Slo] = {}
    for slo in slos:
        if slo.sli.total and slo.alerting.name and slo.alerting.no_traffic:
            first.setdefault(slo.service, slo)
    return list(first.values())


def _no_traffic_rule(slo: Slo, timing: RuleTiming) -> Rule:
    """Traffic was recorded within a day and none within the shortest window.

    The recorded ratios exist only while there is traffic. Without ``sloth_id``: it speaks of the service, so
    it neither matches what a drill expects of an SLO nor takes part in the inhibition between its tiers.
    """
    ids = _selector(slo)
    day, short = (_ratio_series(window, timing) for window in (DAY_S, RECORDED_S[0]))
    expr = (
        f"max without (sloth_id, sloth_slo, sloth_window) (\n"
        f"  {day}{ids}\n  unless on (sloth_id)\n  {short}{ids}\n)"
    )
    camel = "".join(part.capitalize() for part in re.split(r"[^a-zA-Z0-9]+", slo.service))
    labels = {**slo.labels, "sloth_service": slo.service, "severity": "ticket"}
    annotations = {
        "summary": f"{slo.service} gets no requests.",
        "description": (
            "Without traffic no error ratio exists, so burn-rate alerts resolve and stay silent: "
            "the service may be down, unreachable, or its metrics may be gone."
        ),
    }
    if "runbook_url" in slo.alerting.annotations:
        annotations["runbook_url"] = slo.alerting.annotations["runbook_url"]
    quiet_s = timing.run_s(QUIET_FOR_S)
    name = slo.alerting.no_traffic_name or f"{camel}NoTraffic"
    return Rule(alert=name, expr=expr, for_s=quiet_s, labels=labels, annotations=annotations)


def _number(value: float) -> str:
    """Render without exponent and without float noise: ``14.4``, ``0.0001``, ``30``."""
    return f"{Decimal(repr(value)).normalize():f}"
