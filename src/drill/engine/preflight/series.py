"""Whether what the expected rules read is there at all, and if not, which selector or scrape is to blame.

A rule that reads nothing is healthy in Prometheus's eyes and never fires. Owns the walk from the alert through the
recording rules to the counters, and the naming of the one matcher that selects nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from drill.alerting import promql
from drill.core.observations import RecordingRule, RuleStatus, ScrapeTarget
from drill.core.problems import did_you_mean
from drill.engine.preflight.findings import block, warn
from drill.engine.preflight.powers import PathObserver
from drill.engine.preflight.rules import rules_for
from drill.plan.model import Finding, Plan

_BORN_WITH_ERRORS = ("code", "status", "status_code", "http_status", "result", "outcome", "grpc_code", "error")
"""Labels by which counters tell failures: a value that no request had yet has no series unless it is made."""
_SHOWN = 6
_GONE_S = 3600


def check(
    plan: Plan, loaded: Sequence[RuleStatus], recording: Sequence[RecordingRule], observer: PathObserver
) -> Iterator[Finding]:
    """Find the selectors behind the expected alerts that have no series now. Raises Unavailable."""
    walk = _Walk(recording, observer)
    for expected in plan.expected:
        for rule in rules_for(expected, loaded):
            if rule.health != "err":
                for text, fix in walk.empty(rule.query):
                    yield block("series", f"rule {rule.name} has nothing to read: {text}", fix)


def scrapes(
    plan: Plan, loaded: Sequence[RuleStatus], recording: Sequence[RecordingRule], targets: Sequence[ScrapeTarget]
) -> Iterator[Finding]:
    """Find the scrape targets that are down and may hold what the expected alerts read."""
    down = [target for target in targets if target.health == "down"]
    if not down:
        return
    leaves = [
        selector
        for expected in plan.expected
        for rule in rules_for(expected, loaded)
        for selector in _leaves(rule.query, recording)
    ]
    for target in down:
        read = [leaf for leaf in leaves if _may_come_from(leaf, target)]
        if read:
            job = target.labels.get("job", target.url)
            named = any(matcher.name == "job" for leaf in read for matcher in leaf.matchers.matchers)
            text = f"the scrape of {job} at {target.url} fails: {target.last_error}"
            say = block if named else warn
            yield say("scrape", text, "let the target answer scrapes again; until then its alerts are blind")


class _Walk:
    """From an expression to the selectors in or behind it that have no series."""

    def __init__(self, recording: Sequence[RecordingRule], observer: PathObserver) -> None:
        self._recording, self._observer = recording, observer
        self._counts: dict[str, int] = {}

    def empty(self, query: str, depth: int = 0) -> Iterator[tuple[str, str]]:
        """Yield what is empty and what to do, once for each cause."""
        seen: set[tuple[str, str]] = set()
        for selector in promql.selectors(_parsed(query)):
            if self._count(promql.text(selector)) > 0:
                continue
            for found in self._why(selector, depth):
                if found not in seen:
                    seen.add(found)
                    yield found

    def _count(self, selector: str) -> int:
        if selector not in self._counts:
            self._counts[selector] = self._observer.count(selector)
        return self._counts[selector]

    def _why(self, selector: Any, depth: int) -> Iterator[tuple[str, str]]:
        sources = _sources(selector, self._recording)
        if not sources or depth >= promql.MAX_CHAIN:
            yield self._leaf(selector)
            return
        behind = [found for rule in sources for found in self.empty(rule.query, depth + 1)]
        failing = [rule for rule in sources if rule.health == "err"]
        if failing:
            yield f"recording rule {failing[0].name} fails: {failing[0].last_error}", "correct its expression"
        yield from behind
        if not behind and not failing:
            text = f"recording rule {sources[0].name} gives no result now"
            yield text, "is there traffic? A ratio guarded by `total > 0` has no value without it"

    def _leaf(self, selector: Any) -> tuple[str, str]:
        shown, name = promql.text(selector), selector.name or ""
        if self._count(f"last_over_time({shown}[{_GONE_S}s])") > 0:
            return f"the series of `{shown}` ended", "look at its scrape: the target is gone or was relabelled"
        if not name or self._count(name) == 0:
            meant = did_you_mean(name, {rule.name for rule in self._recording})
            fix = "correct the name in the rule, or let the target export it"
            return f"no series is called `{name}`", f"{meant}; {fix}" if meant else fix
        return self._matcher(selector, shown, name)

    def _matcher(self, selector: Any, shown: str, name: str) -> tuple[str, str]:
        """Name the one matcher without which the selector finds something."""
        matchers = list(selector.matchers.matchers)
        for wrong in sorted(matchers, key=lambda matcher: matcher.name in _BORN_WITH_ERRORS):
            rest = promql.render(name, [matcher for matcher in matchers if matcher is not wrong])
            if self._count(rest) == 0:
                continue
            there = ", ".join(self._observer.label_values(rest, wrong.name)[:_SHOWN]) or "no value"
            matcher = f'{wrong.name}{promql.operator_of(wrong)}"{wrong.value}"'
            return f"`{matcher}` matches nothing in `{shown}`: there is {there}", _fix(wrong.name)
        return f"`{shown}` selects no series: no series has all of these labels", "correct the selector"


def _fix(label: str) -> str:
    if label in _BORN_WITH_ERRORS:
        return (
            "initialise this counter at 0 when the service starts: a series that is born with its first error "
            "makes the alert late or silent; or correct the matcher"
        )
    if label == "le":
        return "give the histogram this bucket; Prometheus 3 writes le as a float (1.0)"
    return "correct the matcher, or the relabelling that changed the label"


def _sources(selector: Any, recording: Sequence[RecordingRule]) -> list[RecordingRule]:
    return [
        rule
        for rule in recording
        if rule.name == selector.name and promql.accepts(selector, rule.labels) is not False
    ]


def _leaves(query: str, recording: Sequence[RecordingRule], depth: int = 0) -> Iterator[Any]:
    for selector in promql.selectors(_parsed(query)):
        sources = _sources(selector, recording) if depth < promql.MAX_CHAIN else []
        if not sources:
            yield selector
        for rule in sources:
            yield from _leaves(rule.query, recording, depth + 1)


def _may_come_from(selector: Any, target: ScrapeTarget) -> bool:
    """True unless a label that every series of *target* has is matched otherwise; unknown labels speak for it."""
    return promql.accepts(selector, target.labels) is not False


def _parsed(query: str) -> Any:
    try:
        return promql.parse(query)
    except ValueError:
        return None
