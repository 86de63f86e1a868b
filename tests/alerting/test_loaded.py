"""Rules as the API tells them give the same burn-rate alerts as the files they were loaded from."""

from __future__ import annotations

from pathlib import Path

from drill.alerting import promql
from drill.alerting.loaded import loaded_groups
from drill.alerting.rulefile import Group, read_groups
from drill.alerting.rules import BurnAlert, burn_alerts, counted_by, unread
from drill.core.observations import RecordingRule, RuleStatus

ROOT = Path(__file__).parents[2]


def as_told(groups: list[Group]) -> tuple[list[RuleStatus], list[RecordingRule]]:
    """What Prometheus says of *groups*."""
    alerting, recording = [], []
    for group in groups:
        for rule in group.rules:
            place = {"group": group.name, "file": group.file, "interval_s": group.interval_s}
            if rule.record:
                recording.append(
                    RecordingRule(name=rule.record, labels=rule.labels, query=rule.expr, health="ok", **place)
                )
            else:
                alerting.append(RuleStatus(
                    name=rule.alert, labels=rule.labels, annotations=rule.annotations, query=rule.expr, health="ok",
                    last_evaluation=1.0, for_s=rule.for_s, keep_firing_for_s=rule.keep_firing_for_s, **place,
                ))  # fmt: skip
    return alerting, recording


def without_lines(alerts: tuple[BurnAlert, ...]) -> set[str]:
    return {alert.with_(line=0).model_dump_json() for alert in alerts}


def test_loaded_rules_are_read_as_their_files_are() -> None:
    files = [ROOT / f"prometheus/{name}.yaml" for name in ("recording-rules", "burn-rate-alerts")]
    files += sorted((ROOT / "tests/alerting/cases").glob("*.yaml"))
    seen = 0
    for groups in ([g for f in files[:2] for g in read_groups(f.read_text(), f.name)[0]],
                   *(read_groups(f.read_text(), f.name)[0] for f in files[2:])):  # fmt: skip
        loaded = loaded_groups(*as_told(groups))
        assert without_lines(burn_alerts(loaded)) == without_lines(burn_alerts(groups))
        seen += len(burn_alerts(groups))
    assert seen > 60


def test_groups_of_one_name_in_two_files_stay_two() -> None:
    """Reading what another group recorded costs one evaluation more."""
    record = RecordingRule(name="ratio5m", labels={}, query="sum(rate(e[5m])) / sum(rate(t[5m]))", health="ok",
                           group="slo", file="a.yaml", interval_s=30)  # fmt: skip
    alert = RuleStatus(name="Burn", labels={}, query="ratio5m > 0.01", health="ok", last_evaluation=1.0,
                       group="slo", file="b.yaml", interval_s=30)  # fmt: skip
    assert [one.chained for one in burn_alerts(loaded_groups([alert], [record]))] == [True]
    assert [one.chained for one in burn_alerts(loaded_groups([alert.with_(file="a.yaml")], [record]))] == [False]


def test_alerts_that_are_no_burn_rates_are_named() -> None:
    alert = RuleStatus(
        name="Down", labels={}, query="up == 0", health="ok", last_evaluation=1.0, group="g", interval_s=0
    )
    groups = loaded_groups([alert], [])
    assert unread(groups, burn_alerts(groups)) == ("Down",)


def test_ratio_and_total_are_queries_that_can_be_asked() -> None:
    """They are rendered from the syntax tree: each parses again, reads counters only, and total has no guard."""
    files = [ROOT / f"prometheus/{name}.yaml" for name in ("recording-rules", "burn-rate-alerts")]
    groups = [group for file in files for group in read_groups(file.read_text(), file.name)[0]]
    alerts = [*burn_alerts(groups)]
    for file in sorted((ROOT / "tests/alerting/cases").glob("*.yaml")):
        alerts += burn_alerts(read_groups(file.read_text(), file.name)[0])
    assert len(alerts) > 60
    for alert in alerts:
        assert promql.parse(alert.ratio), alert.alertname
        assert not alert.total or " > 0" not in str(promql.parse(alert.total)), alert.alertname
        assert counted_by(alert) or "histogram" in alert.ratio, alert.alertname
        assert not any(name.startswith("slo:") for name in counted_by(alert))
