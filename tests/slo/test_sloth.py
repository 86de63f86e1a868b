"""Sloth files are read as they are, and everything wrong with one is said at once, at its place."""

from pathlib import Path

import pytest

from drill.core.problems import Problem
from drill.slo.model import Slo
from drill.slo.sloth import load_sloth

ROOT = Path(__file__).parents[2]
TIERS = {"checkout": ("1", 0.9999), "payment": ("1", 0.9999), "catalog": ("2", 0.999), "cart": ("2", 0.999),
         "recommendations": ("3", 0.995)}  # fmt: skip
BUCKETS = {"1": '"0.2"', "2": '"0.5"', "3": '=~"1|1\\\\.0"'}

GOOD = """\
version: prometheus/v1
service: mail
labels: {team: post}
slos:
  - name: delivery
    objective: 99.95
    sli:
      events:
        error_query: sum(rate(mails_total{result="lost"}[{{ .window }}]))
        total_query: sum(rate(mails_total[{{.window}}]))
    alerting:
      name: MailsLost
      page_alert: {labels: {pager: night}}
      ticket_alert: {disable: true}
"""
CRD = """\
apiVersion: sloth.slok.dev/v1
kind: PrometheusServiceLevel
metadata: {name: mail, namespace: post}
spec:
  service: mail
  slos:
    - name: delivery
      objective: 99.95
      sli:
        raw:
          errorRatioQuery: avg_over_time(lost_ratio[{{.window}}])
      alerting:
        name: MailsLost
        pageAlert: {disable: true}
        ticketAlert: {annotations: {note: later}}
"""


def read(text: str) -> tuple[list[Slo], list[Problem]]:
    return load_sloth(text, "slo.yaml")


@pytest.mark.parametrize("service", TIERS)
def test_shipped_slos_hold_the_promises_of_their_tier(service: str) -> None:
    slos, problems = load_sloth((ROOT / f"prometheus/slo/{service}.yaml").read_text(), service)
    assert problems == []
    tier, availability = TIERS[service]
    assert [slo.sloth_id for slo in slos] == [f"{service}-availability", f"{service}-latency"]
    assert [slo.objective for slo in slos] == [availability, 0.99]
    assert {slo.labels["tier"] for slo in slos} == {tier}
    assert BUCKETS[tier] in slos[1].sli.error
    for slo in slos:
        assert 'job="edge"' in slo.sli.error
        runbook = slo.alerting.annotations["runbook_url"].rpartition("/runbooks/")[2]
        assert (ROOT / "runbooks" / runbook).is_file()


def test_reads_events_labels_and_alert_settings() -> None:
    slos, problems = read(GOOD)
    assert problems == []
    (slo,) = slos
    assert (slo.sloth_id, slo.objective, slo.budget) == ("mail-delivery", 0.9995, 0.0005)
    assert slo.sli.error == 'sum(rate(mails_total{result="lost"}[{{.window}}]))'
    assert slo.labels == {"team": "post"}
    assert slo.alerting.page.labels == {"pager": "night"}
    assert slo.alerting.ticket.disable


def test_reads_the_crd_with_its_own_spelling() -> None:
    slos, problems = read(CRD)
    assert problems == []
    assert slos[0].sli.error_ratio == "avg_over_time(lost_ratio[{{.window}}])"
    assert slos[0].alerting.page.disable
    assert slos[0].alerting.ticket.annotations == {"note": "later"}


def test_the_crd_does_not_take_the_plain_forms_spelling() -> None:
    _, problems = read(CRD.replace("pageAlert", "page_alert"))
    assert [(p.line, p.message, p.hint) for p in problems] == [
        (14, "unknown key 'page_alert'", "did you mean 'pageAlert'?")
    ]


def test_several_documents_give_all_their_slos() -> None:
    slos, problems = read(GOOD + "---\n" + GOOD.replace("delivery", "speed"))
    assert problems == []
    assert [slo.name for slo in slos] == ["delivery", "speed"]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("objective: 99.95", "objective: 100", 6, "not between 0 and 100"),
        ("objective: 99.95", "objective: yes", 6, "not between 0 and 100"),
        ("objective: 99.95", "objective: .nan", 6, "not between 0 and 100"),
        ("    objective: 99.95\n", "", 5, "objective 'None'"),
        ("service: mail", "service: ''", 2, "service is missing"),
        ("service: mail", "service: a b", 2, "must be letters"),
        ("[{{.window}}]", "[5m]", 10, "total_query has no"),
        ("total_query", "totl_query", 10, "unknown key 'totl_query'"),
        ("events:", "plugin:", 8, "SLI plugins are Go code"),
        ("    alerting:", "    plugins: {chain: []}\n    alerting:", 11, "SLO plugins are Go code"),
        ("{team: post}", "{1team: post}", 3, "not a valid label name"),
        ("{team: post}", "[post]", 3, "must be a mapping"),
        ("disable: true", "disable: maybe", 14, "true or false"),
        ("prometheus/v1", "prometheus/v2", 1, "known is 'prometheus/v1'"),
        ("service: mail", "service: mail\nservice: post", 3, "written twice"),
        ("service: mail", "service: !!python/object:os.system mail", 2, "not allowed"),
        ("service: mail", "service: [mail", 3, "not YAML"),
        ("labels: {team: post}", "labels: {team: &a [*a]}", 0, "nested too deeply"),
    ],
)
def test_a_mistake_is_named_at_its_line(old: str, new: str, line: int, said: str) -> None:
    assert old in GOOD
    _, problems = read(GOOD.replace(old, new, 1))
    assert any(said in p.message and p.line == line for p in problems), problems


def test_all_mistakes_come_at_once() -> None:
    text = GOOD.replace("99.95", "200").replace("{{.window}}", "5m").replace("team: post", "'t m': post")
    assert len(read(text)[1]) == 3


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "[]", "hello", "version: prometheus/v1\nservice: x\nslos: []\n"]
)
def test_what_is_no_slo_file_gives_a_problem_and_no_slo(text: str) -> None:
    slos, problems = read(text)
    assert slos == []
    assert problems


def test_an_alias_bomb_is_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    slos, problems = read("\n".join(lines))
    assert slos == []
    assert "expand to too much" in problems[0].message


def test_the_same_slo_twice_is_a_mistake() -> None:
    _, problems = read(GOOD + "---\n" + GOOD)
    assert "stands twice" in problems[0].message
