"""Burn-rate alerts are read from PromQL: from drill's own rules and from other generators' forms."""

from pathlib import Path

import pytest

from drill.alerting.rulefile import read_groups
from drill.alerting.rules import BurnAlert, burn_alerts
from drill.alerting.windows import PAIRS

ROOT = Path(__file__).parents[2]
SLI = """\
groups:
  - name: rec
    interval: 15s
    rules:
      - {record: err5m, expr: 'sum(rate(r{code=~"5.."}[5m])) / sum(rate(r[5m]))', labels: {slo: front}}
      - {record: err1h, expr: 'sum(rate(r{code=~"5.."}[1h])) / sum(rate(r[1h]))', labels: {slo: front}}
      - {record: err30m, expr: 'sum(rate(r{code=~"5.."}[30m])) / sum(rate(r[30m]))', labels: {slo: front}}
      - {record: err6h, expr: 'sum(rate(r{code=~"5.."}[6h])) / sum(rate(r[6h]))', labels: {slo: front}}
      - {record: budget, expr: 'vector(1-0.999)', labels: {slo: front}}
"""


def read(expr: str, more: str = "") -> tuple[BurnAlert, ...]:
    rule = f"  - name: al\n    interval: 30s\n    rules:\n      - alert: Burn\n        expr: {expr!r}\n{more}"
    groups, problems = read_groups(SLI + rule, "rules.yaml")
    assert problems == []
    return burn_alerts(groups)


def windows(alerts: tuple[BurnAlert, ...]) -> list[tuple[float, float, float, float]]:
    return [(a.factor, a.objective, a.short_s, a.long_s) for a in alerts]


def test_the_generated_rules_are_understood_completely() -> None:
    groups = []
    for name in ("recording-rules", "burn-rate-alerts"):
        groups += read_groups((ROOT / f"prometheus/{name}.yaml").read_text(), name)[0]
    alerts = burn_alerts(groups)
    assert len(alerts) == 30
    pairs = [(pair.factor, pair.short_s, pair.long_s, pair.severity) for pair in PAIRS]
    for slo in {alert.sloth_id for alert in alerts}:
        own = [alert for alert in alerts if alert.sloth_id == slo]
        assert [(a.factor, a.short_s, a.long_s, a.severity) for a in own] == pairs
        assert {a.chained for a in own} == {True}
        assert {a.interval_s for a in own} == {30.0}
        assert {a.sli for a in own} == {slo.rpartition("-")[2]}
    by_id = {alert.sloth_id: alert for alert in alerts}
    assert by_id["checkout-latency"].threshold_s == 0.2
    assert by_id["recommendations-latency"].threshold_s == 1.0
    assert by_id["payment-availability"].objective == 0.9999
    assert by_id["cart-availability"].labels["owner"] == "shop"


@pytest.mark.parametrize(
    "expr",
    [
        "err5m > (14.4 * 0.001) and err1h > (14.4 * 0.001)",
        'err5m{slo="front"} > (14.4 * (1-0.999)) and err1h{slo="front"} > (14.4 * (1-0.999))',
        "(14.4 * 0.001) < err1h and err5m >= (14.4*0.001)",
        "max(err5m > (14.4 * 0.001)) without (w) and max(err1h > (14.4 * 0.001)) without (w)",
        "err5m / on() group_left budget > 14.4 and on() err1h / on() group_left budget > 14.4",
        "(err5m > (14.4 * 0.001) and err1h > (14.4 * 0.001)) and sum(rate(r[5m])) > 10",
        "(err5m > (14.4 * 0.001) and err1h > (14.4 * 0.001)) unless on() maintenance == 1",
        'sum(rate(r{code=~"5.."}[5m])) / sum(rate(r[5m])) > (14.4*0.001) and '
        'sum(rate(r{code=~"5.."}[1h])) / sum(rate(r[1h])) > (14.4*0.001)',
        '1 - sum(rate(r{code!~"5.."}[5m])) / sum(rate(r[5m])) > 14.4*0.001 and '
        '1 - sum(rate(r{code!~"5.."}[1h])) / sum(rate(r[1h])) > 14.4*0.001',
    ],
)
def test_one_meaning_many_forms(expr: str) -> None:
    assert windows(read(expr)) == [(14.4, 0.999, 300.0, 3600.0)]


def test_pairs_joined_by_or_are_alerts_of_their_own() -> None:
    found = read("(err5m > (14.4*0.001) and err1h > (14.4*0.001)) or (err30m > (6*0.001) and err6h > (6*0.001))")
    assert windows(found) == [(14.4, 0.999, 300.0, 3600.0), (6.0, 0.999, 1800.0, 21600.0)]


def test_for_keep_firing_labels_and_groups_are_taken_over() -> None:
    more = "        for: 2m\n        keep_firing_for: 5m\n        labels: {severity: page, text: '{{ $value }}'}\n"
    (alert,) = read("err5m > 0.0144 and err1h > 0.0144", more)
    assert (alert.for_s, alert.keep_firing_for_s) == (120.0, 300.0)
    assert (alert.chained, alert.interval_s) == (True, 30.0)
    assert alert.labels == {"alertname": "Burn", "slo": "front", "severity": "page"}
    assert alert.sloth_id == "front"
    assert alert.condition(15).threshold == pytest.approx(0.0144)


def test_without_recording_rules_there_is_nothing_to_wait_for() -> None:
    (alert,) = read('sum(rate(r{code=~"5..",job="web"}[1h])) / sum(rate(r{job="web"}[1h])) > 0.01')
    assert not alert.chained
    assert (alert.long_s, alert.short_s, alert.service, alert.sli) == (3600.0, 3600.0, "web", "availability")


def test_a_latency_ratio_names_its_bucket() -> None:
    (alert,) = read('1 - sum(rate(h_bucket{le="0.3"}[5m])) / sum(rate(h_count[5m])) > 0.144')
    assert (alert.sli, alert.threshold_s) == ("latency", 0.3)


@pytest.mark.parametrize(
    "expr",
    [
        "up == 0",
        "err5m > err1h",
        "unknown5m > 0.0144 and unknown1h > 0.0144",
        "err5m > (14.4*0.001) and err1h > (6*0.001)",
        "sum(rate(r[5m])) > 10",
        "err5m > -1",
        "err5m >",
    ],
)
def test_what_is_no_burn_alert_or_not_understood_is_left_out(expr: str) -> None:
    assert read(expr) == ()


def test_rules_that_read_each_other_in_a_circle_end() -> None:
    rules = "{record: a, expr: b}", "{record: b, expr: a / 2}", "{alert: A, expr: a > 1}"
    text = "groups:\n - name: x\n   rules:\n" + "".join(f"    - {rule}\n" for rule in rules)
    groups, problems = read_groups(text, "x")
    assert problems == []
    assert burn_alerts(groups) == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("groups: 5", 1),
        ("groups:\n- name: a\n  interval: fast\n  rules: []", 3),
        ("groups:\n- name: a\n  rules:\n  - {record: x, alert: y, expr: z}", 4),
        ("spec:\n  groups:\n  - name: a\n    rules:\n    - {alert: y}", 5),
    ],
)
def test_mistakes_in_rule_files_have_a_line(text: str, line: int) -> None:
    _, problems = read_groups(text, "r.yaml")
    assert [p.line for p in problems] == [line]
