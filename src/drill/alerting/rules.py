"""Which burn-rate alerts a set of rule files holds, read from their PromQL.

Owns the reading of rules any generator wrote (Sloth, Pyrra, drill, by hand): windows, factor, ``for``,
``keep_firing_for`` and intervals come from the expressions and the recording rules behind them, never from
names. An alert rule that is no burn-rate alert is left out; so is one whose recording rules are not among
the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from drill.alerting import promql
from drill.alerting.burnmath import BurnCondition
from drill.alerting.rulefile import Group, Rule
from drill.core.labels import without
from drill.core.units import parse_duration
from drill.core.values import Value
from drill.slo.model import DAY_S, DEFAULT_PERIOD_S

SliKind = Literal["availability", "latency", "unknown"]
_SERVICE_LABELS = ("sloth_service", "service", "service_name", "job")
_SLO_LABELS = ("sloth_id", "slo", "slo_id", "exported_slo")
_WINDOW_LABELS = ("sloth_window",)
_NAMED_WINDOW = re.compile(r"(?<![0-9a-z])(?:ratio_|burn|rate|ratio)*(\d+(?:ms|[smhdw]))$")


class BurnAlert(Value):
    """One burn-rate alert: what it looks at, when it fires, how it is evaluated. Seconds as they run.

    ``labels`` holds the static labels the firing alert will carry, those of the recorded series included.
    ``threshold_s`` is the latency bucket of a latency SLI. ``sloth_id`` is the SLO's id as a label says it, else
    made of service and alert name: rules by hand have none.
    """

    alertname: str
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    sloth_id: str
    service: str = ""
    factor: float
    objective: float
    long_s: float
    short_s: float
    for_s: float = 0.0
    keep_firing_for_s: float = 0.0
    interval_s: float
    chained: bool
    sli: SliKind = "unknown"
    threshold_s: float | None = None
    period_s: float = DEFAULT_PERIOD_S
    total: str = ""
    """The PromQL of the ratio's divisor, that is of all events; empty when the ratio is no division."""
    ratio: str = ""
    """The PromQL of the error ratio over the short window, recording rules resolved to what they are made from."""
    file: str = ""
    line: int = 0

    @property
    def severity(self) -> str:
        """The alert's severity label, in drill's or Sloth's spelling."""
        return self.labels.get("severity") or self.labels.get("sloth_severity", "")

    def condition(self, scrape_s: float) -> BurnCondition:
        """Return what :mod:`drill.alerting.burnmath` needs to know of it."""
        return BurnCondition(
            objective=self.objective, factor=self.factor, long_s=self.long_s, short_s=self.short_s,
            scrape_s=scrape_s, interval_s=self.interval_s, for_s=self.for_s,
            keep_firing_for_s=self.keep_firing_for_s, chained=self.chained, period_s=self.period_s,
        )  # fmt: skip


class _Recorded(NamedTuple):
    rule: Rule
    expr: Any
    group: int
    interval_s: float


class _Part(NamedTuple):
    """One condition with its window and what it was resolved to."""

    condition: promql.Condition
    window_s: float
    ratio: Any
    recorded: tuple[_Recorded, ...]


class Mixed(NamedTuple):
    """An alert rule whose windows are compared with different thresholds: no burn rate is over anything."""

    file: str
    rule: Rule
    thresholds: tuple[float, ...]


class Misnamed(NamedTuple):
    """A recording rule of a ratio whose name ends with another window than its expression has."""

    file: str
    rule: Rule
    window_s: float


def doubtful(groups: Sequence[Group]) -> tuple[tuple[Mixed, ...], tuple[Misnamed, ...]]:
    """Return the rules of *groups* that look like burn-rate rules and contradict themselves."""
    reader = _Reader(groups)
    for index, group in enumerate(groups):
        for rule in group.rules:
            if rule.alert:
                reader.alerts(rule, index)
    return tuple(reader.mixed), tuple(reader.misnamed())


def burn_alerts(groups: Sequence[Group]) -> tuple[BurnAlert, ...]:
    """Return every burn-rate alert in *groups*, in file order.

    A rule with several window pairs joined by ``or`` gives one alert for each, with the same labels.
    """
    reader = _Reader(groups)
    found: list[BurnAlert] = []
    for index, group in enumerate(groups):
        for rule in group.rules:
            if rule.alert:
                found += reader.alerts(rule, index)
    return tuple(found)


def shortest_windows(alerts: Sequence[BurnAlert]) -> dict[str, BurnAlert]:
    """Return of each SLO, by its id, the alert with the shortest short window: what shows its state soonest."""
    found: dict[str, BurnAlert] = {}
    for alert in alerts:
        if alert.sloth_id not in found or alert.short_s < found[alert.sloth_id].short_s:
            found[alert.sloth_id] = alert
    return found


def counted_by(alert: BurnAlert) -> tuple[str, ...]:
    """Return the selectors of the counters an alert is made from: of all events, else of those its ratio reads."""
    text = alert.total or alert.ratio
    try:
        parsed = promql.parse(text) if text else None
    except ValueError:
        parsed = None
    return tuple(dict.fromkeys(promql.text(one) for one in promql.selectors(parsed))) if parsed is not None else ()


def unread(groups: Sequence[Group], alerts: Sequence[BurnAlert]) -> tuple[str, ...]:
    """Return the names of the alert rules in *groups* that are not among *alerts*: no burn-rate alerts."""
    read = {(alert.file, alert.line, alert.alertname) for alert in alerts}
    names = [
        rule.alert
        for group in groups
        for rule in group.rules
        if rule.alert and (group.file, rule.line, rule.alert) not in read
    ]
    return tuple(dict.fromkeys(names))


class _Reader:
    """Resolves selectors through the recording rules of all groups."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = groups
        self.mixed: list[Mixed] = []
        self.recorded: dict[str, list[_Recorded]] = {}
        for index, group in enumerate(groups):
            for rule in group.rules:
                expr = _parse(rule.expr) if rule.record else None
                if expr is not None:
                    entry = _Recorded(rule, expr, index, group.interval_s)
                    self.recorded.setdefault(rule.record, []).append(entry)

    def find(self, selector: Any) -> _Recorded | None:
        """Return the recording rule behind *selector*; one that fixes all matched labels wins."""
        best: _Recorded | None = None
        for entry in self.recorded.get(selector.name or "", ()):
            verdict = promql.accepts(selector, entry.rule.labels)
            if verdict:
                return entry
            if verdict is None and best is None:
                best = entry
        return best

    def misnamed(self) -> Iterator[Misnamed]:
        """Yield every recording rule of a ratio whose name says another window than it reads."""
        for name, entries in self.recorded.items():
            said = _NAMED_WINDOW.search(name)
            for entry in entries if said else ():
                read = promql.windows(entry.expr)
                window_s = next(iter(read)) if len(read) == 1 and promql.is_ratio(entry.expr) else None
                if said and window_s is not None and window_s != parse_duration(said[1]):
                    yield Misnamed(self.groups[entry.group].file, entry.rule, window_s)

    def lookup(self, selector: Any) -> Any:
        found = self.find(selector)
        return None if found is None else found.expr

    def alerts(self, rule: Rule, group: int) -> list[BurnAlert]:
        expr = _parse(rule.expr)
        if expr is None:
            return []
        alternatives = promql.conjunctions(expr, self.lookup)
        made = (self._alert(rule, group, conditions) for conditions in alternatives)
        return [alert for alert in made if alert is not None]

    def _alert(self, rule: Rule, group: int, conditions: list[promql.Condition]) -> BurnAlert | None:
        parts = [part for part in map(self._part, conditions) if part is not None]
        thresholds = {round(part.condition.threshold, 12) for part in parts}
        if len(thresholds) > 1:
            self.mixed.append(Mixed(self.groups[group].file, rule, tuple(sorted(thresholds))))
        if len(thresholds) != 1 or not promql.is_finite(parts[0].condition.threshold):
            return None
        labels = self._labels(rule, parts)
        ratio = parts[0].ratio
        service = _service(labels, ratio)
        named = f"{service}-{rule.alert}" if service else rule.alert
        sloth_id = next((labels[name] for name in _SLO_LABELS if name in labels), named)
        budget = self._meta("slo:error_budget:ratio", sloth_id)
        factor, budget = promql.factor_and_budget(*parts[0].condition[1:3], budget)
        days = self._meta("slo:time_period:days", sloth_id)
        used = [entry for part in parts for entry in part.recorded]
        bucket = promql.latency_threshold(ratio)
        return BurnAlert(
            alertname=rule.alert, labels={"alertname": rule.alert, **labels}, annotations=rule.annotations,
            sloth_id=sloth_id, service=service, factor=factor, objective=round(1 - budget, 12),
            long_s=max(part.window_s for part in parts), short_s=min(part.window_s for part in parts),
            for_s=rule.for_s, keep_firing_for_s=rule.keep_firing_for_s,
            interval_s=max([self.groups[group].interval_s, *(entry.interval_s for entry in used)]),
            chained=any(entry.group != group for entry in used),
            sli="latency" if bucket else "availability" if promql.counts_errors(ratio) else "unknown",
            threshold_s=bucket, period_s=days * DAY_S if days else DEFAULT_PERIOD_S,
            total=promql.divisor(ratio), ratio=promql.written(min(parts, key=lambda part: part.window_s).ratio),
            file=self.groups[group].file, line=rule.line,
        )  # fmt: skip

    def _part(self, condition: promql.Condition) -> _Part | None:
        """Resolve a condition to a ratio over one window; None for a guard such as a minimum of traffic."""
        expr, used = condition.expr, []
        for _ in range(promql.MAX_CHAIN):
            selector = _only_selector(expr)
            found = self.find(selector) if selector is not None else None
            if found is None:
                break
            used.append(found)
            expr = found.expr
        windows = promql.windows(expr)
        if len(windows) != 1 or not promql.is_ratio(expr) or self._averages_averages(expr):
            return None
        return _Part(condition, windows.pop(), expr, tuple(used))

    def _averages_averages(self, expr: Any) -> bool:
        """True when a range is taken of a series that is itself recorded over one: that is no window by formula."""
        behind = [self.find(selector) for selector in promql.ranged(expr)]
        return any(entry is not None and promql.windows(entry.expr) for entry in behind)

    def _labels(self, rule: Rule, parts: list[_Part]) -> dict[str, str]:
        series: dict[str, str] = {}
        for entry in parts[0].recorded[:1]:
            series = without(entry.rule.labels, *_WINDOW_LABELS, *parts[0].condition.dropped)
        selector = _only_selector(parts[0].condition.expr)
        if selector is not None:
            series = {**without(promql.equals(selector), *_WINDOW_LABELS), **series}
        own = {name: value for name, value in rule.labels.items() if "{{" not in value}
        return {**series, **own}

    def _meta(self, record: str, sloth_id: str) -> float | None:
        for entry in self.recorded.get(record, ()):
            if entry.rule.labels.get("sloth_id") == sloth_id:
                return promql.constant(entry.expr, self.lookup)
        return None


def _parse(text: str) -> Any:
    try:
        return promql.parse(text)
    except ValueError:
        return None


def _only_selector(expr: Any) -> Any:
    """Return the vector selector *expr* consists of, through parentheses and one-argument aggregations."""
    while type(expr).__name__ in ("ParenExpr", "AggregateExpr"):
        expr = expr.expr
    return expr if type(expr).__name__ == "VectorSelector" else None


def _service(labels: dict[str, str], ratio: Any) -> str:
    for name in _SERVICE_LABELS[:-1]:
        if name in labels:
            return labels[name]
    fixed = [promql.equals(selector) for selector in promql.selectors(ratio)]
    return next((each[name] for name in _SERVICE_LABELS for each in (*fixed, labels) if name in each), "")
