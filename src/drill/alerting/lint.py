"""What is wrong with SLOs, rules and routes although every single file can be read.

Owns the reasons an alert stays silent, shouts without cause, or reaches nobody who knows what to do. Each
finding is a Problem with file and line. Pure: files come in as values, a service's metrics as an
:class:`~drill.alerting.exposition.Exposition`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import promql_parser as ql

from drill.alerting import promql
from drill.alerting.exposition import Exposition
from drill.alerting.generate import alert_groups, check
from drill.alerting.routing import Matcher, Route, Routing
from drill.alerting.rulefile import Group, Rule
from drill.alerting.rules import BurnAlert, burn_alerts, doubtful
from drill.alerting.windows import PAIRS
from drill.core.problems import Problem
from drill.core.units import format_duration, format_ratio, prometheus_duration
from drill.slo.model import WINDOW, Slo
from drill.slo.positions import Document

PAIR_RATIO = (8.0, 24.0)
"""The long window over the short one: 12 in the SRE workbook (chapter 5), 16 in Pyrra's slowest pair."""
RUNBOOKS = ("runbook_url", "runbook", "runbook_uri")
CLIENT_BUCKETS = "Prometheus's client libraries have no bucket of their own at 0.2: name the buckets in the service"


@dataclass(frozen=True)
class Linted:
    """Everything to look at; ``routes`` is the parsed configuration and the document it stands in."""

    slos: Sequence[Slo] = ()
    groups: Sequence[Group] = ()
    routes: tuple[Routing, Document] | None = None
    metrics: Exposition | None = None


def lint(given: Linted) -> list[Problem]:
    """Return all findings, in the order of files and lines."""
    alerts = burn_alerts(given.groups)
    found = [*check(given.slos), *_never(alerts), *_pairs(alerts), *_contradictions(given.groups)]
    found += [*_le_of_slos(given.slos), *_le_of_rules(given.groups)]
    found += [*_runbooks_of_slos(given.slos), *_runbooks_of_rules(given.groups)]
    if given.routes is not None:
        found += _unreached(*given.routes, _alert_labels(given))
    if given.metrics is not None:
        for slo in given.slos:
            found += _against_metrics(slo, given.metrics)
        found += _rule_traffic(alerts, given)
    return sorted(set(found))


def _at(slo: Slo, message: str, hint: str = "") -> Problem:
    return Problem(slo.file, slo.line, 1, f"'{slo.sloth_id}': {message}", hint)


# ---- rules ----


def _never(alerts: Sequence[BurnAlert]) -> Iterator[Problem]:
    for alert in alerts:
        threshold = alert.condition(1.0).threshold
        if threshold >= 1:
            text = f"{alert.alertname} needs an error ratio over {threshold:.4g}: it can never fire"
            lowest = (1 - 1 / alert.factor) * 100
            yield Problem(
                alert.file, alert.line, 1, text, f"{alert.factor:g}x needs an objective over {lowest:.4g} %"
            )


def _pairs(alerts: Sequence[BurnAlert]) -> Iterator[Problem]:
    low, high = PAIR_RATIO
    for alert in alerts:
        ratio = alert.long_s / alert.short_s
        if alert.long_s != alert.short_s and not low <= ratio <= high:
            long, short = prometheus_duration(alert.long_s), prometheus_duration(alert.short_s)
            text = f"{alert.alertname} pairs {long} with {short}: the short window is {ratio:.3g} times shorter"
            hint = f"take about 12 times: {long} with {format_duration(alert.long_s / 12)}; 1h with 5m, 6h with 30m"
            yield Problem(alert.file, alert.line, 1, text, hint)


def _contradictions(groups: Sequence[Group]) -> Iterator[Problem]:
    mixed, misnamed = doubtful(groups)
    for one in mixed:
        values = " and ".join(format_ratio(value) for value in one.thresholds)
        text = f"{one.rule.alert} compares its windows with different thresholds: {values}"
        yield Problem(one.file, one.rule.line, 1, text, "both windows of a pair have the same factor")
    for named in misnamed:
        text = f"{named.rule.record} reads a window of {prometheus_duration(named.window_s)}, its name says another"
        yield Problem(named.file, named.rule.line, 1, text, "whoever reads the name predicts the wrong time")


# ---- le as Prometheus 3 writes it ----


def _le_of_slos(slos: Sequence[Slo]) -> Iterator[Problem]:
    for slo in slos:
        for matcher in _le_matchers(_parsed(_bad_query(slo))):
            yield _at(slo, *_le_words(matcher))


def _le_of_rules(groups: Sequence[Group]) -> Iterator[Problem]:
    for group in groups:
        for rule in group.rules:
            for matcher in _le_matchers(_parsed(rule.expr)):
                text, hint = _le_words(matcher)
                yield Problem(group.file, rule.line, 1, f"{rule.alert or rule.record}: {text}", hint)


def _le_matchers(expr: Any) -> list[str]:
    if expr is None:
        return []
    return [
        matcher.value
        for selector in promql.selectors(expr)
        for matcher in selector.matchers.matchers
        if matcher.name == "le" and matcher.op == ql.MatchOp.Equal and _whole(matcher.value)
    ]


def _whole(le: str) -> bool:
    try:
        return float(le).is_integer()
    except (ValueError, OverflowError):
        return False


def _le_words(le: str) -> tuple[str, str]:
    number = int(float(le))
    text = f'le="{le}" is written le="{number}.0" by Prometheus 3 and le="{number}" by many clients before it'
    return text, f'match both: le=~"{number}|{number}\\\\.0"'


# ---- runbooks ----


def _runbooks_of_slos(slos: Sequence[Slo]) -> Iterator[Problem]:
    for slo in slos:
        alerting = slo.alerting
        for name in ("page", "ticket", "log"):
            part = getattr(alerting, name)
            known = {**alerting.annotations, **part.annotations}
            if alerting.name and not part.disable and not any(known.get(key) for key in RUNBOOKS):
                hint = "add alerting.annotations.runbook_url: whoever is woken needs the next step"
                yield _at(slo, f"the alert {alerting.name} has no runbook", hint)
                break


def _runbooks_of_rules(groups: Sequence[Group]) -> Iterator[Problem]:
    for group in groups:
        for rule in group.rules:
            if rule.alert and not any(rule.annotations.get(key) for key in RUNBOOKS):
                hint = "add the annotation runbook_url: whoever is woken needs the next step"
                yield Problem(group.file, rule.line, 1, f"the alert {rule.alert} has no runbook", hint)


# ---- routes ----


def _alert_labels(given: Linted) -> list[dict[str, str]]:
    usable = [slo for slo in given.slos if not check([slo])]
    rules = [rule for group in (*given.groups, *alert_groups(usable)) for rule in group.rules if rule.alert]
    read = [dict(alert.labels) for alert in burn_alerts(given.groups)]
    return [*({"alertname": rule.alert, **_static(rule)} for rule in rules), *read]


def _static(rule: Rule) -> dict[str, str]:
    return {name: value for name, value in rule.labels.items() if "{{" not in value}


def _unreached(routing: Routing, document: Document, alerts: Sequence[Mapping[str, str]]) -> Iterator[Problem]:
    """Yield every route below the first that no alert can come to.

    A label that no rule sets may come from a series: a matcher on it is taken to hold, and to not hold.
    """
    set_somewhere = {name for labels in alerts for name in labels}
    reached: set[tuple[str | int, ...]] = set()
    for labels in alerts:
        _walk(routing.route, labels, set_somewhere, reached)
    for route in _all_routes(routing.route):
        if route.path not in reached:
            conditions = ", ".join(f"{m.name}{m.op}{m.value}" for m in route.matchers)
            text = f"no alert reaches this route to '{route.receiver}' ({conditions or 'no matchers'})"
            hint = "a route before it takes them all, or no rule sets these labels"
            yield document.problem(route.path, text, hint)


def _walk(
    route: Route, labels: Mapping[str, str], known: set[str], reached: set[tuple[str | int, ...]]
) -> bool | None:
    """Note the routes *labels* may come to; True when they surely stop here, None when perhaps."""
    verdicts = [_verdict(matcher, labels, known) for matcher in route.matchers]
    if False in verdicts:
        return False
    reached.add(route.path)
    for child in route.routes:
        if _walk(child, labels, known, reached) is True and not child.continue_:
            break
    return None if None in verdicts else True


def _verdict(matcher: Matcher, labels: Mapping[str, str], known: set[str]) -> bool | None:
    return matcher.matches(labels) if matcher.name in labels or matcher.name in known else None


def _all_routes(route: Route) -> Iterator[Route]:
    for child in route.routes:
        yield child
        yield from _all_routes(child)


# ---- the service's own metrics ----


def _against_metrics(slo: Slo, metrics: Exposition) -> Iterator[Problem]:
    bad = promql.selectors(_parsed(_bad_query(slo))) if _parsed(_bad_query(slo)) else []
    total = _parsed(slo.sli.total)
    counted = promql.selectors(total) if total is not None else []
    for selector in {selector.name: selector for selector in (*bad, *counted)}.values():
        if metrics.matching(selector) is None:
            yield _at(slo, f"the service has no metric {selector.name}", "a typo, or another service's page")
    for selector in bad:
        yield from _buckets(slo, selector, metrics)
        yield from _born_late(slo, selector, counted, metrics)
    rates = [rate for selector in counted if (rate := metrics.rate(selector)) is not None]
    if rates:
        yield from _traffic(slo, sum(rates))


def _buckets(slo: Slo, selector: Any, metrics: Exposition) -> Iterator[Problem]:
    wanted = [m.value for m in selector.matchers.matchers if m.name == "le"]
    there = metrics.matching(selector)
    if wanted and there == []:
        known = ", ".join(metrics.buckets(selector.name or ""))
        hint = CLIENT_BUCKETS if "0.2" in wanted else "choose one of these, or add the bucket in the service"
        yield _at(slo, f"{selector.name} has no bucket le {wanted[0]}; it has {known}", hint)


def _born_late(slo: Slo, selector: Any, counted: Sequence[Any], metrics: Exposition) -> Iterator[Problem]:
    has_le = any(matcher.name == "le" for matcher in selector.matchers.matchers)
    if has_le or metrics.matching(selector) != []:
        return
    if any(metrics.matching(other) for other in counted):
        hint = (
            "let the service set it to 0 at start: the first error is lost to rate(), the alert comes late or never"
        )
        yield _at(slo, f"no series of {selector.name} counts bad events yet: it is born with the first one", hint)


def _traffic(slo: Slo, per_s: float) -> Iterator[Problem]:
    """One bad event must not be enough: there must be more than 1/threshold events in the long window."""
    off = {name for name in ("page", "ticket", "log") if getattr(slo.alerting, name).disable}
    for pair in PAIRS if slo.alerting.name else ():
        threshold = pair.factor * slo.budget
        if pair.severity not in off and per_s * pair.long_s * threshold < 1:
            yield _at(slo, *_traffic_words(pair.severity, per_s, pair.long_s, threshold))


def _traffic_words(severity: str, per_s: float, long_s: float, threshold: float) -> tuple[str, str]:
    text = (
        f"too little traffic: at {per_s:.3g} requests/s a single bad one in {format_duration(long_s)} "
        f"is over {format_ratio(threshold)} and fires the {severity} alert"
    )
    return (
        text,
        f"it needs {1 / (threshold * long_s):.3g} requests/s: lower the objective, or add synthetic traffic",
    )


def _rule_traffic(alerts: Sequence[BurnAlert], given: Linted) -> Iterator[Problem]:
    """The same for alert rules whose total the page counts: the divisor of the ratio they read."""
    metrics = given.metrics
    if metrics is None:
        return
    for alert in alerts:
        total = _parsed(alert.total)
        rates = [metrics.rate(selector) for selector in promql.selectors(total)] if total is not None else []
        known = [rate for rate in rates if rate is not None]
        threshold = alert.condition(1.0).threshold
        if known and sum(known) * alert.long_s * threshold < 1:
            text, hint = _traffic_words(alert.severity or alert.alertname, sum(known), alert.long_s, threshold)
            yield Problem(alert.file, alert.line, 1, f"{alert.alertname}: {text}", hint)


def _bad_query(slo: Slo) -> str:
    return slo.sli.error or slo.sli.error_ratio


def _parsed(query: str) -> Any:
    try:
        return promql.parse(query.replace(WINDOW, "5m")) if query else None
    except ValueError:
        return None
