"""Lint names what keeps an alert silent, makes it shout, or sends it nowhere; each with file, line and reason."""

import pytest

from drill.alerting.exposition import read_exposition
from drill.alerting.lint import Linted, lint
from drill.alerting.routing import load_routing
from drill.alerting.rulefile import read_groups
from drill.core.problems import Problem
from drill.slo.load import load_slos
from drill.slo.positions import load_documents

SLO = """\
version: prometheus/v1
service: quay
slos:
  - name: ropes
    objective: {objective}
    sli:
      events:
        error_query: {error}
        total_query: sum(rate(ropes_seconds_count{{job="quay"}}[{{{{.window}}}}]))
    alerting:
      name: RopesTear
      annotations: {{{annotations}}}
"""
RUNBOOK = "runbook_url: https://example.org/ropes"
TORN = 'sum(rate(ropes_seconds_count{job="quay",code=~"5.."}[{{.window}}]))'
SLOW = (
    'sum(rate(ropes_seconds_count{job="quay"}[{{.window}}])) - '
    'sum(rate(ropes_seconds_bucket{job="quay",le="0.2"}[{{.window}}]))'
)
PAGE = """\
# TYPE ropes_seconds histogram
ropes_seconds_bucket{code="200",le="0.1"} 40000
ropes_seconds_bucket{code="200",le="0.25"} 90000
ropes_seconds_bucket{code="200",le="+Inf"} 100000
ropes_seconds_sum{code="200"} 1000
ropes_seconds_count{code="200"} 100000
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1000
"""
AT = 2000.0


def slo(
    error: str = TORN, objective: str = "99.9", annotations: str = RUNBOOK, page: str | None = None
) -> list[str]:
    slos, problems = load_slos(
        [("slo.yaml", SLO.format(error=error, objective=objective, annotations=annotations))]
    )
    assert problems == []
    return said(lint(Linted(slos, metrics=read_exposition(page, AT) if page else None)))


def said(problems: list[Problem]) -> list[str]:
    return [f"{p.file}:{p.line} {p.message} | {p.hint}" for p in problems]


def rules(text: str) -> list[str]:
    groups, problems = read_groups(text, "rules.yaml")
    assert problems == []
    return said(lint(Linted(groups=groups)))


def record(name: str, window: str) -> str:
    expr = f'sum(rate(e_total{{job="x"}}[{window}])) / sum(rate(r_total{{job="x"}}[{window}]))'
    return f"    - {{record: '{name}', expr: '{expr}'}}\n"


def alert(expr: str, annotations: str = f"annotations: {{{RUNBOOK}}}") -> str:
    return f"    - {{alert: Burn, expr: '{expr}', {annotations}}}\n"


GROUP = "groups:\n- name: g\n  rules:\n"


def test_a_sound_slo_has_no_findings() -> None:
    full = PAGE + 'ropes_seconds_count{code="500"} 0\n'
    assert slo() == []
    assert slo(page=full) == []


def test_a_bucket_that_is_not_there_is_named_with_those_that_are() -> None:
    (found,) = slo(SLOW, page=PAGE)
    assert found.startswith("slo.yaml:4 'quay-ropes': ropes_seconds_bucket has no bucket le 0.2; it has 0.1, 0.25")
    assert "client libraries have no bucket of their own at 0.2" in found
    assert slo(SLOW, page=PAGE.replace('"0.25"', '"0.2"')) == []


def test_an_objective_that_can_never_fire() -> None:
    found = slo(objective="90")
    assert found == [
        "slo.yaml:4 'quay-ropes': 14.4x of a 90 % objective is an error ratio of 1.44: the page alert can never fire"
        " | choose an objective over 93.06 %, or disable this alert"
    ]
    (found_rule,) = rules(
        GROUP + record("e5", "5m") + record("e60", "1h") + alert("e60 > 14.4*0.1 and e5 > 14.4*0.1")
    )
    assert found_rule.startswith("rules.yaml:6 Burn needs an error ratio over 1.44: it can never fire")


@pytest.mark.parametrize(
    ("long", "short", "wrong"),
    [("1h", "5m", False), ("6h", "30m", False), ("4d", "6h", False), ("6h", "1h", True), ("1h", "30m", True),
     ("6h", "5m", True), ("1h", "1h", False)],
)  # fmt: skip
def test_window_pairs(long: str, short: str, wrong: bool) -> None:
    text = GROUP + record("a", long) + record("b", short) + alert("a > 6*0.001 and b > 6*0.001")
    found = rules(text)
    assert bool(found) is wrong
    if wrong:
        assert f"rules.yaml:6 Burn pairs {long} with {short}" in found[0]


def test_thresholds_that_differ_and_names_that_lie() -> None:
    text = GROUP + record("e:ratio_rate5m", "5m") + record("e:ratio_rate1h", "10m")
    found = rules(text + alert("e:ratio_rate5m > 14.4*0.001 and e:ratio_rate1h > 6*0.001"))
    assert [line.split(" | ")[0] for line in found] == [
        "rules.yaml:5 e:ratio_rate1h reads a window of 10m, its name says another",
        "rules.yaml:6 Burn compares its windows with different thresholds: 0.6% and 1.44%",
    ]


def test_too_little_traffic_for_the_threshold() -> None:
    page = PAGE.replace("100000", "100") + 'ropes_seconds_count{code="500"} 0\n'
    found = slo(page=page, objective="99.99")
    assert len(found) == 1
    assert "at 0.1 requests/s a single bad one in 1h is over 0.144% and fires the page alert" in found[0]
    assert "it needs 0.193 requests/s" in found[0]


def test_a_rule_s_traffic_is_that_of_its_own_total() -> None:
    expr = 'sum(rate(ropes_seconds_count{code="500"}[1h])) / sum(rate(ropes_seconds_count[1h])) > 0.001'
    groups, _ = read_groups(GROUP + alert(expr), "rules.yaml")
    page = read_exposition(PAGE.replace("100000", "100"), AT)
    (found,) = said(lint(Linted(groups=groups, metrics=page)))
    assert found.startswith("rules.yaml:4 Burn: too little traffic: at 0.1 requests/s a single bad one in 1h")


def test_a_series_born_with_its_first_error() -> None:
    (found,) = slo(page=PAGE)
    assert "no series of ropes_seconds_count counts bad events yet: it is born with the first one" in found


def test_a_metric_that_is_not_there_at_all() -> None:
    found = slo(page=PAGE.replace("ropes_seconds", "rope_seconds"))
    assert found == [
        "slo.yaml:4 'quay-ropes': the service has no metric ropes_seconds_count | a typo, or another service's page"
    ]


@pytest.mark.parametrize(
    ("matcher", "wrong"),
    [('le="1"', True), ('le="1.0"', True), ('le="30"', True), ('le="0.5"', False), (r'le=~"1|1\\.0"', False),
     ('le="+Inf"', False)],
)  # fmt: skip
def test_le_as_prometheus_3_writes_it(matcher: str, wrong: bool) -> None:
    error = SLOW.replace('le="0.2"', matcher)
    found = slo(f"'{error}'")
    assert bool(found) is wrong
    if wrong:
        assert "by Prometheus 3" in found[0]
        assert "match both: le=~" in found[0]


def test_an_alert_without_runbook() -> None:
    (found,) = slo(annotations="")
    assert found.startswith("slo.yaml:4 'quay-ropes': the alert RopesTear has no runbook")
    (found,) = rules(GROUP + alert("up == 0", "labels: {severity: page}"))
    assert found.startswith("rules.yaml:4 the alert Burn has no runbook")


ROUTES = """\
route:
  receiver: log
  routes:
    - matchers: ['severity="page"']
      receiver: pager
    - matchers: ['severity=~"page|ticket"']
      receiver: pager
      routes:
        - matchers: ['severity="page"']
          receiver: pager
    - matchers: ['severity="pager"']
      receiver: pager
    - matchers: ['team="ropes"']
      receiver: log
receivers: [{name: log}, {name: pager}]
"""


def test_routes_that_no_alert_reaches() -> None:
    """A label no rule sets (team) may come from a series, so its route may be reached."""
    routing, _ = load_routing(ROUTES, "am.yaml")
    assert routing is not None
    slos, _ = load_slos([("slo.yaml", SLO.format(error=TORN, objective="99.9", annotations=RUNBOOK))])
    found = lint(Linted(slos, routes=(routing, load_documents(ROUTES, "am.yaml")[0][0])))
    assert [(p.file, p.line, p.message) for p in found] == [
        ("am.yaml", 9, "no alert reaches this route to 'pager' (severity=page)"),
        ("am.yaml", 11, "no alert reaches this route to 'pager' (severity=pager)"),
    ]
