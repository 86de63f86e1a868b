"""The rules a Prometheus has really loaded, read into the same values as rule files. Pure.

Owns the step from the rules API's answers to rule groups; what the PromQL in them means is
:mod:`drill.alerting.rules`'s. A group's name is unique only within its file (Mimir: its namespace).
"""

from __future__ import annotations

from collections.abc import Sequence

from drill.alerting.rulefile import Group, Rule
from drill.core.observations import RecordingRule, RuleStatus

LEAST_INTERVAL_S = 1e-3
"""A group must have an interval; an API that tells none (0) tells nothing."""


def loaded_groups(alerting: Sequence[RuleStatus], recording: Sequence[RecordingRule]) -> tuple[Group, ...]:
    """Return the groups that hold these rules, in the order they are first met, recording rules first.

    ``file`` of a group is what Prometheus calls its file. A rule's order in its group is not kept between the two
    kinds, which no burn-rate alert depends on.
    """
    rules: dict[tuple[str, str], list[Rule]] = {}
    intervals: dict[tuple[str, str], float] = {}
    both: list[tuple[RecordingRule | RuleStatus, Rule]] = [(one, _recording(one)) for one in recording]
    for status, rule in [*both, *((one, _alert(one)) for one in alerting)]:
        key = (status.file, status.group)
        rules.setdefault(key, []).append(rule)
        intervals[key] = max(intervals.get(key, LEAST_INTERVAL_S), status.interval_s)
    return tuple(
        Group(name=name, interval_s=intervals[file, name], rules=tuple(found), file=file)
        for (file, name), found in rules.items()
    )


def _recording(rule: RecordingRule) -> Rule:
    return Rule(record=rule.name, expr=rule.query, labels=rule.labels)


def _alert(rule: RuleStatus) -> Rule:
    return Rule(
        alert=rule.name,
        expr=rule.query,
        for_s=rule.for_s,
        keep_firing_for_s=rule.keep_firing_for_s,
        labels=rule.labels,
        annotations=rule.annotations,
    )
